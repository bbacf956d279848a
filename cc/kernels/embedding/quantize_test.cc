#include "cc/kernels/embedding/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "cc/kernels/embedding/row_format.h"

namespace stepwell::kernels {
namespace {

constexpr RowFormat kFormats[] = {RowFormat::kFloat32, RowFormat::kFloat16,
                                  RowFormat::kBfloat16, RowFormat::kInt8,
                                  RowFormat::kInt4};

// One line of tests/golden/row_formats.txt.
struct Golden {
  RowFormat format;
  std::vector<float> values;
  std::vector<uint8_t> bytes;
};

RowFormat FormatByName(const std::string& name) {
  for (RowFormat format : kFormats) {
    if (name == RowFormatName(format)) return format;
  }
  ADD_FAILURE() << "unknown format " << name;
  return RowFormat::kFloat32;
}

std::vector<Golden> ReadGolden() {
  std::ifstream file("tests/golden/row_formats.txt");
  std::vector<Golden> found;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t first = line.find("; ");
    const size_t second = line.find("; ", first + 2);
    Golden& golden = found.emplace_back();
    golden.format = FormatByName(line.substr(0, first));
    std::istringstream values(line.substr(first + 2, second - first - 2));
    for (std::string value; values >> value;) {
      golden.values.push_back(std::strtof(value.c_str(), nullptr));
    }
    for (size_t at = second + 2; at + 1 < line.size(); at += 2) {
      golden.bytes.push_back(
          static_cast<uint8_t>(std::stoi(line.substr(at, 2), nullptr, 16)));
    }
  }
  return found;
}

TEST(QuantizeTest, WritesTheGoldenBytes) {
  const std::vector<Golden> golden = ReadGolden();
  ASSERT_GE(golden.size(), 20u);
  for (const Golden& line : golden) {
    const int64_t dim = static_cast<int64_t>(line.values.size());
    ASSERT_EQ(RowBytes(line.format, dim), static_cast<int64_t>(line.bytes.size()));
    std::vector<uint8_t> row(line.bytes.size(), 0xEE);
    ASSERT_TRUE(QuantizeRows(line.values.data(), 1, dim, line.format, row.data()).ok());
    EXPECT_EQ(row, line.bytes) << RowFormatName(line.format) << " of " << dim;
  }
}

std::vector<float> RandomValues(int64_t count) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& x : values) x = normal(random);
  return values;
}

// The largest error that a format may make of a value in a row of this span.
double Allowed(RowFormat format, double value, double span) {
  switch (format) {
    case RowFormat::kFloat32:
      return 0.0;
    case RowFormat::kFloat16:
      return std::fabs(value) / 2048 + 1e-7;
    case RowFormat::kBfloat16:
      return std::fabs(value) / 256;
    case RowFormat::kInt8:
      return span / 255 / 2 + 1e-6;
    case RowFormat::kInt4:
      return span / 15 / 2 + 1e-6;
  }
  return 0.0;
}

TEST(QuantizeTest, ErrorIsAtMostHalfAStep) {
  for (RowFormat format : kFormats) {
    for (int64_t dim : {1, 2, 3, 7, 8, 64, 129}) {
      const std::vector<float> values = RandomValues(5 * dim);
      // An odd address: rows of a file buffer may lie anywhere.
      std::vector<uint8_t> buffer(5 * RowBytes(format, dim) + 1);
      uint8_t* rows = buffer.data() + 1;
      ASSERT_TRUE(QuantizeRows(values.data(), 5, dim, format, rows).ok());
      std::vector<float> back(values.size());
      DequantizeRows(rows, 5, dim, format, back.data());
      for (size_t i = 0; i < values.size(); ++i) {
        const float* row = values.data() + i / dim * dim;
        const auto [least, most] = std::minmax_element(row, row + dim);
        EXPECT_NEAR(back[i], values[i], Allowed(format, values[i], *most - *least))
            << RowFormatName(format) << " of " << dim << " at " << i;
      }
    }
  }
}

TEST(QuantizeTest, NamesTheFirstValueThatIsNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (RowFormat format : kFormats) {
    for (float bad : {kInfinity, -kInfinity, std::nanf("")}) {
      std::vector<float> values = RandomValues(4 * 7);
      values[2 * 7 + 5] = bad;
      std::vector<uint8_t> rows(4 * RowBytes(format, 7));
      const QuantizeFault fault =
          QuantizeRows(values.data(), 4, 7, format, rows.data());
      EXPECT_EQ(fault.row, 2);
      EXPECT_EQ(fault.column, 5);
    }
  }
}

TEST(QuantizeTest, RefusesWhatRoundsToInfinity) {
  uint8_t row[8];
  const float half = 65520.0f;
  EXPECT_FALSE(QuantizeRows(&half, 1, 1, RowFormat::kFloat16, row).ok());
  EXPECT_TRUE(QuantizeRows(&half, 1, 1, RowFormat::kBfloat16, row).ok());
  const float most = std::numeric_limits<float>::max();
  EXPECT_FALSE(QuantizeRows(&most, 1, 1, RowFormat::kBfloat16, row).ok());
  EXPECT_TRUE(QuantizeRows(&most, 1, 1, RowFormat::kFloat32, row).ok());
}

TEST(QuantizeTest, RefusesARowThatSpansTooFar) {
  const float values[] = {-1e38f, 0.0f, 1e38f};
  for (RowFormat format : {RowFormat::kInt8, RowFormat::kInt4}) {
    uint8_t row[16];
    EXPECT_EQ(QuantizeRows(values, 1, 3, format, row).column, 2);
    EXPECT_TRUE(QuantizeRows(values, 1, 2, format, row).ok());
  }
}

TEST(QuantizeTest, EveryFloat16ComesBackAsItIs) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7C00) == 0x7C00) continue;  // infinities and NaNs
    const uint16_t half = static_cast<uint16_t>(bits);
    float value;
    DequantizeRows(reinterpret_cast<const uint8_t*>(&half), 1, 1, RowFormat::kFloat16,
                   &value);
    uint16_t back = 0;
    ASSERT_TRUE(QuantizeRows(&value, 1, 1, RowFormat::kFloat16,
                             reinterpret_cast<uint8_t*>(&back))
                    .ok());
    ASSERT_EQ(back, half);
  }
}

}  // namespace
}  // namespace stepwell::kernels
