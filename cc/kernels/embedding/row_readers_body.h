// How rows of each format become registers of floats, against `Vec`; part of the bodies
// that read rows: no include guard and no include on purpose (see simd/vec.h).
//
//   Load<kBlock>(codes, column, values)   kBlock registers from `column` on
//   LoadFirst(codes, column, lanes)       the first `lanes` columns of a register, the
//                                         others are zeros; nothing past them is read
//   Order<kBlock>(values)                 puts the columns of a block in order
//
// `codes` is the address after the row's header. Loads may come in an order of their
// own, which is cheaper to undo once a bag than once a row.

// Bytes of the last, partial register, with zeros after them. Out of line, as columns
// seldom end within a register: here small code is worth more.
template <int64_t kSize>
struct Padded {
  uint8_t bytes[kSize] = {};
  __attribute__((noinline)) Padded(const uint8_t* from, int64_t size) {
    __builtin_memcpy(bytes, from, size);
  }
};

struct Float32Rows {
  static constexpr RowFormat kFormat = RowFormat::kFloat32;
  template <int kBlock>
  static STEPWELL_INLINE void Load(const uint8_t* codes, int64_t column, Vec* values) {
    const float* from = reinterpret_cast<const float*>(codes) + column;
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) values[v] = Vec::Load(from + v * Vec::kLanes);
  }
  static Vec LoadFirst(const uint8_t* codes, int64_t column, int64_t lanes) {
    return Vec::LoadFirst(reinterpret_cast<const float*>(codes) + column, lanes);
  }
  template <int kBlock>
  static STEPWELL_INLINE void Order(Vec*) {}
};

struct Float16Rows {
  static constexpr RowFormat kFormat = RowFormat::kFloat16;
  template <int kBlock>
  static STEPWELL_INLINE void Load(const uint8_t* codes, int64_t column, Vec* values) {
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) {
      values[v] = Vec::LoadFloat16(codes + 2 * (column + v * Vec::kLanes));
    }
  }
  static Vec LoadFirst(const uint8_t* codes, int64_t column, int64_t lanes) {
    return Vec::LoadFloat16(
        Padded<2 * Vec::kLanes>(codes + 2 * column, 2 * lanes).bytes);
  }
  template <int kBlock>
  static STEPWELL_INLINE void Order(Vec*) {}
};

struct Bfloat16Rows {
  static constexpr RowFormat kFormat = RowFormat::kBfloat16;
  template <int kBlock>
  static STEPWELL_INLINE void Load(const uint8_t* codes, int64_t column, Vec* values) {
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) {
      values[v] = Vec::LoadBfloat16(codes + 2 * (column + v * Vec::kLanes));
    }
  }
  static Vec LoadFirst(const uint8_t* codes, int64_t column, int64_t lanes) {
    return Vec::LoadBfloat16(
        Padded<2 * Vec::kLanes>(codes + 2 * column, 2 * lanes).bytes);
  }
  template <int kBlock>
  static STEPWELL_INLINE void Order(Vec*) {}
};

struct Int8Rows {
  static constexpr RowFormat kFormat = RowFormat::kInt8;
  template <int kBlock>
  static STEPWELL_INLINE void Load(const uint8_t* codes, int64_t column, Vec* values) {
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) {
      values[v] = Vec::LoadBytes(codes + column + v * Vec::kLanes);
    }
  }
  static Vec LoadFirst(const uint8_t* codes, int64_t column, int64_t lanes) {
    return Vec::LoadBytes(Padded<Vec::kLanes>(codes + column, lanes).bytes);
  }
  template <int kBlock>
  static STEPWELL_INLINE void Order(Vec*) {}
};

// A block of two registers or more loads even columns into one and odd ones into the
// next: splitting a byte is then an AND and a shift. Columns come in even numbers, so a
// block starts with a whole byte.
struct Int4Rows {
  static constexpr RowFormat kFormat = RowFormat::kInt4;
  template <int kBlock>
  static STEPWELL_INLINE void Load(const uint8_t* codes, int64_t column, Vec* values) {
    if constexpr (kBlock == 1) {
      values[0] = LoadFirst(codes, column, Vec::kLanes);
    } else {
      STEPWELL_UNROLL
      for (int v = 0; v < kBlock; v += 2) {
        Vec::LoadNibbles(codes + column / 2 + v * (Vec::kLanes / 2), values[v],
                         values[v + 1]);
      }
    }
  }
  static Vec LoadFirst(const uint8_t* codes, int64_t column, int64_t lanes) {
    Vec even, odd;
    Vec::LoadNibbles(Padded<Vec::kLanes>(codes + column / 2, (lanes + 1) / 2).bytes,
                     even, odd);
    Vec::Interleave(even, odd);
    return even;
  }
  template <int kBlock>
  static STEPWELL_INLINE void Order(Vec* values) {
    STEPWELL_UNROLL
    for (int v = 0; v + 1 < kBlock; v += 2) Vec::Interleave(values[v], values[v + 1]);
  }
};
