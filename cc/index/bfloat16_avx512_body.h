// Distances of bfloat16 codes by AVX-512 over a namespace's Adder. No include guard:
// bfloat16_kernels.cc includes this once for each way to add.

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : whole_(shape.row_bytes / 64 * 64),
        tail_(static_cast<__mmask16>((1u << (shape.row_bytes % 64 / 4)) - 1)),
        query_(query) {}

  STEPWELL_INLINE float One(const char* row) const {
    const __m256 none = _mm256_setzero_ps();
    return _mm_cvtss_f32(Signed(SumsOf(HalfOf(Parts(row)), none, none, none)));
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                      _mm512_setzero_ps()};
    for (size_t at = 0; at < whole_; at += 64) {
      const __m512i query = _mm512_loadu_si512(query_ + at);
      sums[0] = Adder<kL2>::Add(sums[0], query, _mm512_loadu_si512(rows[0] + at));
      sums[1] = Adder<kL2>::Add(sums[1], query, _mm512_loadu_si512(rows[1] + at));
      sums[2] = Adder<kL2>::Add(sums[2], query, _mm512_loadu_si512(rows[2] + at));
      sums[3] = Adder<kL2>::Add(sums[3], query, _mm512_loadu_si512(rows[3] + at));
    }
    if (tail_ != 0) {
      const __m512i query = Tail(query_);
      sums[0] = Adder<kL2>::Add(sums[0], query, Tail(rows[0]));
      sums[1] = Adder<kL2>::Add(sums[1], query, Tail(rows[1]));
      sums[2] = Adder<kL2>::Add(sums[2], query, Tail(rows[2]));
      sums[3] = Adder<kL2>::Add(sums[3], query, Tail(rows[3]));
    }
    _mm_storeu_ps(out, Signed(SumsOf(HalfOf(sums[0]), HalfOf(sums[1]), HalfOf(sums[2]),
                                     HalfOf(sums[3]))));
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    return Distance(shape, a).One(b);
  }

 private:
  STEPWELL_INLINE __m512i Tail(const char* row) const {
    return _mm512_maskz_loadu_epi32(tail_, row + whole_);
  }

  STEPWELL_INLINE static __m128 Signed(__m128 sums) {
    return kL2 ? sums : _mm_sub_ps(_mm_setzero_ps(), sums);
  }

  STEPWELL_INLINE __m512 Parts(const char* row) const {
    __m512 sum = _mm512_setzero_ps();
    for (size_t at = 0; at < whole_; at += 64) {
      sum = Adder<kL2>::Add(sum, _mm512_loadu_si512(query_ + at),
                            _mm512_loadu_si512(row + at));
    }
    return tail_ != 0 ? Adder<kL2>::Add(sum, Tail(query_), Tail(row)) : sum;
  }

  const size_t whole_;
  const __mmask16 tail_;
  const char* const query_;
};
