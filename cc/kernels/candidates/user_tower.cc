#include "cc/kernels/candidates/user_tower.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "cc/kernels/candidates/row_sums.h"

namespace stepwell::kernels {
namespace {

void ScaleToLength(float length, int64_t dim, float* vector) {
  float square = 0.0f;
  InnerProducts(vector, 1, dim, vector, &square);
  if (!(square > 0.0f)) return;
  const float factor = length / std::sqrt(square);
  for (int64_t i = 0; i < dim; ++i) vector[i] *= factor;
}

// Adds the residual layer's output to `vector` [trained_dim].
void AddResidual(const UserTower& tower, float* vector) {
  std::vector<float> hidden(static_cast<size_t>(tower.num_hidden));
  std::vector<float> output(static_cast<size_t>(tower.trained_dim));
  InnerProducts(tower.hidden_weight, tower.num_hidden, tower.trained_dim, vector,
                hidden.data());
  for (size_t i = 0; i < hidden.size(); ++i) {
    hidden[i] = std::max(hidden[i] + tower.hidden_bias[i], 0.0f);
  }
  InnerProducts(tower.output_weight, tower.trained_dim, tower.num_hidden, hidden.data(),
                output.data());
  for (size_t i = 0; i < output.size(); ++i) {
    vector[i] += output[i] + tower.output_bias[i];
  }
}

}  // namespace

void UserVector(const UserTower& tower, const int64_t* rows, const float* weights,
                int64_t num_rows, float* vector) {
  float* trained = vector + tower.fixed_dim;
  PoolRows(tower.fixed_vectors, tower.fixed_dim, rows, weights, num_rows, vector);
  ScaleToLength(1.0f, tower.fixed_dim, vector);
  PoolRows(tower.trained_vectors, tower.trained_dim, rows, weights, num_rows, trained);
  ScaleToLength(1.0f, tower.trained_dim, trained);
  AddResidual(tower, trained);
  ScaleToLength(tower.gain, tower.trained_dim, trained);
  trained[tower.trained_dim] = tower.gain;
}

}  // namespace stepwell::kernels
