#ifndef CC_KERNELS_CANDIDATES_DECAYED_COLUMNS_H_
#define CC_KERNELS_CANDIDATES_DECAYED_COLUMNS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// A number of a stored row, float32, as of a time of the same row, int64 unix seconds;
// both by their places in the row's bytes. It halves every half_life_seconds.
struct DecayedColumn {
  int64_t value_offset = 0;
  int64_t time_offset = 0;
  float half_life_seconds = 1.0f;
};

// Which numbers of a packed row are features, decayed to the moment of the question.
// Concurrency: immutable.
class DecayedColumns {
 public:
  static constexpr int64_t kMaxColumns = 32;

  // No columns.
  DecayedColumns() = default;
  // At most kMaxColumns; each lies within row_bytes, half-lives are > 0.
  DecayedColumns(const std::vector<DecayedColumn>& columns, int64_t row_bytes);

  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }
  int64_t row_bytes() const { return row_bytes_; }

  // Writes the size() numbers of one row as of `now`; of a time that is later they are
  // what they are. Relative error 1e-6. Rows may lie at any address.
  void Write(const char* row, int64_t now, float* out) const;

  // The same of the rows at `places` of an array of rows: out [num_rows, size()], one
  // row of it `stride` floats behind the other.
  // Cost: about 6 ns a row of six numbers with two times.
  void WriteRows(const char* rows, const int64_t* places, int64_t num_rows, int64_t now,
                 float* out, int64_t stride, Isa isa = BestIsa()) const;

 private:
  // Numbers as of one time: rates_[first_rate] and the following are 1 / half-lives.
  struct Time {
    int64_t offset;
    size_t first_rate;
    size_t end_rate;
  };
  // A number and the factor it decays by: its rate's place.
  struct Number {
    int64_t offset;
    size_t rate;
  };

  int64_t row_bytes_ = 0;
  std::vector<Time> times_;
  std::vector<float> rates_;
  std::vector<Number> numbers_;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_DECAYED_COLUMNS_H_
