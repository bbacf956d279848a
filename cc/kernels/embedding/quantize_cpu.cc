#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cc/kernels/embedding/quantize.h"
#include "cc/kernels/simd/vec.h"

namespace stepwell::kernels {
namespace {

using baseline::Vec;

// The largest magnitude that `format` rounds to a finite number.
float LargestOf(RowFormat format) {
  // Half a step below 65536, where float16 rounds to infinity; likewise for bfloat16.
  if (format == RowFormat::kFloat16) return std::nextafter(65520.0f, 0.0f);
  if (format == RowFormat::kBfloat16) return 0x1.fefffep127f;
  return std::numeric_limits<float>::max();
}

// Returns the first column that is not finite in the format, or dim.
int64_t FirstBadColumn(const float* values, int64_t dim, float largest) {
  for (int64_t column = 0; column < dim; ++column) {
    if (!(std::fabs(values[column]) <= largest)) return column;
  }
  return dim;
}

Vec LoadUpTo(const float* values, int64_t count) {
  return count >= Vec::kLanes ? Vec::Load(values) : Vec::LoadFirst(values, count);
}

void WriteHalves(const float* values, int64_t dim, RowFormat format, uint8_t* row) {
  for (int64_t column = 0; column < dim; column += Vec::kLanes) {
    const int64_t count = std::min(Vec::kLanes, dim - column);
    const Vec vec = LoadUpTo(values + column, count);
    uint16_t halves[Vec::kLanes];
    if (format == RowFormat::kFloat16) {
      vec.StoreFloat16(halves);
    } else {
      vec.StoreBfloat16(halves);
    }
    std::memcpy(row + 2 * column, halves, 2 * count);
  }
}

// Returns the column that spans the row too far, or dim when all was written.
int64_t WriteCodes(const float* values, int64_t dim, RowFormat format, uint8_t* row) {
  const auto [least, most] = std::minmax_element(values, values + dim);
  const double levels = format == RowFormat::kInt8 ? 255.0 : 15.0;
  const float bias = *least;
  const double span = static_cast<double>(*most) - static_cast<double>(bias);
  if (span > kMaxRowSpan) return most - values;
  const float scale = static_cast<float>(span / levels);
  std::memset(row, 0, RowBytes(format, dim));
  std::memcpy(row, &scale, 4);
  std::memcpy(row + 4, &bias, 4);
  if (scale == 0.0f) return dim;
  uint8_t* codes = row + kRowHeaderBytes;
  for (int64_t column = 0; column < dim; ++column) {
    const double steps =
        (static_cast<double>(values[column]) - bias) / static_cast<double>(scale);
    const uint8_t code = static_cast<uint8_t>(std::min(std::rint(steps), levels));
    if (format == RowFormat::kInt8) {
      codes[column] = code;
    } else {
      codes[column / 2] |= static_cast<uint8_t>(code << (column % 2 * 4));
    }
  }
  return dim;
}

void ReadHalves(const uint8_t* row, int64_t dim, RowFormat format, float* values) {
  for (int64_t column = 0; column < dim; column += Vec::kLanes) {
    const int64_t count = std::min(Vec::kLanes, dim - column);
    uint16_t halves[Vec::kLanes] = {};
    std::memcpy(halves, row + 2 * column, 2 * count);
    float floats[Vec::kLanes];
    (format == RowFormat::kFloat16 ? Vec::LoadFloat16(halves)
                                   : Vec::LoadBfloat16(halves))
        .Store(floats);
    std::memcpy(values + column, floats, 4 * count);
  }
}

void ReadCodes(const uint8_t* row, int64_t dim, RowFormat format, float* values) {
  float scale, bias;
  std::memcpy(&scale, row, 4);
  std::memcpy(&bias, row + 4, 4);
  const uint8_t* codes = row + kRowHeaderBytes;
  for (int64_t column = 0; column < dim; ++column) {
    const int code = format == RowFormat::kInt8
                         ? codes[column]
                         : codes[column / 2] >> (column % 2 * 4) & 15;
    values[column] = scale * static_cast<float>(code) + bias;
  }
}

}  // namespace

QuantizeFault QuantizeRows(const float* values, int64_t num_rows, int64_t dim,
                           RowFormat format, uint8_t* rows) {
  const float largest = LargestOf(format);
  const int64_t row_bytes = RowBytes(format, dim);
  for (int64_t row = 0; row < num_rows; ++row, values += dim, rows += row_bytes) {
    const int64_t bad = FirstBadColumn(values, dim, largest);
    if (bad < dim) return {row, bad, values[bad]};
    if (IsQuantised(format)) {
      const int64_t too_far = WriteCodes(values, dim, format, rows);
      if (too_far < dim) return {row, too_far, values[too_far]};
    } else if (format == RowFormat::kFloat32) {
      std::memcpy(rows, values, row_bytes);
    } else {
      WriteHalves(values, dim, format, rows);
    }
  }
  return {};
}

void DequantizeRows(const uint8_t* rows, int64_t num_rows, int64_t dim,
                    RowFormat format, float* values) {
  const int64_t row_bytes = RowBytes(format, dim);
  for (int64_t row = 0; row < num_rows; ++row, values += dim, rows += row_bytes) {
    if (IsQuantised(format)) {
      ReadCodes(rows, dim, format, values);
    } else if (format == RowFormat::kFloat32) {
      std::memcpy(values, rows, row_bytes);
    } else {
      ReadHalves(rows, dim, format, values);
    }
  }
}

}  // namespace stepwell::kernels
