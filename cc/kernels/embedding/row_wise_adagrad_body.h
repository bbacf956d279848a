// The kernel of row_wise_adagrad.h against `Vec`, included once per instruction set by
// row_wise_adagrad_cpu.cc: no include guard and no include but of
// another body (see simd/vec.h).
#include "cc/kernels/embedding/add_scaled_body.h"

inline float SquareSum(const float* values, int64_t dim) {
  Vec sums = Vec::Zero();
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    const Vec value = Vec::Load(values + column);
    sums = Vec::MulAdd(value, value, sums);
  }
  if (column < dim) {
    const Vec value = Vec::LoadFirst(values + column, dim - column);
    sums = Vec::MulAdd(value, value, sums);
  }
  return sums.Sum();
}

// Returns the row's gradient, where it stands when it is one entry's, else the sum of
// the entries [begin, end) in `scratch`.
inline const float* RowGrad(const AdagradTable& table, const RowEntry* begin,
                            const RowEntry* end, float* scratch) {
  const float* first = table.grads + begin->position * table.dim;
  if (end - begin == 1) return first;
  for (int64_t column = 0; column < table.dim; ++column)
    scratch[column] = first[column];
  for (const RowEntry* entry = begin + 1; entry != end; ++entry) {
    AddScaled(table.grads + entry->position * table.dim, 1.0f, table.dim, scratch);
  }
  return scratch;
}

inline void UpdateRow(const AdagradTable& table, const RowEntry* begin,
                      const RowEntry* end, float* scratch) {
  const float* grad = RowGrad(table, begin, end, scratch);
  float& moment = table.moments[begin->row];
  moment += SquareSum(grad, table.dim) / static_cast<float>(table.dim);
  const float step = table.lr / (__builtin_sqrtf(moment) + table.eps);
  AddScaled(grad, -step, table.dim, table.rows + begin->row * table.dim);
}

// `first` is the first entry of a row; entries end at `end`, rows begin before `last`.
inline void Update(const AdagradTable& table, const RowEntry* first,
                   const RowEntry* last, const RowEntry* end, float* scratch) {
  constexpr int64_t kAhead = 8;
  while (first < last) {
    const RowEntry* next = first + 1;
    while (next < end && next->row == first->row) ++next;
    if (end - next > kAhead) {
      const RowEntry& ahead = next[kAhead];
      __builtin_prefetch(table.moments + ahead.row, 1);
      const char* row =
          reinterpret_cast<const char*>(table.rows + ahead.row * table.dim);
      for (int64_t byte = 0; byte < table.dim * 4; byte += 64) {
        __builtin_prefetch(row + byte, 1);
      }
    }
    UpdateRow(table, first, next, scratch);
    first = next;
  }
}
