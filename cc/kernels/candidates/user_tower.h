#ifndef CC_KERNELS_CANDIDATES_USER_TOWER_H_
#define CC_KERNELS_CANDIDATES_USER_TOWER_H_

#include <cstdint>

namespace stepwell::kernels {

// What turns a history into the vector that searches the items' index. All matrices are
// row-major and borrowed.
struct UserTower {
  int64_t num_items = 0;
  int64_t fixed_dim = 0;
  int64_t trained_dim = 0;
  int64_t num_hidden = 0;
  const float* fixed_vectors = nullptr;    // [num_items, fixed_dim]
  const float* trained_vectors = nullptr;  // [num_items, trained_dim]
  const float* hidden_weight = nullptr;    // [num_hidden, trained_dim]
  const float* hidden_bias = nullptr;      // [num_hidden]
  const float* output_weight = nullptr;    // [trained_dim, num_hidden]
  const float* output_bias = nullptr;      // [trained_dim]
  float gain = 1.0f;

  int64_t dim() const { return fixed_dim + trained_dim + 1; }
};

// Writes vector [dim]: the pooled fixed vectors at unit length, the pooled trained ones
// at unit length, through one residual layer, at length `gain`, then `gain` itself. A
// block that is all zeros stays so. Rows as PoolRows takes them.
void UserVector(const UserTower& tower, const int64_t* rows, const float* weights,
                int64_t num_rows, float* vector);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_USER_TOWER_H_
