#include "cc/pybind/feature_table_bindings.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/kernels/candidates/candidate_features.h"
#include "cc/kernels/candidates/item_lines.h"
#include "cc/pybind/candidate_arrays.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;

// numbers, place of the price, place of the interval, first_seen, last_seen,
// affinity codes, affinity shares, embedded codes
using ItemArrays =
    std::tuple<py::array, int64_t, int64_t, py::array, py::array,
               std::vector<py::array>, std::vector<py::array>, std::vector<py::array>>;

template <typename T>
std::vector<const T*> ColumnsOf(const std::vector<py::array>& arrays, int64_t num_items,
                                const char* field) {
  std::vector<const T*> columns;
  for (const py::array& array : arrays) {
    columns.push_back(VectorOf<T>(array, num_items, field));
  }
  return columns;
}

// A code is a key of the tables of one request, which take none below 0.
void CheckCodes(const std::vector<const int32_t*>& columns, int64_t num_items) {
  for (const int32_t* codes : columns) {
    for (int64_t i = 0; i < num_items; ++i) {
      if (codes[i] < 0) {
        ThrowStatus(CheckRange("codes", codes[i], 0, (int64_t{1} << 31) - 1));
      }
    }
  }
}

kernels::ItemLines LinesOf(const ItemArrays& arrays) {
  const auto& [numbers, price, interval, first_seen, last_seen, codes, shares,
               embedded] = arrays;
  const auto* values = MatrixOf<float>(numbers, -1, -1, "numbers");
  const int64_t n = numbers.shape(0), num_numbers = numbers.shape(1);
  ThrowUnlessOk(CheckRange("price", price, 0, num_numbers - 1));
  ThrowUnlessOk(CheckRange("interval", interval, 0, num_numbers - 1));
  if (codes.size() != shares.size()) {
    ThrowStatus(FieldError("shares", "must be as many as affinity columns"));
  }
  kernels::ItemColumns columns{
      .num_items = n,
      .num_numbers = num_numbers,
      .numbers = values,
      .price = price,
      .interval = interval,
      .first_seen = VectorOf<int64_t>(first_seen, n, "first_seen"),
      .last_seen = VectorOf<int64_t>(last_seen, n, "last_seen"),
      .affinity_codes = ColumnsOf<int32_t>(codes, n, "affinity_codes"),
      .affinity_shares = ColumnsOf<float>(shares, n, "affinity_shares"),
      .embedded_codes = ColumnsOf<int32_t>(embedded, n, "embedded_codes")};
  CheckCodes(columns.affinity_codes, n);
  return kernels::ItemLines(columns);
}

template <size_t kSize>
std::array<float, kSize> Defaults(const std::vector<float>& values, const char* field) {
  const auto size = static_cast<int64_t>(values.size());
  ThrowUnlessOk(CheckRange(field, size, kSize, kSize));
  std::array<float, kSize> array;
  std::copy(values.begin(), values.end(), array.begin());
  return array;
}

// num_purchases, first_time, last_time, decayed_count, total_value, rows, num_events,
// num_trips, first_event_time, last_event_time
using HistoryTuple = std::tuple<py::array, py::array, py::array, py::array, py::array,
                                py::array, int64_t, int64_t, int64_t, int64_t>;

class FeatureTable {
 public:
  FeatureTable(const ItemArrays& items, const std::vector<float>& user_defaults,
               const std::vector<float>& own_defaults, float far_days,
               float absent_rank)
      : items_(LinesOf(items)),
        defaults_{
            .user = Defaults<kernels::kUserFeatures>(user_defaults, "user_defaults"),
            .own = Defaults<kernels::kOwnFeatures>(own_defaults, "own_defaults"),
            .far_days = far_days,
            .absent_rank = absent_rank} {}

  int64_t NumDense(int64_t num_sources) const {
    return kernels::NumDenseFeatures(items_, num_sources);
  }

  py::tuple Features(const HistoryTuple& history_columns, int64_t now,
                     int64_t segment_row, const py::array& rows,
                     const py::array& source_scores,
                     const py::array& source_ranks) const {
    const int64_t n = rows.size();
    kernels::FeatureCandidates candidates;
    candidates.num_rows = n;
    candidates.rows = VectorOf<int64_t>(rows, n, "rows");
    CheckRows(candidates.rows, n, 0, items_.num_items(), "rows");
    candidates.scores = MatrixOf<float>(source_scores, n, -1, "source_scores");
    candidates.num_sources = source_scores.shape(1);
    candidates.ranks =
        MatrixOf<int16_t>(source_ranks, n, candidates.num_sources, "source_ranks");
    const kernels::FeatureHistory history = HistoryOf(history_columns);
    py::array_t<float> dense({n, NumDense(candidates.num_sources)});
    py::array_t<int64_t> sparse({n, items_.num_embedded() + 1});
    kernels::ComputeFeatures(items_, defaults_, history, now, segment_row, candidates,
                             dense.mutable_data(), sparse.mutable_data());
    return py::make_tuple(dense, sparse);
  }

 private:
  kernels::FeatureHistory HistoryOf(const HistoryTuple& columns) const {
    const auto& [num_purchases, first_time, last_time, decayed_count, total_value, rows,
                 num_events, num_trips, first_event_time, last_event_time] = columns;
    const int64_t h = rows.size();
    kernels::FeatureHistory history{
        .times = {.num_items = h,
                  .num_purchases = ColumnOf<int32_t>(num_purchases, h, "num_purchases"),
                  .first_time = ColumnOf<int64_t>(first_time, h, "first_time"),
                  .last_time = ColumnOf<int64_t>(last_time, h, "last_time")},
        .decayed_count = ColumnOf<float>(decayed_count, h, "decayed_count"),
        .total_value = ColumnOf<float>(total_value, h, "total_value"),
        .rows = VectorOf<int64_t>(rows, h, "history_rows"),
        .num_events = num_events,
        .num_trips = num_trips,
        .first_event_time = first_event_time,
        .last_event_time = last_event_time};
    CheckRows(history.rows, h, -1, items_.num_items(), "history_rows");
    return history;
  }

  kernels::ItemLines items_;
  kernels::FeatureDefaults defaults_;
};

}  // namespace

void BindFeatureTable(py::module_& module) {
  py::class_<FeatureTable>(module, "FeatureTable")
      .def(py::init<const ItemArrays&, const std::vector<float>&,
                    const std::vector<float>&, float, float>())
      .def("num_dense", &FeatureTable::NumDense)
      .def("features", &FeatureTable::Features);
}

}  // namespace stepwell::python
