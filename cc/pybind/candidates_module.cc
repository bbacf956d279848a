// The Python face of cc/kernels/candidates. The calls of some 10 us keep the GIL: to
// get it back from another thread costs more than they take. The longer one gives it
// up.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/kernels/candidates/best_first.h"
#include "cc/kernels/candidates/co_occurrence.h"
#include "cc/kernels/candidates/coded_vectors.h"
#include "cc/kernels/candidates/history.h"
#include "cc/kernels/candidates/key_rows.h"
#include "cc/kernels/candidates/likeness.h"
#include "cc/kernels/candidates/objectives.h"
#include "cc/kernels/candidates/rank_fusion.h"
#include "cc/kernels/candidates/row_sums.h"
#include "cc/kernels/candidates/user_tower.h"
#include "cc/pybind/candidate_arrays.h"
#include "cc/pybind/feature_table_bindings.h"
#include "cc/pybind/fused_ranker_bindings.h"
#include "cc/pybind/small_ranker_bindings.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float>;
using Rows = py::array_t<int64_t>;

kernels::HistoryTimes TimesOf(const py::array& num_purchases,
                              const py::array& first_time, const py::array& last_time) {
  const int64_t size = num_purchases.size();
  return {.num_items = size,
          .num_purchases = ColumnOf<int32_t>(num_purchases, size, "num_purchases"),
          .first_time = ColumnOf<int64_t>(first_time, size, "first_time"),
          .last_time = ColumnOf<int64_t>(last_time, size, "last_time")};
}

Floats AffinityWeights(const py::array& num_purchases, const py::array& first_time,
                       const py::array& last_time, int64_t now,
                       double half_life_seconds) {
  const kernels::HistoryTimes times = TimesOf(num_purchases, first_time, last_time);
  Floats weights(times.num_items);
  kernels::AffinityWeights(times, now, half_life_seconds, weights.mutable_data());
  return weights;
}

Floats RepeatScores(const py::array& num_purchases, const py::array& first_time,
                    const py::array& last_time, int64_t now) {
  const kernels::HistoryTimes times = TimesOf(num_purchases, first_time, last_time);
  Floats scores(times.num_items);
  kernels::RepeatScores(times, now, scores.mutable_data());
  return scores;
}

Floats PooledRows(const py::array& vectors, const py::array& rows,
                  const py::array& weights) {
  const float* from = MatrixOf<float>(vectors, -1, -1, "vectors");
  const int64_t size = rows.size();
  const auto* at = VectorOf<int64_t>(rows, size, "rows");
  CheckRows(at, size, -1, vectors.shape(0), "rows");
  Floats pooled(vectors.shape(1));
  kernels::PoolRows(from, vectors.shape(1), at,
                    VectorOf<float>(weights, size, "weights"), size,
                    pooled.mutable_data());
  return pooled;
}

Rows OrderBestFirst(const py::array& scores, const py::array& rows, int64_t limit) {
  const int64_t size = scores.size();
  ThrowUnlessOk(CheckRange("limit", limit, 0, int64_t{1} << 31));
  ThrowUnlessOk(CheckRange("number of scores", size, 0, kernels::kMaxOrdered));
  const auto* values = VectorOf<float>(scores, size, "scores");
  const auto* ties = VectorOf<int64_t>(rows, size, "rows");
  CheckRows(ties, size, 0, kernels::kMaxOrderedRow, "rows");
  Rows positions(std::min(limit, size));
  kernels::OrderBestFirst(values, ties, size, positions.size(),
                          positions.mutable_data());
  return positions;
}

py::tuple WeighObjectives(const py::array& logits, const py::array& weights) {
  const auto* from = MatrixOf<float>(logits, -1, -1, "logits");
  const int64_t num_rows = logits.shape(0), num_objectives = logits.shape(1);
  const auto* weight = VectorOf<float>(weights, num_objectives, "weights");
  Floats totals(num_rows), probabilities({num_rows, num_objectives});
  kernels::WeighObjectives(from, num_rows, num_objectives, weight,
                           probabilities.mutable_data(), totals.mutable_data());
  return py::make_tuple(totals, probabilities);
}

// rows, scores, weight, quota
using ListTuple = std::tuple<py::array, py::array, double, int64_t>;

py::tuple FuseRanks(const std::vector<ListTuple>& tuples, double rank_offset,
                    int64_t num_kept, const py::array& excluded_rows) {
  ThrowUnlessOk(CheckRange("num_kept", num_kept, 0, int64_t{1} << 31));
  std::vector<kernels::FusedList> lists;
  int64_t total = 0;
  for (const auto& [rows, scores, weight, quota] : tuples) {
    const int64_t size = rows.size();
    const auto* at = VectorOf<int64_t>(rows, size, "rows");
    CheckRows(at, size, 0, int64_t{1} << 62, "rows");
    lists.push_back({at, VectorOf<float>(scores, size, "scores"), size, weight, quota});
    total += size;
  }
  const kernels::FusionLimits limits{
      .rank_offset = rank_offset,
      .num_kept = std::min(num_kept, total),
      .excluded_rows =
          VectorOf<int64_t>(excluded_rows, excluded_rows.size(), "excluded_rows"),
      .num_excluded = excluded_rows.size()};
  const auto num_lists = static_cast<int64_t>(lists.size());
  std::vector<int64_t> rows(static_cast<size_t>(limits.num_kept));
  std::vector<float> scores(static_cast<size_t>(limits.num_kept * num_lists));
  std::vector<int16_t> ranks(scores.size());
  const int64_t kept = kernels::FuseRanks(lists.data(), num_lists, limits,
                                          {rows.data(), scores.data(), ranks.data()});
  return py::make_tuple(Rows(kept, rows.data()),
                        Floats({kept, num_lists}, scores.data()),
                        py::array_t<int16_t>({kept, num_lists}, ranks.data()));
}

Floats ShareOfEqualCodes(const py::array& codes, int32_t unknown) {
  const auto* from = MatrixOf<int32_t>(codes, -1, -1, "codes");
  const int64_t size = codes.shape(0);
  Floats likeness({size, size});
  kernels::ShareOfEqualCodes(from, size, codes.shape(1), unknown,
                             likeness.mutable_data());
  return likeness;
}

Rows ChooseDiverse(const py::array& relevance, const py::array& likeness, double weight,
                   int64_t num_chosen) {
  const int64_t size = relevance.size();
  const auto* worth = VectorOf<double>(relevance, size, "relevance");
  const auto* alike = MatrixOf<float>(likeness, size, size, "likeness");
  ThrowUnlessOk(CheckRange("num_chosen", num_chosen, 0, size));
  Rows chosen(num_chosen);
  kernels::ChooseDiverse(worth, alike, size, weight, num_chosen, chosen.mutable_data());
  return chosen;
}

// Keeps its arrays alive.
class KeyRows {
 public:
  KeyRows(py::array sorted_keys, py::array rows)
      : keys_(std::move(sorted_keys)),
        rows_(std::move(rows)),
        table_(VectorOf<uint64_t>(keys_, keys_.size(), "sorted_keys"),
               VectorOf<int64_t>(rows_, keys_.size(), "rows"), keys_.size()) {}

  Rows Find(const py::array& keys) const {
    Rows rows(keys.size());
    table_.Find(ColumnOf<uint64_t>(keys, keys.size(), "keys"), keys.size(),
                rows.mutable_data());
    return rows;
  }

 private:
  py::array keys_, rows_;
  kernels::KeyRows table_;
};

// Keeps its arrays alive.
class UserTower {
 public:
  UserTower(const std::vector<py::array>& arrays, double gain) : arrays_(arrays) {
    ThrowUnlessOk(CheckRange("number of arrays", Count(arrays), 6, 6));
    tower_.gain = static_cast<float>(gain);
    tower_.fixed_vectors = MatrixOf<float>(arrays[0], -1, -1, "fixed_vectors");
    tower_.num_items = arrays[0].shape(0);
    tower_.fixed_dim = arrays[0].shape(1);
    tower_.trained_vectors =
        MatrixOf<float>(arrays[1], tower_.num_items, -1, "trained_vectors");
    const int64_t dim = tower_.trained_dim = arrays[1].shape(1);
    tower_.hidden_weight = MatrixOf<float>(arrays[2], -1, dim, "hidden_weight");
    const int64_t hidden = tower_.num_hidden = arrays[2].shape(0);
    tower_.hidden_bias = VectorOf<float>(arrays[3], hidden, "hidden_bias");
    tower_.output_weight = MatrixOf<float>(arrays[4], dim, hidden, "output_weight");
    tower_.output_bias = VectorOf<float>(arrays[5], dim, "output_bias");
  }

  // None where no row is known.
  py::object VectorOfHistory(const py::array& num_purchases,
                             const py::array& first_time, const py::array& last_time,
                             const py::array& rows, int64_t now,
                             double half_life_seconds) const {
    const kernels::HistoryTimes times = TimesOf(num_purchases, first_time, last_time);
    const auto* at = VectorOf<int64_t>(rows, times.num_items, "rows");
    CheckRows(at, times.num_items, -1, tower_.num_items, "rows");
    const auto is_known = [](int64_t row) { return row >= 0; };
    if (std::none_of(at, at + times.num_items, is_known)) return py::none();
    std::vector<float> weights(static_cast<size_t>(times.num_items));
    kernels::AffinityWeights(times, now, half_life_seconds, weights.data());
    Floats vector(tower_.dim());
    kernels::UserVector(tower_, at, weights.data(), times.num_items,
                        vector.mutable_data());
    return vector;
  }

 private:
  static int64_t Count(const std::vector<py::array>& arrays) {
    return static_cast<int64_t>(arrays.size());
  }

  std::vector<py::array> arrays_;
  kernels::UserTower tower_;
};

// Keeps its arrays alive, and lends scratch to one call at a time.
class CoOccurrence {
 public:
  using Affinity = std::tuple<py::array, py::array, double, double>;

  CoOccurrence(py::array input_vectors, py::array output_vectors,
               py::array neighbour_rows, py::array neighbour_weights,
               std::optional<Affinity> affinity)
      : arrays_{std::move(input_vectors), std::move(output_vectors),
                std::move(neighbour_rows), std::move(neighbour_weights)} {
    const int64_t n = arrays_[2].shape(0), dim = arrays_[0].shape(1);
    const int64_t k = arrays_[2].shape(1);
    model_.num_items = n;
    model_.dim = dim;
    model_.num_neighbours = k;
    model_.input_vectors = MatrixOf<float>(arrays_[0], n, dim, "input_vectors");
    model_.output_vectors = MatrixOf<float>(arrays_[1], n, dim, "output_vectors");
    model_.neighbour_rows = MatrixOf<int32_t>(arrays_[2], n, k, "neighbour_rows");
    model_.neighbour_weights = MatrixOf<float>(arrays_[3], n, k, "neighbour_weights");
    CheckCodes(model_.neighbour_rows, n * k, -1, n, "neighbour_rows");
    {
      // One pass over all vectors: a server answers from another model meanwhile.
      const py::gil_scoped_release release;
      SetCodes();
    }
    if (!affinity) return;
    auto& [codes, lifts, power, floor] = *affinity;
    model_.categories = VectorOf<int32_t>(codes, n, "codes");
    model_.lifts = VectorOf<float>(lifts, n, "lifts");
    model_.category_power = power;
    model_.category_floor = floor;
    model_.num_categories = 1;
    for (int64_t i = 0; i < n; ++i) {
      model_.num_categories =
          std::max<int64_t>(model_.num_categories, model_.categories[i] + 1);
    }
    CheckCodes(model_.categories, n, 0, model_.num_categories, "codes");
    arrays_.push_back(codes);
    arrays_.push_back(lifts);
  }

  py::tuple Best(const py::array& rows, const py::array& weights, int64_t limit) {
    ThrowUnlessOk(CheckRange("limit", limit, 1, int64_t{1} << 31));
    const int64_t size = rows.size();
    const int64_t* at = HistoryOf(rows);
    const auto* weight = VectorOf<float>(weights, size, "weights");
    const auto room = static_cast<size_t>(std::min(limit, model_.num_items));
    std::vector<int64_t> best_rows(room);
    std::vector<float> best_scores(room);
    int64_t found = 0;
    {
      const py::gil_scoped_release release;
      auto scratch = Take();
      found = kernels::BestCoOccurring(model_, at, weight, size, limit, *scratch,
                                       best_rows.data(), best_scores.data());
      Return(std::move(scratch));
    }
    return py::make_tuple(Rows(found, best_rows.data()),
                          Floats(found, best_scores.data()));
  }

  Floats Scores(const py::array& rows, const py::array& weights) {
    const int64_t size = rows.size();
    const int64_t* at = HistoryOf(rows);
    const auto* weight = VectorOf<float>(weights, size, "weights");
    Floats scores(model_.num_items);
    auto scratch = Take();
    kernels::CoOccurrenceScores(model_, at, weight, size, *scratch,
                                scores.mutable_data());
    Return(std::move(scratch));
    return scores;
  }

 private:
  using Scratch = std::unique_ptr<kernels::CoOccurrenceScratch>;

  void SetCodes() {
    if (model_.dim == 0) return;
    codes_ = std::make_unique<kernels::CodedVectors>(model_.output_vectors,
                                                     model_.num_items, model_.dim);
    if (codes_->is_usable()) model_.coded_vectors = codes_.get();
  }

  static void CheckCodes(const int32_t* codes, int64_t size, int64_t low, int64_t high,
                         const char* field) {
    const auto outside = [=](int32_t code) { return code < low || code >= high; };
    const int32_t* found = nullptr;
    {
      const py::gil_scoped_release release;
      found = std::find_if(codes, codes + size, outside);
    }
    if (found == codes + size) return;
    ThrowStatus(CheckRange(field, *found, low, high - 1));
  }

  const int64_t* HistoryOf(const py::array& rows) const {
    const auto* at = VectorOf<int64_t>(rows, rows.size(), "rows");
    CheckRows(at, rows.size(), -1, model_.num_items, "rows");
    return at;
  }

  Scratch Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<kernels::CoOccurrenceScratch>();
    Scratch scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void Return(Scratch scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

  std::vector<py::array> arrays_;
  std::unique_ptr<kernels::CodedVectors> codes_;
  kernels::CoOccurrence model_;
  std::mutex mutex_;
  std::vector<Scratch> free_;  // as many as were called at once
};

}  // namespace

PYBIND11_MODULE(_candidates, module) {
  module.doc() =
      "What makes candidates of a user; the typed faces are in stepwell.ops.";
  module.def("affinity_weights", &AffinityWeights);
  module.def("repeat_scores", &RepeatScores);
  module.def("pooled_rows", &PooledRows);
  module.def("order_best_first", &OrderBestFirst);
  module.def("fuse_ranks", &FuseRanks);
  module.def("weigh_objectives", &WeighObjectives);
  module.def("share_of_equal_codes", &ShareOfEqualCodes);
  module.def("choose_diverse", &ChooseDiverse);
  py::class_<KeyRows>(module, "KeyRows")
      .def(py::init<py::array, py::array>())
      .def("find", &KeyRows::Find);
  py::class_<UserTower>(module, "UserTower")
      .def(py::init<const std::vector<py::array>&, double>())
      .def("vector", &UserTower::VectorOfHistory);
  py::class_<CoOccurrence>(module, "CoOccurrence")
      .def(py::init<py::array, py::array, py::array, py::array,
                    std::optional<CoOccurrence::Affinity>>())
      .def("best", &CoOccurrence::Best)
      .def("scores", &CoOccurrence::Scores);
  BindFeatureTable(module);
  BindFusedRanker(module);
  BindSmallRanker(module);
}

}  // namespace stepwell::python
