#ifndef CC_KERNELS_CANDIDATES_CODED_VECTORS_H_
#define CC_KERNELS_CANDIDATES_CODED_VECTORS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// Vectors in a byte a coordinate: a quarter of the memory to read, for a first look.
// Row i is about steps[i] * (code - 128); no coordinate is off by more than half a
// step. Concurrency: immutable.
class CodedVectors {
 public:
  // Of float [num_vectors, dim], row-major; a copy. Where a coordinate is not finite
  // there are no codes, and is_usable() says so.
  CodedVectors(const float* vectors, int64_t num_vectors, int64_t dim);

  bool is_usable() const { return is_usable_; }

  // What inner products with one vector need to know of it.
  struct Query {
    std::vector<float> coordinates;  // padded with zeros
    float offset = 0.0f;             // what 128 in every code adds
    // Half the sum of magnitudes, and 2 % for all that floats round: an inner product
    // is off by steps[i] times this at most.
    float reach = 0.0f;
  };
  void SetQuery(const float* vector, Query& query) const;

  // Writes products [count], approximate inner products of the rows from `first` on,
  // and how far off each is at most. Needs is_usable().
  void Products(const Query& query, int64_t first, int64_t count, float* products,
                float* errors, Isa isa = BestIsa()) const;

 private:
  bool is_usable_ = true;
  int64_t dim_;
  int64_t stride_;  // dim_ in whole registers
  std::vector<uint8_t> codes_;
  std::vector<float> steps_;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_CODED_VECTORS_H_
