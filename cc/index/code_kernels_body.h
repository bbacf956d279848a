// Gather, Scan and Pair over one instruction set's Distance. No include guard: a
// file of kernels includes this in the namespace of each of its instruction sets,
// between the pragmas that choose it, because code of one set can be inlined only
// into functions of the same set.
//
// A Distance is made of a shape and a query and has
//   void Quad(const char* const rows[4], float* out) const   four distances at a time
//   float One(const char* row) const                          the same bits for one
//   static float Pair(const CodeShape&, const char* a, const char* b)

template <typename Distance>
void Gather(const CodeShape& shape, const char* query, RowBlock codes,
            const uint32_t* nodes, size_t n, float* out) {
  const Distance distance(shape, query);
  const auto row = [&](size_t i) { return codes.base + nodes[i] * codes.stride_bytes; };
  const size_t num_started = n < kPrefetchRows ? n : kPrefetchRows;
  for (size_t i = 0; i < num_started; ++i) PrefetchRow(row(i), codes.stride_bytes);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + kPrefetchRows; j < i + kPrefetchRows + 4 && j < n; ++j) {
      PrefetchRow(row(j), codes.stride_bytes);
    }
    const char* const rows[4] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
    distance.Quad(rows, out + i);
  }
  for (; i < n; ++i) out[i] = distance.One(row(i));
}

// The processor itself sees that rows follow each other and fetches them.
template <typename Distance>
void Scan(const CodeShape& shape, const char* query, RowBlock codes, int64_t first,
          size_t n, float* out) {
  const Distance distance(shape, query);
  const size_t stride = codes.stride_bytes;
  const char* row = codes.base + static_cast<size_t>(first) * stride;
  size_t i = 0;
  for (; i + 4 <= n; i += 4, row += 4 * stride) {
    const char* const rows[4] = {row, row + stride, row + 2 * stride, row + 3 * stride};
    distance.Quad(rows, out + i);
  }
  for (; i < n; ++i, row += stride) out[i] = distance.One(row);
}

template <typename Distance>
constexpr CodeKernel KernelOf(const char* name) {
  return {name, Gather<Distance>, Scan<Distance>, Distance::Pair};
}
