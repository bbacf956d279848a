#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/ops/checks.h"
#include "cc/ops/embedding/bag_arguments.h"
#include "cc/ops/embedding/bag_forward.h"
#include "cc/ops/embedding/packed_arguments.h"
#include "cc/ops/new_tensor.h"

// CPU side of embedding_bag_packed; its schema is in schemas.cc beside this file and
// its meaning is documented in py/stepwell/ops/packed_tables.py.
namespace stepwell::ops {
namespace {

Tensor EmbeddingBagPacked(const Tensor rows, const Tensor layout, const Tensor indices,
                          const Tensor offsets,
                          const std::optional<Tensor> per_sample_weights,
                          int64_t output_dim, const std::string pooling,
                          const std::string output_dtype) {
  constexpr char kOp[] = "embedding_bag_packed";
  const Pooling mode = PoolingByName(kOp, pooling);
  const ScalarType dtype = OutputDtypeByName(kOp, output_dtype);
  const std::vector<EmbeddingTable> tables =
      PackedTablesOf(kOp, rows, layout, mode, output_dim);
  CheckLookups(kOp, rows, indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  Tensor output =
      NewEmpty(kOp, rows, {OutputRows(mode, batch, indices), output_dim}, dtype);
  void* to = output.data_ptr();
  const RowFormat format = FloatFormatOf(kOp, "output_dtype", dtype);
  const auto run = [&](auto index) {
    RunForward(kOp,
               BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                       output_dim, mode, format),
               to);
  };
  if (indices.scalar_type() == ScalarType::Int) {
    run(int32_t{0});
  } else {
    run(int64_t{0});
  }
  return output;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("embedding_bag_packed", TORCH_BOX(&EmbeddingBagPacked));
}

}  // namespace
}  // namespace stepwell::ops
