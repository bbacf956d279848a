// How the vectors of one index are coded for the walk through its graph.
#ifndef STEPWELL_CC_INDEX_VECTOR_CODEC_H_
#define STEPWELL_CC_INDEX_VECTOR_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/index/code_kernels.h"
#include "cc/index/distance.h"
#include "cc/index/metric.h"

namespace stepwell::index {

// The numbers are part of the file format.
enum class CodeKind : uint32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };

// Of int8 codes: the square of a larger coordinate is no float32, so none has one.
inline constexpr float kMaxInt8Limit = 1.8446743e19f;

absl::StatusOr<CodeKind> ParseCodeKind(std::string_view name);
std::string_view CodeKindName(CodeKind kind);

// Codes of one kind, metric and dimension, and the distances between them. A
// distance is smaller for a nearer pair and estimates the one of DistanceKernel
// (-q.x, or |q - x|^2): exact for float32, else with the error of the code.
//
// int8: a coordinate x is stored as round(x / step) + 128 in a byte, clipped to
// 1 .. 255, with step = limit / 127. The query is coded in the same way with a step
// of its own, so that one multiply-add of unsigned by signed bytes (VNNI) does four
// products. L2 adds |x|^2 of the coded vector as a float behind the bytes. bfloat16:
// rows and queries to nearest even.
//
// Concurrency: immutable; every method is a pure function. Instructions are chosen
// at run time.
class VectorCodec {
 public:
  // `limit` is the largest magnitude an int8 coordinate covers, > 0 and finite;
  // other kinds ignore it.
  VectorCodec(CodeKind kind, Metric metric, int64_t dim, float limit);

  // A limit for int8 codes of these vectors, row-major [N, dim]: the largest
  // magnitude for inner product and L2; for cosine the 1 - 1e-5 quantile of the
  // magnitudes, since a rare clipped coordinate costs less than coarse steps for all
  // others. 1 when there are no vectors or only zeros. Looks at no more than 100'000
  // rows, evenly spread.
  static float LimitFor(absl::Span<const float> vectors, int64_t dim, Metric metric);

  CodeKind kind() const { return kind_; }
  Metric metric() const { return metric_; }
  int64_t dim() const { return dim_; }
  float limit() const { return limit_; }

  // Distance in bytes between two code rows: a multiple of 16, and of 64 where that
  // wastes no more than a quarter.
  size_t code_stride() const { return code_stride_; }
  // Size of a coded query; its memory must be aligned to 64 bytes.
  size_t query_bytes() const { return query_bytes_; }

  // Writes code_stride() bytes; those that hold nothing are always the same.
  void Encode(const float* vector, char* code) const;
  // The vector that a code stands for, float32 [dim].
  void Decode(const char* code, float* vector) const;

  void EncodeQuery(const float* query, char* coded_query) const;
  // A stored row as a query.
  void CodeToQuery(const char* code, char* coded_query) const;

  // Asks for a row that is about to be compared, its first lines if it is long.
  void Prefetch(RowBlock codes, uint32_t node) const {
    constexpr size_t kLine = 64, kMost = 8 * kLine;
    const char* row = codes.base + node * codes.stride_bytes;
    const size_t num_bytes = code_stride_ < kMost ? code_stride_ : kMost;
    for (size_t at = 0; at < num_bytes; at += kLine) __builtin_prefetch(row + at);
  }

  // out[i] = distance of the query to row `nodes[i]` of `codes`, for n rows. Rows a
  // few places ahead are prefetched.
  void Gather(const char* coded_query, RowBlock codes, const uint32_t* nodes, size_t n,
              float* out) const;
  // The same for the rows first .. first + n - 1.
  void Scan(const char* coded_query, RowBlock codes, int64_t first, size_t n,
            float* out) const;
  // Distance between two stored rows.
  float Pair(const char* a, const char* b) const;

  // How rows lie, for the kernels.
  const CodeShape& shape() const { return shape_; }
  // "scalar", "avx2", "avx_vnni" (int8), "avx512" (int8: with VNNI) or "avx512_bf16".
  std::string_view instructions() const;

 private:
  void EncodeInt8(const float* vector, char* code) const;

  CodeKind kind_;
  Metric metric_;
  int64_t dim_;
  float limit_;
  size_t code_stride_;
  size_t query_bytes_;
  CodeShape shape_;
  const CodeKernel* kernel_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_VECTOR_CODEC_H_
