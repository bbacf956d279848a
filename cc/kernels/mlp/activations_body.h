// Activations between int8 layers against `Vec`, included once per instruction set by
// activations_cpu.cc: no include guard and no include on purpose (see simd/vec.h).

constexpr int64_t kMaxLanes = 16;

template <bool kIsBfloat16>
Vec LoadValues(const void* row, int64_t k) {
  if constexpr (kIsBfloat16) {
    return Vec::LoadBfloat16(static_cast<const uint16_t*>(row) + k);
  } else {
    return Vec::Load(static_cast<const float*>(row) + k);
  }
}

// The values from column k on, fewer than a register holds; zeros behind them.
template <bool kIsBfloat16>
Vec LoadLastValues(const void* row, int64_t k, int64_t width) {
  constexpr int64_t kBytes = kIsBfloat16 ? 2 : 4;
  float last[kMaxLanes] = {};
  __builtin_memcpy(last, static_cast<const uint8_t*>(row) + k * kBytes,
                   static_cast<size_t>((width - k) * kBytes));
  return LoadValues<kIsBfloat16>(last, 0);
}

template <bool kIsBfloat16>
Vec FinishedValues(const ActivationScratch& scratch, const void* row, Vec scale,
                   bool relu, int64_t k, int64_t width) {
  const Vec values = k + Vec::kLanes <= width
                         ? LoadValues<kIsBfloat16>(row, k)
                         : LoadLastValues<kIsBfloat16>(row, k, width);
  const Vec sum = Vec::MulAdd(values, scale, Vec::Load(scratch.bias + k));
  // In this order NaN stays NaN.
  return relu ? Max(Vec::Zero(), sum) : sum;
}

inline float Largest(Vec vec) {
  float lanes[kMaxLanes];
  vec.Store(lanes);
  float largest = lanes[0];
  for (int64_t lane = 1; lane < Vec::kLanes; ++lane) {
    largest = lanes[lane] > largest ? lanes[lane] : largest;
  }
  return largest;
}

// What a row's values have come to so far: their largest magnitude, and a sum of zeros
// as long as all of them are finite.
struct RowExtent {
  Vec largest = Vec::Zero();
  Vec broken = Vec::Zero();

  void Add(Vec value) {
    largest = Max(largest, Magnitude(value));
    broken = Vec::MulAdd(value, Vec::Zero(), broken);
  }
};

// Fills scratch.row with the row's values and returns their largest magnitude, NaN when
// one of them is not finite.
template <bool kIsBfloat16>
float FinishInto(const ActivationScratch& scratch, const void* row, float row_scale,
                 bool relu, int64_t width) {
  const Vec scale = Vec::Fill(row_scale);
  // Two of them, so that a step need not wait for the one before.
  RowExtent even;
  RowExtent odd;
  int64_t k = 0;
  for (; k + 2 * Vec::kLanes <= width; k += 2 * Vec::kLanes) {
    const Vec first = FinishedValues<kIsBfloat16>(scratch, row, scale, relu, k, width);
    const Vec second =
        FinishedValues<kIsBfloat16>(scratch, row, scale, relu, k + Vec::kLanes, width);
    first.Store(scratch.row + k);
    second.Store(scratch.row + k + Vec::kLanes);
    even.Add(first);
    odd.Add(second);
  }
  for (; k < width; k += Vec::kLanes) {
    const Vec value = FinishedValues<kIsBfloat16>(scratch, row, scale, relu, k, width);
    value.Store(scratch.row + k);
    even.Add(value);
  }
  return Largest(Max(even.largest, odd.largest)) +
         Vec::Add(even.broken, odd.broken).Sum();
}

// Writes round(value * steps_per_unit + zero_point) of a row.
inline void StoreRowCodes(const float* row, float steps_per_unit, float zero_point,
                          int64_t width, uint8_t* codes) {
  const Vec factor = Vec::Fill(steps_per_unit);
  const Vec zero = Vec::Fill(zero_point);
  int64_t k = 0;
  for (; k + Vec::kLanes <= width; k += Vec::kLanes) {
    StoreCodes(Vec::MulAdd(Vec::Load(row + k), factor, zero), codes + k);
  }
  if (k == width) return;
  uint8_t last[kMaxLanes];
  StoreCodes(Vec::MulAdd(Vec::Load(row + k), factor, zero), last);
  __builtin_memcpy(codes + k, last, static_cast<size_t>(width - k));
}

template <bool kIsBfloat16>
void QuantizeRows(const ActivationRows& rows, int64_t num_rows,
                  const ActivationScratch& scratch, uint8_t* codes,
                  float* code_scales) {
  const int64_t row_bytes = rows.width * (kIsBfloat16 ? 2 : 4);
  const float zero_point = static_cast<float>(ZeroPointOf(rows.relu));
  const float num_steps = rows.relu ? 255.0f : 127.0f;
  for (int64_t b = 0; b < num_rows; ++b) {
    const void* row = static_cast<const uint8_t*>(rows.values) + b * row_bytes;
    const float row_scale = rows.row_scales == nullptr ? 1.0f : rows.row_scales[b];
    const float largest =
        FinishInto<kIsBfloat16>(scratch, row, row_scale, rows.relu, rows.width);
    uint8_t* to = codes + b * rows.width;
    if (largest > kSmallestActivation) {
      code_scales[b] = largest / num_steps;
      StoreRowCodes(scratch.row, num_steps / largest, zero_point, rows.width, to);
    } else {
      // Of nothing, or of what is no number.
      code_scales[b] = largest != largest ? largest : 0.0f;
      __builtin_memset(to, static_cast<int>(zero_point),
                       static_cast<size_t>(rows.width));
    }
  }
}

inline void StoreValues(Vec value, bool to_bfloat16, void* row, int64_t k) {
  if (to_bfloat16) {
    value.StoreBfloat16(static_cast<uint16_t*>(row) + k);
  } else {
    value.Store(static_cast<float*>(row) + k);
  }
}

template <bool kIsBfloat16>
void FinishRows(const ActivationRows& rows, int64_t num_rows,
                const ActivationScratch& scratch, bool to_bfloat16, void* output) {
  const int64_t row_bytes = rows.width * (kIsBfloat16 ? 2 : 4);
  const int64_t output_bytes = to_bfloat16 ? 2 : 4;
  for (int64_t b = 0; b < num_rows; ++b) {
    const void* row = static_cast<const uint8_t*>(rows.values) + b * row_bytes;
    uint8_t* to = static_cast<uint8_t*>(output) + b * rows.width * output_bytes;
    const Vec scale = Vec::Fill(rows.row_scales == nullptr ? 1.0f : rows.row_scales[b]);
    int64_t k = 0;
    for (; k + Vec::kLanes <= rows.width; k += Vec::kLanes) {
      StoreValues(
          FinishedValues<kIsBfloat16>(scratch, row, scale, rows.relu, k, rows.width),
          to_bfloat16, to, k);
    }
    if (k == rows.width) continue;
    float last[kMaxLanes];
    StoreValues(
        FinishedValues<kIsBfloat16>(scratch, row, scale, rows.relu, k, rows.width),
        to_bfloat16, last, 0);
    __builtin_memcpy(to + k * output_bytes, last,
                     static_cast<size_t>((rows.width - k) * output_bytes));
  }
}

inline void Quantize(const ActivationRows& rows, int64_t num_rows,
                     const ActivationScratch& scratch, uint8_t* codes,
                     float* code_scales) {
  if (rows.is_bfloat16) {
    QuantizeRows<true>(rows, num_rows, scratch, codes, code_scales);
  } else {
    QuantizeRows<false>(rows, num_rows, scratch, codes, code_scales);
  }
}

inline void Finish(const ActivationRows& rows, int64_t num_rows,
                   const ActivationScratch& scratch, bool to_bfloat16, void* output) {
  if (rows.is_bfloat16) {
    FinishRows<true>(rows, num_rows, scratch, to_bfloat16, output);
  } else {
    FinishRows<false>(rows, num_rows, scratch, to_bfloat16, output);
  }
}
