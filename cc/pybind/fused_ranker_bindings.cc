#include "cc/pybind/fused_ranker_bindings.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/kernels/candidates/objectives.h"
#include "cc/kernels/ranker/ranker.h"
#include "cc/kernels/ranker/ranker_plan.h"
#include "cc/pybind/candidate_arrays.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float>;

// Keeps its arrays alive.
class FusedRanker {
 public:
  FusedRanker(py::array weights, py::array plan, py::array items, float clip,
              std::vector<int64_t> columns, py::array objective_weights)
      : weights_(std::move(weights)),
        plan_(std::move(plan)),
        items_(std::move(items)),
        objective_weights_(std::move(objective_weights)),
        columns_(std::move(columns)) {
    kernels::ReadRanker read = kernels::ReadRankerPlan(
        {VectorOf<uint8_t>(weights_, -1, "weights"), weights_.size(),
         VectorOf<int64_t>(plan_, -1, "plan"), plan_.size()});
    if (!read.error.empty()) ThrowStatus(FieldError("plan", read.error));
    model_ = std::move(read.model);
    model_.clip = clip;
    model_.items = VectorOf<uint8_t>(items_, -1, "items");
    model_.num_items = items_.size() / model_.record_bytes;
    if (items_.size() % model_.record_bytes != 0) {
      ThrowStatus(FieldError("items", "has " + std::to_string(items_.size()) +
                                          " bytes, must be a multiple of " +
                                          std::to_string(model_.record_bytes)));
    }
    const auto num_columns = static_cast<int64_t>(columns_.size());
    ThrowUnlessOk(
        CheckRange("columns", num_columns, model_.num_dense, model_.num_dense));
    for (const int64_t column : columns_) {
      ThrowUnlessOk(CheckRange("column", column, 0, int64_t{1} << 20));
    }
    VectorOf<float>(objective_weights_, model_.num_objectives, "objective_weights");
  }

  py::tuple Score(const py::array& dense, const py::array& item_rows,
                  int64_t user_row) const {
    const auto* values = MatrixOf<float>(dense, -1, -1, "dense");
    const int64_t count = dense.shape(0);
    for (const int64_t column : columns_) {
      ThrowUnlessOk(CheckRange("column", column, 0, dense.shape(1) - 1));
    }
    const auto* rows = VectorOf<int64_t>(item_rows, count, "item_rows");
    CheckRows(rows, count, 0, model_.num_items, "item_rows");
    if (model_.num_user_rows > 0) {
      CheckRows(&user_row, 1, 0, model_.num_user_rows, "user_row");
    }
    const auto* weights = static_cast<const float*>(objective_weights_.data());
    Floats totals(count), probabilities({count, model_.num_objectives});
    float* const total = totals.mutable_data();
    float* const probability = probabilities.mutable_data();
    {
      const py::gil_scoped_release release;
      const std::vector<float> taken = Taken(values, count, dense.shape(1));
      std::vector<float> logits(static_cast<size_t>(count * model_.num_objectives));
      kernels::RankCandidates(model_, {taken.data(), rows, count, user_row},
                              logits.data());
      kernels::WeighObjectives(logits.data(), count, model_.num_objectives, weights,
                               probability, total);
    }
    return py::make_tuple(totals, probabilities);
  }

 private:
  // The model's columns of the candidates' dense values.
  std::vector<float> Taken(const float* values, int64_t count, int64_t stride) const {
    std::vector<float> taken(static_cast<size_t>(count) * columns_.size());
    float* to = taken.data();
    for (int64_t row = 0; row < count; ++row, values += stride) {
      for (const int64_t column : columns_) *to++ = values[column];
    }
    return taken;
  }

  py::array weights_, plan_, items_, objective_weights_;
  std::vector<int64_t> columns_;
  kernels::RankerModel model_;
};

}  // namespace

void BindFusedRanker(py::module_& module) {
  py::class_<FusedRanker>(module, "FusedRanker")
      .def(py::init<py::array, py::array, py::array, float, std::vector<int64_t>,
                    py::array>())
      .def("score", &FusedRanker::Score);
}

}  // namespace stepwell::python
