#include "cc/pybind/item_filter_bindings.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cc/base/field_error.h"
#include "cc/index/ann_index.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/item_attributes.h"
#include "cc/index/predicate.h"
#include "cc/pybind/index_arrays.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using index::IdBitmap;
using index::ItemAttributes;
using index::PredicateToken;
using index::TagLists;
using IdSetPtr = std::shared_ptr<IdBitmap>;

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

IdSetPtr Finished(IdBitmap bitmap) {
  auto set = std::make_shared<IdBitmap>(std::move(bitmap));
  set->KeepCount();
  return set;
}

absl::StatusOr<IdSetPtr> SetOfIds(absl::Span<const int64_t> ids, int64_t num_ids) {
  if (const absl::Status status = CheckRange("num_ids", num_ids, 0, index::kMaxItems);
      !status.ok()) {
    return status;
  }
  IdBitmap bitmap(num_ids);
  for (int64_t id : ids) {
    if (id < 0 || id >= num_ids) {
      return FieldError("ids",
                        absl::StrCat("has ", id, ", must be in [0, ", num_ids, ")"));
    }
    bitmap.Set(id);
  }
  return Finished(std::move(bitmap));
}

py::array_t<int64_t> ToNumpy(const IdBitmap& set) {
  py::array_t<int64_t> ids(set.CountSet());
  int64_t* next = ids.mutable_data();
  {
    py::gil_scoped_release release;
    set.ForEachSet([&](int64_t id) { *next++ = id; });
  }
  return ids;
}

// Over the larger range of ids of both.
template <typename Change>
IdSetPtr Combined(const IdBitmap& a, const IdBitmap& b, Change change) {
  py::gil_scoped_release release;
  IdBitmap result = a;
  if (result.num_bits() < b.num_bits()) result.Resize(b.num_bits());
  change(result);
  return Finished(std::move(result));
}

void BindIdSet(py::module_& module) {
  py::class_<IdBitmap, IdSetPtr> set(module, "IdSet");
  set.def_static("from_ids", [](const Array<int64_t>& ids, int64_t num_ids) {
    return WithoutGil([&] { return SetOfIds(SpanOf(ids), num_ids); });
  });
  set.def_static("from_flags", [](const Array<uint8_t>& flags) {
    return WithoutGil([&]() -> absl::StatusOr<IdSetPtr> {
      return Finished(IdBitmap::FromFlags(SpanOf(flags)));
    });
  });
  set.def("__len__", &IdBitmap::CountSet);
  set.def("__contains__", &IdBitmap::Test);
  set.def_property_readonly("num_ids", &IdBitmap::num_bits);
  set.def("to_numpy", &ToNumpy);
  set.def("__and__", [](const IdBitmap& a, const IdBitmap& b) {
    return Combined(a, b, [&](IdBitmap& result) { result.And(b); });
  });
  set.def("__or__", [](const IdBitmap& a, const IdBitmap& b) {
    return Combined(a, b, [&](IdBitmap& result) { result.Or(b); });
  });
  set.def("__sub__", [](const IdBitmap& a, const IdBitmap& b) {
    return Combined(a, b, [&](IdBitmap& result) { result.AndNot(b); });
  });
}

// ("any_of", column, tags) | ("in_range", column, low, high) | ("and",) | ("or",) |
// ("not",), as stepwell.index.item_filter makes them.
PredicateToken TokenOf(const py::tuple& tuple) {
  using Kind = PredicateToken::Kind;
  const auto kind = tuple[0].cast<std::string>();
  if (kind == "and") return {.kind = Kind::kAnd};
  if (kind == "or") return {.kind = Kind::kOr};
  if (kind == "not") return {.kind = Kind::kNot};
  PredicateToken token{.column = tuple[1].cast<std::string>()};
  if (kind == "any_of") {
    token.tags = tuple[2].cast<std::vector<uint32_t>>();
  } else {
    token.kind = Kind::kInRange;
    token.low = tuple[2].cast<double>();
    token.high = tuple[3].cast<double>();
  }
  return token;
}

std::vector<PredicateToken> PredicateOf(const py::list& tokens) {
  std::vector<PredicateToken> predicate;
  predicate.reserve(tokens.size());
  for (const py::handle token : tokens) {
    predicate.push_back(TokenOf(token.cast<py::tuple>()));
  }
  return predicate;
}

std::unique_ptr<ItemAttributes> MakeAttributes(int64_t num_items) {
  if (const absl::Status status =
          CheckRange("num_items", num_items, 0, index::kMaxItems);
      !status.ok()) {
    ThrowStatus(status);
  }
  return std::make_unique<ItemAttributes>(num_items);
}

void BindItemAttributes(py::module_& module) {
  py::class_<ItemAttributes> attributes(module, "ItemAttributes");
  attributes.def(py::init(&MakeAttributes));
  attributes.def_property_readonly("num_items", &ItemAttributes::num_items);
  attributes.def("add_tags",
                 [](ItemAttributes& self, const std::string& column,
                    const Array<int64_t>& offsets, const Array<uint32_t>& tags) {
                   const TagLists lists{SpanOf(offsets), SpanOf(tags)};
                   WithoutGil([&] { return self.AddTags(column, lists); });
                 });
  attributes.def("add_range", [](ItemAttributes& self, const std::string& column,
                                 const Array<double>& values) {
    WithoutGil([&] { return self.AddRange(column, SpanOf(values)); });
  });
  attributes.def(
      "set_tags",
      [](ItemAttributes& self, const std::string& column, const Array<int64_t>& ids,
         const Array<int64_t>& offsets, const Array<uint32_t>& tags) {
        const TagLists lists{SpanOf(offsets), SpanOf(tags)};
        WithoutGil([&] { return self.SetTags(column, SpanOf(ids), lists); });
      });
  attributes.def(
      "set_range", [](ItemAttributes& self, const std::string& column,
                      const Array<int64_t>& ids, const Array<double>& values) {
        WithoutGil([&] { return self.SetRange(column, SpanOf(ids), SpanOf(values)); });
      });
  attributes.def("grow", [](ItemAttributes& self, int64_t num_items) {
    WithoutGil([&] { return self.Grow(num_items); });
  });
  attributes.def("compile", [](const ItemAttributes& self, const py::list& tokens) {
    const std::vector<PredicateToken> predicate = PredicateOf(tokens);
    return WithoutGil([&]() -> absl::StatusOr<IdSetPtr> {
      absl::StatusOr<IdBitmap> items = self.Compile(predicate);
      if (!items.ok()) return items.status();
      return std::make_shared<IdBitmap>(*std::move(items));
    });
  });
  attributes.def("estimate_count",
                 [](const ItemAttributes& self, const py::list& tokens) {
                   const std::vector<PredicateToken> predicate = PredicateOf(tokens);
                   return WithoutGil([&] { return self.EstimateCount(predicate); });
                 });
}

}  // namespace

void BindItemFilter(py::module_& module) {
  BindIdSet(module);
  BindItemAttributes(module);
}

}  // namespace stepwell::python
