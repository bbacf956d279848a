// A block of candidates through the whole ranker against `Floats` and `Ints`, included
// once per instruction set by ranker_cpu.cc: no include guard and no include on purpose
// (see simd/vec.h).

constexpr int64_t kLanes = 16;
constexpr int64_t kRegisters = kPanel / kLanes;
constexpr int64_t kTileRows = 6;  // with four registers each they fill the processor's

// Where the rows of one block stand between two layers.
struct Rows {
  int64_t count;
  float* values;  // [count, value_stride], zeros behind a layer's last output
  int64_t value_stride;
  uint8_t* inputs;  // [count, input_stride]: bfloat16 or codes, of the next layer
  int64_t input_stride;
  float* scales;                  // [count], of the codes
  const uint16_t* const* biases;  // [count], of each row in top[0], otherwise null
  Lookahead* ahead;

  float* value_row(int64_t row) const { return values + row * value_stride; }
  uint8_t* input_row(int64_t row) const { return inputs + row * input_stride; }
};

template <bool kIsInt8>
struct Sums;

template <>
struct Sums<false> {
  Floats value;
  static Sums Start(const RankerLayer&, int64_t) { return {Floats::Fill(0.0f)}; }
  void Add(uint32_t inputs, const uint8_t* weights) {
    value = DotBfloat16(value, inputs, weights);
  }
  Floats Finished(const RankerLayer&, int64_t, float, Floats bias) const {
    Floats ones = Floats::Fill(1.0f);
    return Floats::MulAdd(value, ones, bias);
  }
};

template <>
struct Sums<true> {
  Ints value;
  static Sums Start(const RankerLayer& layer, int64_t output) {
    return {Ints::Load(layer.start + output)};
  }
  void Add(uint32_t inputs, const uint8_t* weights) {
    value = DotCodes(value, inputs, weights);
  }
  Floats Finished(const RankerLayer& layer, int64_t output, float row_scale,
                  Floats bias) const {
    const Floats scale =
        Floats::Mul(Floats::Load(layer.scales + output), Floats::Fill(row_scale));
    return Floats::MulAdd(Floats::Of(value), scale, bias);
  }
};

inline uint32_t FourBytes(const uint8_t* p) {
  uint32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return bytes;
}

// kNumRows rows from `first` on times one panel of the layer.
template <bool kIsInt8, int64_t kNumRows>
void Tile(const RankerLayer& layer, const Rows& rows, int64_t panel, int64_t first) {
  const int64_t output = panel * kPanel;
  Sums<kIsInt8> sums[kNumRows][kRegisters];
  for (int64_t r = 0; r < kNumRows; ++r) {
    for (int64_t c = 0; c < kRegisters; ++c) {
      sums[r][c] = Sums<kIsInt8>::Start(layer, output + c * kLanes);
    }
  }
  const int64_t num_steps = layer.num_steps();
  const uint8_t* weights =
      static_cast<const uint8_t*>(layer.weights) + panel * num_steps * kPanel * 4;
  const uint8_t* inputs = rows.input_row(first);
  for (int64_t s = 0; s < num_steps; ++s) {
    for (int64_t r = 0; r < kNumRows; ++r) {
      const uint32_t four = FourBytes(inputs + r * rows.input_stride + 4 * s);
      for (int64_t c = 0; c < kRegisters; ++c) {
        sums[r][c].Add(four, weights + (s * kRegisters + c) * 64);
      }
    }
  }
  // In this order NaN stays NaN.
  const Floats least = Floats::Fill(layer.relu ? 0.0f : -__builtin_inff());
  const auto finish = [&](int64_t r, auto bias_of) {
    const float scale = kIsInt8 ? rows.scales[first + r] : 0.0f;
    float* to = rows.value_row(first + r) + output;
    for (int64_t c = 0; c < kRegisters; ++c) {
      const int64_t at = output + c * kLanes;
      Floats::Max(least, sums[r][c].Finished(layer, at, scale, bias_of(at)))
          .Store(to + c * kLanes);
    }
  };
  for (int64_t r = 0; r < kNumRows; ++r) {
    if (rows.biases == nullptr) {
      finish(r, [&](int64_t at) { return Floats::Load(layer.bias + at); });
    } else {
      const uint16_t* own = rows.biases[first + r];
      finish(r, [&](int64_t at) { return Floats::LoadBfloat16(own + at); });
    }
  }
}

template <bool kIsInt8>
void LastTile(const RankerLayer& layer, const Rows& rows, int64_t panel,
              int64_t first) {
  switch (rows.count - first) {
    case 1:
      return Tile<kIsInt8, 1>(layer, rows, panel, first);
    case 2:
      return Tile<kIsInt8, 2>(layer, rows, panel, first);
    case 3:
      return Tile<kIsInt8, 3>(layer, rows, panel, first);
    case 4:
      return Tile<kIsInt8, 4>(layer, rows, panel, first);
    case 5:
      return Tile<kIsInt8, 5>(layer, rows, panel, first);
    default:
      return;
  }
}

template <bool kIsInt8>
void Panels(const RankerLayer& layer, const Rows& rows) {
  for (int64_t panel = 0; panel < layer.num_panels(); ++panel) {
    int64_t first = 0;
    for (; first + kTileRows <= rows.count; first += kTileRows) {
      Tile<kIsInt8, kTileRows>(layer, rows, panel, first);
      rows.ahead->FetchSome();
    }
    LastTile<kIsInt8>(layer, rows, panel, first);
  }
}

inline void RoundRow(const float* values, int64_t width, uint8_t* inputs) {
  for (int64_t k = 0; k < width; k += kLanes) {
    Floats::Load(values + k).StoreBfloat16(reinterpret_cast<uint16_t*>(inputs) + k);
  }
}

// Codes of a row: value ~ (code - zero) * the scale returned.
inline float CodeRow(const float* values, int64_t width, bool is_signed,
                     uint8_t* inputs) {
  Floats most = Floats::Fill(0.0f);
  for (int64_t k = 0; k < width; k += kLanes) {
    most = Floats::Max(Floats::Magnitude(Floats::Load(values + k)), most);
  }
  const float largest = most.Largest();
  const float num_steps = is_signed ? 127.0f : 255.0f;
  const Floats zero = Floats::Fill(is_signed ? 128.0f : 0.0f);
  const Floats steps =
      Floats::Fill(largest > kSmallestInput ? num_steps / largest : 0.0f);
  for (int64_t k = 0; k < width; k += kLanes) {
    Floats::MulAdd(Floats::Load(values + k), steps, zero).StoreCodes(inputs + k);
  }
  return largest / num_steps;
}

// Rounds the rows' values to the layer's inputs and multiplies.
inline void Apply(const RankerLayer& layer, const Rows& rows) {
  const int64_t width = (layer.num_inputs + kLanes - 1) / kLanes * kLanes;
  for (int64_t row = 0; row < rows.count; ++row) {
    if (layer.is_int8) {
      rows.scales[row] =
          CodeRow(rows.value_row(row), width, layer.is_signed, rows.input_row(row));
    } else {
      RoundRow(rows.value_row(row), width, rows.input_row(row));
    }
  }
  layer.is_int8 ? Panels<true>(layer, rows) : Panels<false>(layer, rows);
}

// Standardises one candidate's raw columns; zeros behind them.
inline void DenseRow(const RankerModel& model, const DenseColumns& columns,
                     const float* raw, float* scratch, float* values) {
  __builtin_memcpy(scratch, raw, static_cast<size_t>(model.num_dense) * sizeof(float));
  const Floats zero = Floats::Fill(0.0f);
  const Floats one = Floats::Fill(1.0f);
  for (int64_t k = 0; k < model.num_dense; k += kLanes) {
    const Floats x = Floats::Load(scratch + k);
    const Floats is_log = Floats::Load(columns.is_log + k);
    const Floats logs = Floats::Log1p(Floats::Max(x, zero));
    // A choice by 0 and 1: no number where x is not finite.
    const Floats linear = Floats::Mul(x, Floats::Sub(one, is_log));
    Floats value = Floats::MulAdd(logs, is_log, linear);
    value = Floats::Mul(Floats::Sub(value, Floats::Load(columns.mean + k)),
                        Floats::Load(columns.inverse_scale + k));
    value = Floats::IsFinite(value, zero);
    value = Floats::Min(Floats::Max(value, Floats::Fill(-model.clip)),
                        Floats::Fill(model.clip));
    value.Store(values + k);
  }
}

// The dots of kNum vectors, bfloat16 pairs, with the item's vectors, each into its own
// [groups * kGroup]: a record is read once for all of them.
template <int kNum>
void ItemDots(const RankerModel& model, const uint8_t* record,
              const uint8_t* const (&vectors)[kNum], float* const (&dots)[kNum]) {
  const int64_t num_steps = (model.dim() + 1) / 2;
  for (int64_t group = 0; group < model.num_groups(); ++group) {
    const uint8_t* own = record + group * num_steps * 64;
    // Two sums of each, so that a step need not wait for the one before.
    Floats even[kNum], odd[kNum];
    for (int v = 0; v < kNum; ++v) even[v] = odd[v] = Floats::Fill(0.0f);
    int64_t s = 0;
    for (; s + 2 <= num_steps; s += 2) {
      for (int v = 0; v < kNum; ++v) {
        const uint8_t* at = vectors[v] + 4 * s;
        even[v] = DotBfloat16(even[v], FourBytes(at), own + 64 * s);
        odd[v] = DotBfloat16(odd[v], FourBytes(at + 4), own + 64 * s + 64);
      }
    }
    for (int v = 0; v < kNum; ++v) {
      if (s < num_steps) {
        even[v] = DotBfloat16(even[v], FourBytes(vectors[v] + 4 * s), own + 64 * s);
      }
      Floats::MulAdd(even[v], Floats::Fill(1.0f), odd[v])
          .Store(dots[v] + group * kGroup);
    }
  }
}

inline float Dot(const float* a, const float* b, int64_t width) {
  Floats sum = Floats::Fill(0.0f);
  for (int64_t k = 0; k < width; k += kLanes) {
    sum = Floats::MulAdd(Floats::Load(a + k), Floats::Load(b + k), sum);
  }
  return sum.Sum();
}

// What follows the bottom MLP in the inputs of top[0]; each store may write past its
// dots, over which the next one goes.
inline void CrossRow(const RankerModel& model, const RankerUser& user,
                     const uint8_t* record, const float* vector, const uint8_t* rounded,
                     float* values) {
  float* to = values + model.bottom.back().num_outputs;
  if (user.vector == nullptr) {
    ItemDots<1>(model, record, {rounded}, {to});
    to += model.num_item_vectors;
  } else {
    // The user's dots wait beside the row: the two blocks overlap where they are
    // stored.
    ItemDots<2>(model, record, {rounded, user.rounded}, {to, user.dots});
    to += model.num_item_vectors;
    for (int64_t at = 0; at < model.num_groups() * kGroup; at += kLanes) {
      Floats::Load(user.dots + at).Store(to + at);
    }
    to += model.num_item_vectors;
    *to++ = Dot(vector, user.vector, (model.dim() + kLanes - 1) / kLanes * kLanes);
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) to[lane] = 0.0f;
}

inline void Cross(const RankerModel& model, const RankerUser& user, const Rows& hidden,
                  const Rows& vectors, const uint8_t* const* records) {
  const int64_t width = (model.dim() + kLanes - 1) / kLanes * kLanes;
  for (int64_t row = 0; row < hidden.count; ++row) {
    RoundRow(vectors.value_row(row), width, vectors.input_row(row));
    CrossRow(model, user, records[row], vectors.value_row(row), vectors.input_row(row),
             hidden.value_row(row));
  }
}

// The way of a block from its raw columns to the last hidden layer.
inline void RunBlock(const RankerModel& model, const DenseColumns& columns,
                     const RankerUser& user, const BlockMemory& memory,
                     const float* dense, int64_t count, float* logits) {
  const Rows rows{count,         memory.values,       memory.value_stride,
                  memory.inputs, memory.input_stride, memory.scales,
                  nullptr,       memory.ahead};
  for (int64_t row = 0; row < count; ++row) {
    DenseRow(model, columns, dense + row * model.num_dense, columns.raw,
             rows.value_row(row));
  }
  for (const RankerLayer& layer : model.bottom) Apply(layer, rows);
  // Its values beside the hidden layer's, which stay.
  Rows vectors = rows;
  vectors.values = memory.vectors;
  vectors.value_stride = memory.vector_stride;
  for (int64_t row = 0; row < count; ++row) {
    RoundRow(rows.value_row(row), (model.projection.num_inputs + 15) / 16 * 16,
             rows.input_row(row));
  }
  Panels<false>(model.projection, vectors);
  Cross(model, user, rows, vectors, memory.records);
  for (const RankerLayer& layer : model.top) {
    Rows to = rows;
    if (&layer == &model.top.front()) to.biases = memory.biases;
    Apply(layer, to);
  }
  const int64_t width = model.top.back().padded_outputs();
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t o = 0; o < model.num_objectives; ++o) {
      const float* weights = model.output_weights + o * width;
      logits[row * model.num_objectives + o] =
          Dot(rows.value_row(row), weights, width) + model.output_bias[o];
    }
  }
}

inline void RoundVector(const float* vector, int64_t width, uint8_t* rounded) {
  RoundRow(vector, width, rounded);
}
