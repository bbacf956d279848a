#ifndef CC_KERNELS_EMBEDDING_ROW_FORMAT_H_
#define CC_KERNELS_EMBEDDING_ROW_FORMAT_H_

#include <cstdint>

// How one row of an embedding table lies in memory; docs/row_formats.md says it byte
// by byte. Header-only, without includes of its own kind: CPU, CUDA and row files share
// it.
namespace stepwell::kernels {

// The numbers are written to files and to layout tensors: never reuse one.
enum class RowFormat : int32_t {
  kFloat32 = 0,
  kFloat16 = 1,
  kBfloat16 = 2,
  kInt8 = 3,  // float32 scale, float32 bias, then one code a column
  kInt4 = 4,  // float32 scale, float32 bias, then two codes a byte
};

constexpr int32_t kNumRowFormats = 5;

// Bytes of scale and bias before the codes of a quantised row.
constexpr int64_t kRowHeaderBytes = 8;
// Quantised rows are padded with zeros to a multiple of this; it is the alignment that
// a table of any format needs at most.
constexpr int64_t kRowAlignment = 8;
// Wider rows are refused: with it, the bytes of a row never overflow.
constexpr int64_t kMaxRowDim = int64_t{1} << 32;

constexpr bool IsRowFormat(int64_t number) {
  return number >= 0 && number < kNumRowFormats;
}

constexpr const char* RowFormatName(RowFormat format) {
  constexpr const char* kNames[kNumRowFormats] = {"float32", "float16", "bfloat16",
                                                  "int8", "int4"};
  return kNames[static_cast<int32_t>(format)];
}

constexpr bool IsQuantised(RowFormat format) {
  return format == RowFormat::kInt8 || format == RowFormat::kInt4;
}

// The address of a table must be a multiple of this.
constexpr int64_t RowAlignment(RowFormat format) {
  if (format == RowFormat::kFloat32) return 4;
  return IsQuantised(format) ? kRowAlignment : 2;
}

// Bytes from one row to the next; 0 <= dim <= kMaxRowDim.
constexpr int64_t RowBytes(RowFormat format, int64_t dim) {
  if (format == RowFormat::kFloat32) return dim * 4;
  if (!IsQuantised(format)) return dim * 2;
  const int64_t codes = format == RowFormat::kInt8 ? dim : (dim + 1) / 2;
  return (kRowHeaderBytes + codes + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_ROW_FORMAT_H_
