// Included by decayed_columns_cpu.cc once per instruction set. Plain loops: with the
// set's registers the compiler makes them ones of vectors.

// 2^-x for 0 <= x <= kMostHalfLives, relative error 2e-7: Taylor's series around the
// nearest whole number.
inline float HalvedTimes(float x) {
  const auto whole = static_cast<int32_t>(x + 0.5f);
  const float rest = (static_cast<float>(whole) - x) * 0.693147181f;
  float sum = 1.0f / 720.0f;
  sum = sum * rest + 1.0f / 120.0f;
  sum = sum * rest + 1.0f / 24.0f;
  sum = sum * rest + 1.0f / 6.0f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  return sum * std::bit_cast<float>((127 - whole) << 23);
}

// factors [kStepRows]: what is left after ages [kStepRows] seconds.
inline void WriteFactors(const float* __restrict ages, float rate,
                         float* __restrict factors) {
  for (int64_t i = 0; i < kStepRows; ++i) {
    // Numbers from 0 on are in the order of their bits; a choice between floats would
    // keep the loop from being one of vectors.
    const auto bits = std::bit_cast<int32_t>(ages[i] * rate);
    const auto most = std::bit_cast<int32_t>(kMostHalfLives);
    factors[i] = HalvedTimes(std::bit_cast<float>(bits < most ? bits : most));
  }
}
