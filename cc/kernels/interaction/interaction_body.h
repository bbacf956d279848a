// The interaction kernels against `Vec`, included once per instruction set by
// interaction_cpu.cc: no include guard and no include on purpose (see simd/vec.h).

inline void StoreUpTo(Vec vec, float* p, int64_t count) {
  if (count >= Vec::kLanes) {
    vec.Store(p);
  } else if (count > 0) {
    vec.StoreFirst(p, count);
  }
}

// Dots of vectors i .. i + kRows with vectors j .. j + kVecs * kLanes, of which those
// below the diagonal and below num_vectors are stored. Lanes run along j, so that no
// sum crosses lanes and a row of the triangle is stored as it lies.
template <int kRows, int kVecs>
void DotTile(const float* columns, int64_t stride, const InteractionShape& shape,
             int64_t i, int64_t j, float* pairs) {
  Vec sums[kRows][kVecs];
  for (int row = 0; row < kRows; ++row) {
    for (int vec = 0; vec < kVecs; ++vec) sums[row][vec] = Vec::Zero();
  }
  const float* column = columns;
  for (int64_t d = 0; d < shape.dim; ++d, column += stride) {
    Vec right[kVecs];
    for (int vec = 0; vec < kVecs; ++vec) {
      right[vec] = Vec::Load(column + j + vec * Vec::kLanes);
    }
    for (int row = 0; row < kRows; ++row) {
      const Vec left = Vec::Fill(column[i + row]);
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Vec::MulAdd(left, right[vec], sums[row][vec]);
      }
    }
  }
  for (int row = 0; row < kRows && i + row < shape.num_vectors(); ++row) {
    const int64_t r = i + row;
    float* out = pairs + r * (r - 1) / 2;
    for (int vec = 0; vec < kVecs; ++vec) {
      const int64_t at = j + vec * Vec::kLanes;
      StoreUpTo(sums[row][vec], out + at, r - at);
    }
  }
}

inline void ForwardSample(const InteractionShape& shape, const float* columns,
                          int64_t stride, float* pairs) {
  for (int64_t i = 1; i < shape.num_vectors(); i += kRowBlock) {
    const int64_t past =
        i + kRowBlock - 1 < shape.num_sparse ? i + kRowBlock - 1 : shape.num_sparse;
    int64_t j = 0;
    for (; j + Vec::kLanes < past; j += 2 * Vec::kLanes) {
      DotTile<kRowBlock, 2>(columns, stride, shape, i, j, pairs);
    }
    if (j < past) DotTile<kRowBlock, 1>(columns, stride, shape, i, j, pairs);
  }
}

inline void Forward(const InteractionShape& shape, int64_t num_samples,
                    const float* dense, const float* sparse, float* output,
                    TransposedVectors& vectors) {
  for (int64_t sample = 0; sample < num_samples; ++sample) {
    vectors.Fill(dense, sparse);
    std::memcpy(output, dense, static_cast<size_t>(shape.dim) * sizeof(float));
    ForwardSample(shape, vectors.data(), vectors.stride(), output + shape.dim);
    dense += shape.dim;
    sparse += shape.num_sparse * shape.dim;
    output += shape.output_dim();
  }
}

inline Vec LoadUpTo(const float* p, int64_t count) {
  return count >= Vec::kLanes ? Vec::Load(p) : Vec::LoadFirst(p, count);
}

// Components [d, d + kVecs * kLanes) of the gradient of one vector: the other vectors,
// each times the gradient of its dot with this one. The diagonal holds zero.
template <int kVecs>
void GradTile(const InteractionShape& shape, const float* pair_row, const float* dense,
              const float* sparse, int64_t d, Vec* sums) {
  const int64_t left = shape.dim - d;
  for (int64_t j = 0; j < shape.num_vectors(); ++j) {
    const float* other = j == 0 ? dense : sparse + (j - 1) * shape.dim;
    const Vec grad = Vec::Fill(pair_row[j]);
    for (int vec = 0; vec < kVecs; ++vec) {
      const int64_t at = vec * Vec::kLanes;
      sums[vec] = Vec::MulAdd(LoadUpTo(other + d + at, left - at), grad, sums[vec]);
    }
  }
}

// `direct` is the gradient that reaches the vector besides its dots, or null.
inline void BackwardVector(const InteractionShape& shape, const float* pair_row,
                           const float* dense, const float* sparse, const float* direct,
                           float* grad) {
  constexpr int kVecs = 4;
  int64_t d = 0;
  for (; d + kVecs * Vec::kLanes <= shape.dim; d += kVecs * Vec::kLanes) {
    Vec sums[kVecs];
    for (int vec = 0; vec < kVecs; ++vec) {
      const int64_t at = d + vec * Vec::kLanes;
      sums[vec] = direct == nullptr ? Vec::Zero() : Vec::Load(direct + at);
    }
    GradTile<kVecs>(shape, pair_row, dense, sparse, d, sums);
    for (int vec = 0; vec < kVecs; ++vec) {
      sums[vec].Store(grad + d + vec * Vec::kLanes);
    }
  }
  for (; d < shape.dim; d += Vec::kLanes) {
    Vec sum = direct == nullptr ? Vec::Zero() : LoadUpTo(direct + d, shape.dim - d);
    GradTile<1>(shape, pair_row, dense, sparse, d, &sum);
    StoreUpTo(sum, grad + d, shape.dim - d);
  }
}

inline void Backward(const InteractionShape& shape, int64_t num_samples,
                     const float* output_grad, const float* dense, const float* sparse,
                     float* dense_grad, float* sparse_grad, PairGradients& pairs) {
  const int64_t sparse_size = shape.num_sparse * shape.dim;
  for (int64_t sample = 0; sample < num_samples; ++sample) {
    pairs.Fill(output_grad + shape.dim);
    BackwardVector(shape, pairs.row(0), dense, sparse, output_grad, dense_grad);
    for (int64_t f = 0; f < shape.num_sparse; ++f) {
      BackwardVector(shape, pairs.row(f + 1), dense, sparse, nullptr,
                     sparse_grad + f * shape.dim);
    }
    output_grad += shape.output_dim();
    dense += shape.dim;
    dense_grad += shape.dim;
    sparse += sparse_size;
    sparse_grad += sparse_size;
  }
}
