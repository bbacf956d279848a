// Included by coded_vectors_cpu.cc once per instruction set.

// Writes the sums of code times coordinate of `count` rows of `stride` codes.
inline void CodeSums(const uint8_t* codes, int64_t count, int64_t stride,
                     const float* coordinates, float* sums) {
  for (int64_t row = 0; row < count; ++row) {
    Vec even = Vec::Zero(), odd = Vec::Zero();
    int64_t at = 0;
    for (; at + 2 * Vec::kLanes <= stride; at += 2 * Vec::kLanes) {
      even = Vec::MulAdd(Vec::LoadBytes(codes + at), Vec::Load(coordinates + at), even);
      odd = Vec::MulAdd(Vec::LoadBytes(codes + at + Vec::kLanes),
                        Vec::Load(coordinates + at + Vec::kLanes), odd);
    }
    for (; at < stride; at += Vec::kLanes) {
      even = Vec::MulAdd(Vec::LoadBytes(codes + at), Vec::Load(coordinates + at), even);
    }
    sums[row] = Vec::Add(even, odd).Sum();
    codes += stride;
  }
}
