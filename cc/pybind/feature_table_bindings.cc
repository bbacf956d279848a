#include "cc/pybind/feature_table_bindings.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/kernels/candidates/candidate_features.h"
#include "cc/kernels/candidates/decayed_columns.h"
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
  // A copy of all columns: a server answers from another release meanwhile.
  const py::gil_scoped_release release;
  return kernels::ItemLines(columns);
}

// bytes of a row, places of the numbers, places of their times, half-lives in seconds
using ViewColumns =
    std::tuple<int64_t, std::vector<int64_t>, std::vector<int64_t>, std::vector<float>>;

kernels::DecayedColumns DecayedOf(const ViewColumns& view, const char* field) {
  const auto& [row_bytes, values, times, half_lives] = view;
  const auto size = static_cast<int64_t>(values.size());
  ThrowUnlessOk(CheckRange(field, size, 0, kernels::DecayedColumns::kMaxColumns));
  if (times.size() != values.size() || half_lives.size() != values.size()) {
    ThrowStatus(FieldError(field, "must have a time and a half-life for each number"));
  }
  std::vector<kernels::DecayedColumn> columns;
  for (size_t i = 0; i < values.size(); ++i) {
    ThrowUnlessOk(CheckRange(field, values[i], 0, row_bytes - 4));
    ThrowUnlessOk(CheckRange(field, times[i], 0, row_bytes - 8));
    if (!(half_lives[i] > 0.0f)) {
      ThrowStatus(FieldError(field, "has a half-life that is not above 0"));
    }
    columns.push_back({values[i], times[i], half_lives[i]});
  }
  return {columns, row_bytes};
}

// The memory of `num_rows` rows of a view, which may lie at any address.
const char* RowsOf(const py::array& array, int64_t num_rows, int64_t row_bytes,
                   const char* field) {
  const bool packed = (array.flags() & py::array::c_style) != 0;
  if (!packed || array.size() != num_rows || array.itemsize() != row_bytes) {
    ThrowStatus(FieldError(field, "must be " + std::to_string(num_rows) +
                                      " packed rows of " + std::to_string(row_bytes) +
                                      " bytes, has " + std::to_string(array.size()) +
                                      " of " + std::to_string(array.itemsize())));
  }
  return static_cast<const char*>(array.data());
}

template <size_t kSize>
std::array<float, kSize> Defaults(const std::vector<float>& values, const char* field) {
  const auto size = static_cast<int64_t>(values.size());
  ThrowUnlessOk(CheckRange(field, size, kSize, kSize));
  std::array<float, kSize> array;
  std::copy(values.begin(), values.end(), array.begin());
  return array;
}

constexpr int64_t kMaxRequestNumbers = 64;

// num_purchases, first_time, last_time, decayed_count, total_value, rows, num_events,
// num_trips, first_event_time, last_event_time
using HistoryTuple = std::tuple<py::array, py::array, py::array, py::array, py::array,
                                py::array, int64_t, int64_t, int64_t, int64_t>;

class FeatureTable {
 public:
  FeatureTable(const ItemArrays& items, const std::vector<float>& user_defaults,
               const std::vector<float>& own_defaults, float far_days,
               float absent_rank, int64_t num_flags, const ViewColumns& user_view,
               const ViewColumns& item_view, int64_t num_request)
      : items_(LinesOf(items)),
        defaults_{
            .user = Defaults<kernels::kUserFeatures>(user_defaults, "user_defaults"),
            .own = Defaults<kernels::kOwnFeatures>(own_defaults, "own_defaults"),
            .far_days = far_days,
            .absent_rank = absent_rank},
        stored_{.num_flags = num_flags,
                .user = DecayedOf(user_view, "user_view"),
                .item = DecayedOf(item_view, "item_view"),
                .num_request = num_request} {
    ThrowUnlessOk(CheckRange("num_flags", num_flags, 0, 32));
    ThrowUnlessOk(CheckRange("num_request", num_request, 0, kMaxRequestNumbers));
  }

  int64_t NumDense(int64_t num_sources) const {
    return kernels::NumDenseFeatures(items_, stored_, num_sources);
  }

  py::tuple Features(const HistoryTuple& history_columns, int64_t now,
                     int64_t segment_row, const py::array& rows,
                     const py::array& source_scores, const py::array& source_ranks,
                     uint32_t flags, const std::optional<py::array>& user_row,
                     const std::optional<py::array>& item_rows, int64_t num_sources,
                     const std::optional<py::array>& request) const {
    const int64_t n = rows.size();
    kernels::FeatureCandidates candidates;
    candidates.num_rows = n;
    candidates.rows = VectorOf<int64_t>(rows, n, "rows");
    CheckRows(candidates.rows, n, 0, items_.num_items(), "rows");
    candidates.scores = MatrixOf<float>(source_scores, n, -1, "source_scores");
    candidates.stride = source_scores.shape(1);
    candidates.ranks =
        MatrixOf<int16_t>(source_ranks, n, candidates.stride, "source_ranks");
    candidates.num_sources = num_sources < 0 ? candidates.stride : num_sources;
    ThrowUnlessOk(
        CheckRange("num_sources", candidates.num_sources, 0, candidates.stride));
    const kernels::FeatureHistory history = HistoryOf(history_columns);
    py::array_t<float> dense({n, NumDense(candidates.num_sources)});
    py::array_t<int64_t> sparse({n, items_.num_embedded() + 1});
    kernels::ComputeFeatures({items_, defaults_, stored_}, history, now, segment_row,
                             StoredOf(flags, user_row, item_rows, request), candidates,
                             dense.mutable_data(), sparse.mutable_data());
    return py::make_tuple(dense, sparse);
  }

 private:
  kernels::StoredRows StoredOf(uint32_t flags, const std::optional<py::array>& user_row,
                               const std::optional<py::array>& item_rows,
                               const std::optional<py::array>& request) const {
    kernels::StoredRows rows{.flags = flags};
    if (user_row) {
      rows.user = RowsOf(*user_row, 1, stored_.user.row_bytes(), "user_row");
    } else if (stored_.user.size() > 0) {
      ThrowStatus(FieldError("user_row", "is missing"));
    }
    if (item_rows) {
      rows.items =
          RowsOf(*item_rows, items_.num_items(), stored_.item.row_bytes(), "item_rows");
    }
    if (request) {
      rows.request = VectorOf<float>(*request, stored_.num_request, "request");
    } else if (stored_.num_request > 0) {
      ThrowStatus(FieldError("request", "is missing"));
    }
    return rows;
  }

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
  kernels::StoredColumns stored_;
};

}  // namespace

void BindFeatureTable(py::module_& module) {
  py::class_<FeatureTable>(module, "FeatureTable")
      .def(py::init<const ItemArrays&, const std::vector<float>&,
                    const std::vector<float>&, float, float, int64_t,
                    const ViewColumns&, const ViewColumns&, int64_t>(),
           py::arg("items"), py::arg("user_defaults"), py::arg("own_defaults"),
           py::arg("far_days"), py::arg("absent_rank"), py::arg("num_flags") = 0,
           py::arg("user_view") = ViewColumns(), py::arg("item_view") = ViewColumns(),
           py::arg("num_request") = 0)
      .def("num_dense", &FeatureTable::NumDense)
      .def("features", &FeatureTable::Features, py::arg("history"), py::arg("now"),
           py::arg("segment_row"), py::arg("rows"), py::arg("source_scores"),
           py::arg("source_ranks"), py::arg("flags") = 0,
           py::arg("user_row") = py::none(), py::arg("item_rows") = py::none(),
           py::arg("num_sources") = -1, py::arg("request") = py::none());
}

}  // namespace stepwell::python
