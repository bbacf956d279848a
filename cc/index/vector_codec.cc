#include "cc/index/vector_codec.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/index/code_kernels.h"

namespace stepwell::index {
namespace {

constexpr size_t kLine = 64;
// The byte of coordinate 0.
constexpr int kInt8Zero = 128;
constexpr float kInt8Largest = 127;

constexpr CodeKind kKinds[] = {CodeKind::kFloat32, CodeKind::kBfloat16,
                               CodeKind::kInt8};

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

size_t CoordinateBytes(CodeKind kind) {
  switch (kind) {
    case CodeKind::kFloat32:
      return 4;
    case CodeKind::kBfloat16:
      return 2;
    case CodeKind::kInt8:
      return 1;
  }
  return 1;
}

// Rows of `used` bytes, of which padding makes `bytes`.
size_t StrideFor(size_t used, size_t bytes) {
  const size_t lines = RoundUp(bytes, kLine);
  return 4 * (lines - used) <= lines ? lines : RoundUp(bytes, 16);
}

absl::Span<const CodeKernel> KernelsFor(CodeKind kind, Metric metric) {
  switch (kind) {
    case CodeKind::kFloat32:
      return Float32Kernels(metric);
    case CodeKind::kBfloat16:
      return Bfloat16Kernels(metric);
    case CodeKind::kInt8:
      return Int8Kernels(metric);
  }
  return Float32Kernels(metric);
}

// Never so small that dividing by it overflows.
float StepFor(float limit) { return std::max(limit / kInt8Largest, FLT_MIN); }

int NearestInt8(float value, float inverse_step) {
  const float scaled = std::clamp(value * inverse_step, -kInt8Largest, kInt8Largest);
  return static_cast<int>(std::nearbyint(scaled));
}

float LargestMagnitude(const float* values, size_t n) {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

float SquaredNorm(int64_t sum_of_squares, float step) {
  return static_cast<float>(sum_of_squares) * step * step;
}

// To nearest, ties to even; magnitudes past the largest bfloat16 become that.
uint16_t ToBfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += 0x7FFF + ((bits >> 16) & 1);
  const auto high = static_cast<uint16_t>(bits >> 16);
  return (high & 0x7FFF) < 0x7F80 ? high
                                  : static_cast<uint16_t>((high & 0x8000) | 0x7F7F);
}

float FromBfloat16(uint16_t high) {
  const uint32_t bits = static_cast<uint32_t>(high) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Writes the head of an int8 query from sums over its numbers.
void WriteInt8Head(char* coded_query, float step, int64_t sum, int64_t squares) {
  Int8QueryHead head{};
  head.step = step;
  head.bias = static_cast<int32_t>(kInt8Zero * sum);
  head.sq_norm = SquaredNorm(squares, step);
  std::memcpy(coded_query, &head, sizeof(head));
}

// Counts magnitudes in classes of 2^-11 of relative width, which a float's upper bits
// number in ascending order.
class MagnitudeCounts {
 public:
  MagnitudeCounts() : counts_(size_t{1} << (31 - kDropped)) {}

  void Add(const float* values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      uint32_t bits;
      std::memcpy(&bits, &values[i], sizeof(bits));
      ++counts_[(bits & 0x7FFFFFFF) >> kDropped];
    }
    total_ += static_cast<int64_t>(n);
  }

  // A magnitude that all but that share of the values does not exceed.
  float Quantile(double share_above) const {
    auto above = static_cast<int64_t>(share_above * static_cast<double>(total_));
    size_t at = counts_.size() - 1;
    while (at > 0 && (above -= counts_[at]) >= 0) --at;
    const uint32_t bits =
        (static_cast<uint32_t>(at) << kDropped) | ((1u << kDropped) - 1);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

 private:
  static constexpr int kDropped = 12;

  std::vector<int64_t> counts_;
  int64_t total_ = 0;
};

}  // namespace

absl::StatusOr<CodeKind> ParseCodeKind(std::string_view name) {
  for (CodeKind kind : kKinds) {
    if (CodeKindName(kind) == name) return kind;
  }
  return FieldError("codes",
                    absl::StrCat("is \"", absl::string_view(name.data(), name.size()),
                                 "\", must be float32, bfloat16 or int8"));
}

std::string_view CodeKindName(CodeKind kind) {
  switch (kind) {
    case CodeKind::kFloat32:
      return "float32";
    case CodeKind::kBfloat16:
      return "bfloat16";
    case CodeKind::kInt8:
      return "int8";
  }
  return "unknown";
}

VectorCodec::VectorCodec(CodeKind kind, Metric metric, int64_t dim, float limit)
    : kind_(kind), metric_(metric), dim_(dim), limit_(limit) {
  const size_t used = static_cast<size_t>(dim) * CoordinateBytes(kind);
  const size_t row_bytes = RoundUp(used, 16);
  const bool is_int8 = kind == CodeKind::kInt8;
  const size_t norm_bytes = is_int8 && metric == Metric::kL2 ? sizeof(float) : 0;
  code_stride_ = StrideFor(used + norm_bytes, row_bytes + norm_bytes);
  query_bytes_ = (is_int8 ? sizeof(Int8QueryHead) : 0) + RoundUp(row_bytes, kLine);
  shape_ = {row_bytes, row_bytes, StepFor(limit)};
  kernel_ = &KernelsFor(kind, metric).back();
}

float VectorCodec::LimitFor(absl::Span<const float> vectors, int64_t dim,
                            Metric metric) {
  constexpr size_t kMostRows = 100'000;
  constexpr double kClippedShare = 1e-5;
  const auto width = static_cast<size_t>(dim);
  const size_t num_rows = vectors.size() / width;
  const size_t step = std::max<size_t>(1, (num_rows + kMostRows - 1) / kMostRows);
  float limit = 0;
  for (size_t row = 0; row < num_rows; row += step) {
    limit = std::max(limit, LargestMagnitude(&vectors[row * width], width));
  }
  if (limit == 0) return 1;
  if (metric != Metric::kCosine) return limit;
  MagnitudeCounts counts;
  for (size_t row = 0; row < num_rows; row += step) {
    counts.Add(&vectors[row * width], width);
  }
  const float quantile = counts.Quantile(kClippedShare);
  // Nearly all coordinates are zero: the few others are all there is.
  return quantile < FLT_MIN ? limit : std::min(limit, quantile);
}

void VectorCodec::Encode(const float* vector, char* code) const {
  std::memset(code, 0, code_stride_);
  switch (kind_) {
    case CodeKind::kFloat32:
      std::memcpy(code, vector, static_cast<size_t>(dim_) * sizeof(float));
      return;
    case CodeKind::kBfloat16: {
      auto* numbers = reinterpret_cast<uint16_t*>(code);
      for (int64_t i = 0; i < dim_; ++i) numbers[i] = ToBfloat16(vector[i]);
      return;
    }
    case CodeKind::kInt8:
      return EncodeInt8(vector, code);
  }
}

void VectorCodec::EncodeInt8(const float* vector, char* code) const {
  std::memset(code, kInt8Zero, shape_.row_bytes);
  const float inverse_step = 1 / shape_.step;
  int64_t squares = 0;
  for (int64_t i = 0; i < dim_; ++i) {
    const int number = NearestInt8(vector[i], inverse_step);
    code[i] = static_cast<char>(number + kInt8Zero);
    squares += number * number;
  }
  if (metric_ != Metric::kL2) return;
  const float norm = SquaredNorm(squares, shape_.step);
  std::memcpy(code + shape_.norm_at, &norm, sizeof(norm));
}

void VectorCodec::Decode(const char* code, float* vector) const {
  switch (kind_) {
    case CodeKind::kFloat32:
      std::memcpy(vector, code, static_cast<size_t>(dim_) * sizeof(float));
      return;
    case CodeKind::kBfloat16: {
      const auto* numbers = reinterpret_cast<const uint16_t*>(code);
      for (int64_t i = 0; i < dim_; ++i) vector[i] = FromBfloat16(numbers[i]);
      return;
    }
    case CodeKind::kInt8: {
      const auto* numbers = reinterpret_cast<const uint8_t*>(code);
      for (int64_t i = 0; i < dim_; ++i) {
        vector[i] = static_cast<float>(numbers[i] - kInt8Zero) * shape_.step;
      }
      return;
    }
  }
}

void VectorCodec::EncodeQuery(const float* query, char* coded_query) const {
  std::memset(coded_query, 0, query_bytes_);
  if (kind_ == CodeKind::kFloat32) {
    std::memcpy(coded_query, query, static_cast<size_t>(dim_) * sizeof(float));
    return;
  }
  if (kind_ == CodeKind::kBfloat16) {
    auto* numbers = reinterpret_cast<uint16_t*>(coded_query);
    for (int64_t i = 0; i < dim_; ++i) numbers[i] = ToBfloat16(query[i]);
    return;
  }
  const float step = StepFor(LargestMagnitude(query, static_cast<size_t>(dim_)));
  const float inverse_step = 1 / step;
  auto* numbers = reinterpret_cast<int8_t*>(coded_query + sizeof(Int8QueryHead));
  int64_t sum = 0, squares = 0;
  for (int64_t i = 0; i < dim_; ++i) {
    const int number = NearestInt8(query[i], inverse_step);
    numbers[i] = static_cast<int8_t>(number);
    sum += number;
    squares += number * number;
  }
  WriteInt8Head(coded_query, step, sum, squares);
}

void VectorCodec::CodeToQuery(const char* code, char* coded_query) const {
  std::memset(coded_query, 0, query_bytes_);
  if (kind_ != CodeKind::kInt8) {
    std::memcpy(coded_query, code, shape_.row_bytes);
    return;
  }
  const auto* row = reinterpret_cast<const uint8_t*>(code);
  auto* numbers = reinterpret_cast<int8_t*>(coded_query + sizeof(Int8QueryHead));
  int64_t sum = 0, squares = 0;
  for (int64_t i = 0; i < dim_; ++i) {
    const int number = row[i] - kInt8Zero;
    numbers[i] = static_cast<int8_t>(number);
    sum += number;
    squares += number * number;
  }
  WriteInt8Head(coded_query, shape_.step, sum, squares);
}

void VectorCodec::Gather(const char* coded_query, RowBlock codes, const uint32_t* nodes,
                         size_t n, float* out) const {
  kernel_->gather(shape_, coded_query, codes, nodes, n, out);
}

void VectorCodec::Scan(const char* coded_query, RowBlock codes, int64_t first, size_t n,
                       float* out) const {
  kernel_->scan(shape_, coded_query, codes, first, n, out);
}

float VectorCodec::Pair(const char* a, const char* b) const {
  return kernel_->pair(shape_, a, b);
}

std::string_view VectorCodec::instructions() const { return kernel_->name; }

}  // namespace stepwell::index
