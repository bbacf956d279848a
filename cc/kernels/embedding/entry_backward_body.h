// The kernel of entry_backward.h against `Vec`, included once per instruction set by
// entry_backward_cpu.cc: no include guard and no include on purpose (see simd/vec.h).

// target[0 .. dim) = scale * source[0 .. dim)
inline void WriteScaled(const float* source, float scale, int64_t dim, float* target) {
  const Vec scales = Vec::Fill(scale);
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    Vec::Mul(Vec::Load(source + column), scales).Store(target + column);
  }
  if (column == dim) return;
  const int64_t left = dim - column;
  Vec::Mul(Vec::LoadFirst(source + column, left), scales)
      .StoreFirst(target + column, left);
}

template <typename Index>
void EntryBackward(const EntryBags<Index>& bags, int64_t first_bag, int64_t last_bag,
                   float* entry_grads) {
  const int64_t start = bags.offsets == nullptr ? 0 : bags.offsets[0];
  for (int64_t bag = first_bag; bag < last_bag; ++bag) {
    const int64_t begin = bags.offsets == nullptr ? bag : bags.offsets[bag] - start;
    const int64_t end =
        bags.offsets == nullptr ? bag + 1 : bags.offsets[bag + 1] - start;
    const float* grad = bags.output_grad + bag * bags.grad_stride;
    const float share = bags.is_mean ? 1.0f / static_cast<float>(end - begin) : 1.0f;
    for (int64_t entry = begin; entry < end; ++entry) {
      const float weight =
          bags.entry_weights == nullptr ? 1.0f : bags.entry_weights[entry];
      WriteScaled(grad, share * weight, bags.dim, entry_grads + entry * bags.dim);
    }
  }
}
