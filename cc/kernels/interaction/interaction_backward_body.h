// The backward kernel, included once per instruction set by
// interaction_backward_cpu.cc: no include guard and no include on purpose (see
// simd/vec.h).

// Writes kLanes x kLanes gradients of the dots (i + row, j + column), i >= j, and their
// mirror image, from the packed triangle.
template <typename Element>
void FillGradientBlock(const Element* packed_pairs, const PairGradients& gradients,
                       int64_t i, int64_t j) {
  Vec rows[Vec::kLanes];
#pragma GCC unroll 16
  for (int64_t k = 0; k < Vec::kLanes; ++k) {
    const int64_t r = i + k;
    const int64_t count = r < gradients.size ? r - j : 0;
    rows[k] = Lanes::Load(packed_pairs + r * (r - 1) / 2 + j, count);
  }
  float* below = gradients.matrix + i * gradients.stride + j;
  if (i > j) {
#pragma GCC unroll 16
    for (int64_t k = 0; k < Vec::kLanes; ++k) {
      rows[k].Store(below + k * gradients.stride);
    }
    Lanes::Transpose(rows);
  } else {
    Vec mirrored[Vec::kLanes];
    for (int64_t k = 0; k < Vec::kLanes; ++k) mirrored[k] = rows[k];
    Lanes::Transpose(mirrored);
#pragma GCC unroll 16
    for (int64_t k = 0; k < Vec::kLanes; ++k) {
      rows[k] = Vec::Add(rows[k], mirrored[k]);
    }
  }
  float* above = gradients.matrix + j * gradients.stride + i;
#pragma GCC unroll 16
  for (int64_t k = 0; k < Vec::kLanes; ++k) {
    rows[k].Store(above + k * gradients.stride);
  }
}

template <typename Element>
void FillGradients(const Element* packed_pairs, const PairGradients& gradients) {
  for (int64_t i = 0; i < gradients.size; i += Vec::kLanes) {
    for (int64_t j = 0; j <= i; j += Vec::kLanes) {
      FillGradientBlock(packed_pairs, gradients, i, j);
    }
  }
}

// One sample's gradients in and out.
template <typename Element>
struct Gradients {
  const Element* direct;  // reaches the dense vector besides its dots
  Element* dense;
  Element* sparse;

  Element* at(int64_t vector, int64_t dim) const {
    return vector == 0 ? dense : sparse + (vector - 1) * dim;
  }
};

// Components [d, d + kVecs * kLanes) of the gradients of vectors i .. i + kRows: all
// vectors, each times the gradient of its dot with this one. The diagonal holds zero.
template <int kRows, int kVecs, typename Element>
void GradTile(const SampleVectors<Element>& sample, const PairGradients& pairs,
              int64_t i, int64_t d, const Gradients<Element>& gradients) {
  Vec sums[kRows][kVecs];
#pragma GCC unroll 6
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) sums[row][vec] = Vec::Zero();
  }
  // Several registers a row are always full ones.
  const int64_t left = kVecs > 1 ? kVecs * Vec::kLanes : sample.dim - d;
  const float* coefficients = pairs.matrix + i;
  for (int64_t j = 0; j < sample.num_vectors(); ++j) {
    const Element* other = sample.at(j) + d;
    Vec others[kVecs];
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      others[vec] = Lanes::Load(other + vec * Vec::kLanes, left - vec * Vec::kLanes);
    }
#pragma GCC unroll 6
    for (int row = 0; row < kRows; ++row) {
      const Vec one = Vec::Fill(coefficients[row]);
#pragma GCC unroll 4
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Vec::MulAdd(one, others[vec], sums[row][vec]);
      }
    }
    coefficients += pairs.stride;
  }
  if (i == 0) {
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      const int64_t at = vec * Vec::kLanes;
      sums[0][vec] =
          Vec::Add(Lanes::Load(gradients.direct + d + at, left - at), sums[0][vec]);
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < kRows; ++row) {
    Element* out = gradients.at(i + row, sample.dim) + d;
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      const int64_t at = vec * Vec::kLanes;
      Lanes::Store(sums[row][vec], out + at, left - at);
    }
  }
}

// The tile of `num_rows` <= kRows rows.
template <int kRows, int kVecs, typename Element>
void GradTileOf(int64_t num_rows, const SampleVectors<Element>& sample,
                const PairGradients& pairs, int64_t i, int64_t d,
                const Gradients<Element>& gradients) {
  if constexpr (kRows > 1) {
    if (num_rows < kRows) {
      return GradTileOf<kRows - 1, kVecs>(num_rows, sample, pairs, i, d, gradients);
    }
  }
  GradTile<kRows, kVecs>(sample, pairs, i, d, gradients);
}

// Components [d, d + kVecs * kLanes) of the gradients of all vectors.
template <int kVecs, typename Element>
void GradSlice(const SampleVectors<Element>& sample, const PairGradients& pairs,
               int64_t d, const Gradients<Element>& gradients) {
  constexpr int kMaxRows = Vec::kLanes == 16 ? 6 : 4;
  const int64_t num_vectors = sample.num_vectors();
  const int64_t num_tiles = (num_vectors + kMaxRows - 1) / kMaxRows;
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t from = num_vectors * tile / num_tiles;
    const int64_t to = num_vectors * (tile + 1) / num_tiles;
    GradTileOf<kMaxRows, kVecs>(to - from, sample, pairs, from, d, gradients);
  }
}

template <typename Element>
void Backward(SampleVectors<Element> sample, int64_t num_samples,
              const Element* output_grad, Element* dense_grad, Element* sparse_grad,
              const PairGradients& pairs) {
  // 24 sums of 32 registers, or 8 of 16.
  constexpr int kVecs = Vec::kLanes == 16 ? 4 : 2;
  const int64_t dim = sample.dim;
  const int64_t output_dim = dim + pairs.size * (pairs.size - 1) / 2;
  for (int64_t s = 0; s < num_samples; ++s) {
    const Gradients<Element> gradients = {output_grad, dense_grad, sparse_grad};
    FillGradients(output_grad + dim, pairs);
    int64_t d = 0;
    for (; d + kVecs * Vec::kLanes <= dim; d += kVecs * Vec::kLanes) {
      GradSlice<kVecs>(sample, pairs, d, gradients);
    }
    for (; d < dim; d += Vec::kLanes) GradSlice<1>(sample, pairs, d, gradients);
    sample.Advance();
    output_grad += output_dim;
    dense_grad += dim;
    sparse_grad += sample.num_tail * dim;
  }
}
