// One row added to another, against `Vec`; included by other bodies (see simd/vec.h).

// target[0 .. dim) += scale * source[0 .. dim)
inline void AddScaled(const float* source, float scale, int64_t dim, float* target) {
  const Vec scales = Vec::Fill(scale);
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    Vec::MulAdd(Vec::Load(source + column), scales, Vec::Load(target + column))
        .Store(target + column);
  }
  if (column == dim) return;
  const int64_t left = dim - column;
  Vec::MulAdd(Vec::LoadFirst(source + column, left), scales,
              Vec::LoadFirst(target + column, left))
      .StoreFirst(target + column, left);
}
