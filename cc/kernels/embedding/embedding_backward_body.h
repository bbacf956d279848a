// The gradients of the embedding kernels against `Vec`, included once per instruction
// set by embedding_backward_cpu.cc: no include guard and no include but of other bodies
// (see simd/vec.h).
#include "cc/kernels/embedding/add_scaled_body.h"
#include "cc/kernels/embedding/row_readers_body.h"

// The dot of `dim` floats with a row of a table that is not quantised.
template <typename Rows>
float Dot(const float* a, const uint8_t* row, int64_t dim) {
  Vec sums = Vec::Zero();
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    Vec values;
    Rows::template Load<1>(row, column, &values);
    sums = Vec::MulAdd(Vec::Load(a + column), values, sums);
  }
  if (column < dim) {
    const int64_t left = dim - column;
    sums = Vec::MulAdd(Vec::LoadFirst(a + column, left),
                       Rows::LoadFirst(row, column, left), sums);
  }
  return sums.Sum();
}

using DotFn = float (*)(const float*, const uint8_t*, int64_t);

inline DotFn DotOf(RowFormat format) {
  if (format == RowFormat::kFloat16) return Dot<Float16Rows>;
  if (format == RowFormat::kBfloat16) return Dot<Bfloat16Rows>;
  return Dot<Float32Rows>;
}

// The gradient of the row of the output that an entry went to.
template <typename Index>
const float* GradOf(const EmbeddingBags<Index>& bags, const EmbeddingTable& table,
                    int64_t row, int64_t position, const float* output_grad) {
  const int64_t output_row = bags.pooling == Pooling::kNone ? position : row;
  return output_grad + output_row * bags.output_stride + table.output_column;
}

template <typename Index>
EmbeddingFault Backward(const EmbeddingBags<Index>& bags, int64_t table_number,
                        const float* output_grad, float* table_grad) {
  const EmbeddingTable& table = bags.tables[table_number];
  for (int64_t row = 0; row < bags.batch; ++row) {
    const int64_t bag = table_number * bags.batch + row;
    int64_t begin, end;
    if (!SpanOfBag(bags, bag, begin, end)) return OffsetFault(bags, bag, bag + 1);
    const float scale = ScaleOf(bags, end - begin);
    for (int64_t position = begin; position < end; ++position) {
      const NamedRow named = RowOf(table, bags.indices[position]);
      if (!named.is_good) return IndexFault(bags, table_number, position);
      if (named.number < 0) continue;
      const float weight =
          bags.per_entry_weights == nullptr ? 1.0f : bags.per_entry_weights[position];
      AddScaled(GradOf(bags, table, row, position, output_grad), scale * weight,
                table.dim, table_grad + named.number * table.dim);
    }
  }
  return {};
}

template <typename Index>
EmbeddingFault WeightsBackward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                               int64_t last_bag, const float* output_grad,
                               float* weights_grad) {
  for (int64_t bag = first_bag; bag < last_bag; ++bag) {
    const int64_t table_number = bag / bags.batch;
    const EmbeddingTable& table = bags.tables[table_number];
    const uint8_t* rows = static_cast<const uint8_t*>(table.rows);
    const int64_t row_bytes = RowBytes(table.format, table.dim);
    const DotFn dot = DotOf(table.format);
    int64_t begin, end;
    if (!SpanOfBag(bags, bag, begin, end)) return OffsetFault(bags, bag, bag + 1);
    const float scale = ScaleOf(bags, end - begin);
    for (int64_t position = begin; position < end; ++position) {
      const NamedRow named = RowOf(table, bags.indices[position]);
      if (!named.is_good) return IndexFault(bags, table_number, position);
      const float* grad = GradOf(bags, table, bag % bags.batch, position, output_grad);
      weights_grad[position] =
          named.number < 0
              ? 0.0f
              : scale * dot(grad, rows + named.number * row_bytes, table.dim);
    }
  }
  return {};
}
