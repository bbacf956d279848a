#include "cc/pybind/small_ranker_bindings.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/kernels/ranker/small_ranker.h"
#include "cc/pybind/candidate_arrays.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;

// place, is_log, mean, inverse_scale
using ColumnTuple = std::tuple<int64_t, bool, float, float>;
// place, rows
using TableTuple = std::tuple<int64_t, py::array>;
// weight [in, out], bias [out]
using LayerTuple = std::tuple<py::array, py::array>;

constexpr int64_t kMaxPlace = int64_t{1} << 20;

// Keeps its arrays alive.
class SmallRanker {
 public:
  SmallRanker(const std::vector<ColumnTuple>& columns, float clip,
              std::vector<TableTuple> tables, std::vector<LayerTuple> layers)
      : tables_(std::move(tables)), layers_(std::move(layers)) {
    ranker_.clip = clip;
    for (const auto& [place, is_log, mean, inverse_scale] : columns) {
      ThrowUnlessOk(CheckRange("column", place, 0, kMaxPlace));
      num_dense_ = std::max(num_dense_, place + 1);
      ranker_.columns.push_back({place, is_log, mean, inverse_scale});
    }
    for (const auto& [place, rows] : tables_) {
      ThrowUnlessOk(CheckRange("table's column", place, 0, kMaxPlace));
      num_sparse_ = std::max(num_sparse_, place + 1);
      const float* first = MatrixOf<float>(rows, -1, -1, "table");
      ranker_.tables.push_back({place, first, rows.shape(0), rows.shape(1)});
    }
    if (layers_.empty()) ThrowStatus(FieldError("layers", "is empty"));
    int64_t width = ranker_.num_inputs();
    for (const auto& [weight, bias] : layers_) {
      const float* first = MatrixOf<float>(weight, width, -1, "weight");
      const int64_t num_outputs = weight.shape(1);
      const auto* added = VectorOf<float>(bias, num_outputs, "bias");
      ranker_.layers.push_back({first, added, width, num_outputs});
      width = num_outputs;
    }
  }

  py::array_t<float> Logits(const py::array& dense, const py::array& sparse) const {
    kernels::SmallRankerInputs inputs{};
    inputs.dense = MatrixOf<float>(dense, -1, -1, "dense");
    inputs.num_candidates = dense.shape(0);
    inputs.dense_stride = dense.shape(1);
    inputs.sparse = MatrixOf<int64_t>(sparse, inputs.num_candidates, -1, "sparse");
    inputs.sparse_stride = sparse.shape(1);
    ThrowUnlessOk(CheckRange("columns of dense", inputs.dense_stride, num_dense_,
                             int64_t{1} << 31));
    ThrowUnlessOk(CheckRange("columns of sparse", inputs.sparse_stride, num_sparse_,
                             int64_t{1} << 31));
    CheckTableRows(inputs);
    py::array_t<float> logits({inputs.num_candidates, ranker_.num_outputs()});
    kernels::ScoreSmall(ranker_, inputs, logits.mutable_data());
    return logits;
  }

 private:
  void CheckTableRows(const kernels::SmallRankerInputs& inputs) const {
    for (const kernels::SmallRanker::Table& table : ranker_.tables) {
      for (int64_t i = 0; i < inputs.num_candidates; ++i) {
        const int64_t row = inputs.sparse[i * inputs.sparse_stride + table.place];
        if (row >= 0 && row < table.num_rows) continue;
        ThrowStatus(CheckRange("sparse", row, 0, table.num_rows - 1));
      }
    }
  }

  std::vector<TableTuple> tables_;
  std::vector<LayerTuple> layers_;
  int64_t num_dense_ = 0;
  int64_t num_sparse_ = 0;
  kernels::SmallRanker ranker_;
};

}  // namespace

void BindSmallRanker(py::module_& module) {
  py::class_<SmallRanker>(module, "SmallRanker")
      .def(py::init<const std::vector<ColumnTuple>&, float, std::vector<TableTuple>,
                    std::vector<LayerTuple>>())
      .def("logits", &SmallRanker::Logits);
}

}  // namespace stepwell::python
