// The Python face of cc/feature_rows: a user's stored rows become what the request path
// takes, in one call. It keeps the GIL: to get it back from another thread costs more
// than the whole call takes.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/feature_rows/history_body.h"
#include "cc/feature_rows/row_verdict.h"
#include "cc/pybind/bound_function.h"
#include "cc/pybind/bytes_of.h"
#include "pybind11/numpy.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using feature_rows::HistoryBody;
using feature_rows::RowState;
using feature_rows::StoredView;
using feature_rows::Verdict;

// name, prefix, dtype of its struct or None for a history, ttl_seconds,
// freshness_seconds, place of its writer's watermark or -1, whether it drops the tier
using ViewTuple =
    std::tuple<py::str, std::string, py::object, int64_t, int64_t, int64_t, bool>;

// None is nullopt. The bytes live as long as the object; TypeError for anything else.
std::optional<absl::string_view> BlobOf(const py::handle& object) {
  if (object.is_none()) return std::nullopt;
  return BytesOf(object);
}

// A read-only array over part of `owner`'s bytes, at any address.
py::array ViewOf(const py::dtype& dtype, const std::vector<py::ssize_t>& shape,
                 const char* data, const py::handle& owner) {
  std::vector<py::ssize_t> strides(shape.size(), dtype.itemsize());
  py::array view(dtype, shape, std::move(strides), data, owner);
  py::detail::array_proxy(view.ptr())->flags &=
      ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return view;
}

// Makes a UserHistory as its generated constructor does, which Python would run for a
// frozen class as a call for each field.
class HistoryMaker {
 public:
  explicit HistoryMaker(py::type history_class)
      : class_(std::move(history_class)),
        dtypes_{py::dtype("<u8"), py::dtype("<i4"), py::dtype("<i8"),
                py::dtype("<i8"), py::dtype("<f4"), py::dtype("<f4")} {
    for (const py::handle name : class_.attr("__slots__")) {
      names_.push_back(py::reinterpret_borrow<py::str>(name));
    }
    if (names_.size() != dtypes_.size() + 5) {
      throw py::value_error("a history has six columns and five more fields");
    }
  }

  py::object Make(const HistoryBody& body, const py::handle& blob) const {
    auto* const type = reinterpret_cast<PyTypeObject*>(class_.ptr());
    auto made = py::reinterpret_steal<py::object>(type->tp_alloc(type, 0));
    if (!made) throw py::error_already_set();
    const char* column = body.columns;
    size_t field = 0;
    for (const py::dtype& dtype : dtypes_) {
      Set(made, field++, ViewOf(dtype, {body.num_items}, column, blob));
      column += body.num_items * dtype.itemsize();
    }
    for (const int64_t number : {body.num_events, body.num_trips, body.first_event_time,
                                 body.last_event_time}) {
      Set(made, field++, py::int_(number));
    }
    Set(made, field, py::str(body.segment.data(), body.segment.size()));
    return made;
  }

 private:
  void Set(const py::object& made, size_t field, const py::object& value) const {
    if (PyObject_GenericSetAttr(made.ptr(), names_[field].ptr(), value.ptr()) != 0) {
      throw py::error_already_set();
    }
  }

  py::type class_;
  std::array<py::dtype, feature_rows::kColumnBytes.size()> dtypes_;
  std::vector<py::str> names_;
};

class UserRowReader {
 public:
  UserRowReader(const std::vector<ViewTuple>& views, const py::tuple& states,
                py::type history_class)
      : states_(states), history_(std::move(history_class)) {
    if (states.size() != feature_rows::kNumRowStates) {
      throw py::value_error("states are not those of RowState");
    }
    for (const ViewTuple& view : views) views_.push_back(PlaceOf(view));
    num_blobs_ = views_.size();
    for (const Place& view : views_) {
      num_blobs_ =
          std::max(num_blobs_, views_.size() + static_cast<size_t>(view.mark + 1));
    }
  }

  // blobs, user_id, event_time, wall_us; see stepwell.features.row_verdict.
  py::object Read(const Arguments& arguments) {
    arguments.CheckCount(4);
    const py::list blobs = arguments.List(0);
    const py::handle user_id = arguments[1];
    const feature_rows::Moment moment = {.event_time = arguments.Integer(2),
                                         .wall_us = arguments.Integer(3)};
    CheckNumber(blobs, num_blobs_);
    Outcome outcome(views_.size());
    const std::vector<std::optional<int64_t>> said = Said(blobs, outcome);
    for (size_t i = 0; i < views_.size(); ++i) {
      const Place& view = views_[i];
      const py::handle blob = blobs[i];
      const auto said_us = view.mark < 0 ? std::nullopt : said[view.mark];
      Add(i, JudgeRow(view.stored, BlobOf(blob), said_us, moment), blob, user_id,
          outcome);
    }
    return outcome.AsTuple();
  }

  // As `Read`, of rows that were used before: whatever their age is, none is told.
  py::tuple Replayed(const py::list& blobs, const py::str& user_id) const {
    CheckNumber(blobs, views_.size());
    Outcome outcome(views_.size());
    for (size_t i = 0; i < views_.size(); ++i) {
      const py::handle blob = blobs[i];
      Add(i, ReadRow(views_[i].stored, BlobOf(blob)), blob, user_id, outcome);
    }
    return outcome.AsTuple();
  }

 private:
  struct Place {
    StoredView stored;
    py::str name;
    py::object dtype;
    int64_t mark = -1;
    bool drops_tier = false;
  };

  // In the order of stepwell.features.online_reader.UserRows.
  struct Outcome {
    explicit Outcome(size_t num_views) : states(num_views), reads(num_views) {}

    py::tuple AsTuple() {
      const bool has_history = !history.is_none();
      return py::make_tuple(std::move(states), std::move(history), std::move(rows),
                            std::move(reads), std::move(row_age_ms),
                            std::move(writer_age_ms), py::tuple(defaulted),
                            py::tuple(stale), drops_tier, is_plain && has_history);
    }

    py::tuple states;
    bool is_plain = true;
    py::object history = py::none();
    py::dict rows;
    py::tuple reads;
    py::dict row_age_ms;
    py::dict writer_age_ms;
    py::list defaulted;
    py::list stale;
    bool drops_tier = false;
  };

  static void CheckNumber(const py::list& blobs, size_t expected) {
    if (blobs.size() != expected) throw py::value_error("another number of blobs");
  }

  static Place PlaceOf(const ViewTuple& view) {
    const auto& [name, prefix, dtype, ttl_seconds, freshness_seconds, mark,
                 drops_tier] = view;
    const bool has_history = dtype.is_none();
    return {.stored = {.prefix = prefix,
                       .body_bytes =
                           has_history ? -1 : dtype.attr("itemsize").cast<int64_t>(),
                       .ttl_seconds = ttl_seconds,
                       .freshness_us = freshness_seconds * 1'000'000},
            .name = name,
            .dtype = dtype,
            .mark = mark,
            .drops_tier = drops_tier};
  }

  // What each watermark says; they follow the rows.
  std::vector<std::optional<int64_t>> Said(const py::list& blobs,
                                           Outcome& outcome) const {
    std::vector<std::optional<int64_t>> said;
    for (size_t i = views_.size(); i < blobs.size(); ++i) {
      const std::optional<absl::string_view> blob = BlobOf(blobs[i]);
      said.push_back(blob ? feature_rows::ReadWatermark(*blob) : std::nullopt);
      if (blob && !said.back()) outcome.is_plain = false;
    }
    return said;
  }

  void Add(size_t at, const Verdict& verdict, const py::handle& blob,
           const py::handle& user_id, Outcome& outcome) const {
    const Place& view = views_[at];
    const bool is_fresh = verdict.state == RowState::kFresh;
    outcome.states[at] = states_[static_cast<size_t>(verdict.state)];
    outcome.reads[at] =
        py::make_tuple(view.name, user_id, is_fresh ? blob : py::handle(Py_None));
    AddAges(view, verdict, outcome);
    if (!is_fresh) AddDefaulted(view, verdict.state, outcome);
    outcome.is_plain &= is_fresh || verdict.state == RowState::kMissing;
    if (!verdict.body) return;
    if (view.stored.has_history()) {
      outcome.history = history_.Make(verdict.history, blob);
      if (is_fresh && verdict.history.num_events == 0) {
        outcome.defaulted.append(view.name);
      }
    } else if (is_fresh) {
      const auto dtype = py::reinterpret_borrow<py::dtype>(view.dtype);
      outcome.rows[view.name] = ViewOf(dtype, {}, verdict.body->data(), blob);
    }
  }

  static void AddAges(const Place& view, const Verdict& verdict, Outcome& outcome) {
    constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / 1'000;
    if (verdict.age_seconds) {
      const int64_t age = std::clamp<int64_t>(*verdict.age_seconds, 0, kMaxSeconds);
      outcome.row_age_ms[view.name] = py::int_(age * 1'000);
    }
    if (verdict.writer_age_us) {
      outcome.writer_age_ms[view.name] = py::int_(*verdict.writer_age_us / 1'000);
    }
  }

  static void AddDefaulted(const Place& view, RowState state, Outcome& outcome) {
    outcome.defaulted.append(view.name);
    if (state != RowState::kExpired && state != RowState::kUnattended) return;
    outcome.stale.append(view.name);
    outcome.drops_tier |= view.drops_tier;
  }

  std::vector<Place> views_;
  size_t num_blobs_ = 0;  // of the views, and of their writers' watermarks
  py::tuple states_;
  HistoryMaker history_;
};

}  // namespace

PYBIND11_MODULE(_feature_rows, module) {
  module.doc() = "Stored rows of a user; see stepwell.features.online_reader.";
  py::class_<UserRowReader>(module, "UserRowReader")
      .def(py::init<const std::vector<ViewTuple>&, const py::tuple&, py::type>())
      .def_property_readonly("read", &BoundFunction<&UserRowReader::Read>)
      .def("replayed", &UserRowReader::Replayed);
}

}  // namespace stepwell::python
