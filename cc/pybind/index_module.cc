// The Python face of cc/index. Every method that works gives up the GIL.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "cc/base/field_error.h"
#include "cc/index/ann_index.h"
#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using index::AnnIndex;
using index::FlatIndex;
using index::FlatOptions;
using index::HnswIndex;
using index::HnswOptions;
using index::IdBitmap;
using index::SearchOptions;
using index::SearchResult;
using index::SpaceHash;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Ids = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Flags = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;

template <typename T, int kFlags>
absl::Span<const T> SpanOf(const py::array_t<T, kFlags>& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

// float32 [N, dim]: the number of columns is checked here, where it is still
// known.
absl::Span<const float> RowsOf(const Floats& rows, int64_t dim, const char* field) {
  if (rows.ndim() == 2 && rows.shape(1) == dim) return SpanOf(rows);
  const std::string shape = py::str(rows.attr("shape"));
  ThrowStatus(FieldError(
      field, "has shape " + shape + ", must be [N, " + std::to_string(dim) + "]"));
}

absl::Span<const int64_t> IdsOf(const Ids& ids, const char* field) {
  if (ids.ndim() == 1) return SpanOf(ids);
  ThrowStatus(FieldError(field, "must have one dimension"));
}

SpaceHash HashOf(const py::bytes& bytes) {
  const std::string text = bytes;
  SpaceHash hash{};
  if (text.size() != hash.size()) {
    ThrowStatus(FieldError(
        "space_hash", "has " + std::to_string(text.size()) + " bytes, must have 32"));
  }
  std::memcpy(hash.data(), text.data(), hash.size());
  return hash;
}

// Hands a vector's memory to numpy without a copy.
template <typename T>
py::array_t<T> ToArray(std::vector<T> values, std::vector<py::ssize_t> shape) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owner->data();
  const py::capsule capsule(owner.release(), [](void* vector) {
    delete static_cast<std::vector<T>*>(vector);
  });
  return py::array_t<T>(std::move(shape), data, capsule);
}

py::tuple ToTuple(SearchResult result) {
  const py::ssize_t b = result.num_queries, k = result.k;
  return py::make_tuple(
      ToArray(std::move(result.ids), {b, k}), ToArray(std::move(result.scores), {b, k}),
      ToArray(std::move(result.counts), {b}),
      ToArray(std::move(result.truncated), {b}).view("?"), result.num_visited,
      result.num_distances, std::string(index::SearchStrategyName(result.strategy)),
      result.num_exact);
}

py::tuple SearchIndex(const AnnIndex& ann_index, const Floats& queries, int64_t k,
                      int64_t ef_search, const Ids& exclude_ids,
                      const py::object& allowed, int64_t budget_us) {
  const absl::Span<const float> rows = RowsOf(queries, ann_index.dim(), "queries");
  SearchOptions options;
  options.ef_search = ef_search;
  options.exclude_ids = IdsOf(exclude_ids, "exclude_ids");
  constexpr int64_t kNanosPerMicro = 1'000, kMaxBudgetUs = 3'600'000'000;
  if (const absl::Status status = CheckRange("budget_us", budget_us, 0, kMaxBudgetUs);
      !status.ok()) {
    ThrowStatus(status);
  }
  options.budget_nanos = budget_us * kNanosPerMicro;
  const bool filtered = !allowed.is_none();
  const Flags flags = filtered ? Flags::ensure(allowed) : Flags(0);
  if (!flags || flags.ndim() != 1) {
    PyErr_Clear();
    ThrowStatus(FieldError("allowed", "must be a bool array of one dimension"));
  }
  return ToTuple(WithoutGil([&] {
    IdBitmap bitmap;
    if (filtered) {
      bitmap = IdBitmap::FromFlags(SpanOf(flags));
      options.allowed = &bitmap;
    }
    return ann_index.Search(rows, k, options);
  }));
}

py::dict StatsOf(const AnnIndex& ann_index) {
  const index::IndexStats stats = [&] {
    py::gil_scoped_release release;
    return ann_index.Stats();
  }();
  py::dict dict;
  dict["num_items"] = stats.num_items;
  dict["num_deleted"] = stats.num_deleted;
  dict["dim"] = stats.dim;
  dict["metric"] = std::string(index::MetricName(stats.metric));
  dict["m"] = stats.m;
  dict["ef_construction"] = stats.ef_construction;
  dict["memory_bytes"] = stats.memory_bytes;
  dict["space_hash"] = py::bytes(reinterpret_cast<const char*>(stats.space_hash.data()),
                                 stats.space_hash.size());
  return dict;
}

// The methods that both classes share.
template <typename Index>
void DefineCommon(py::class_<Index>& type) {
  type.def_static(
      "open",
      [](const std::string& path, const py::object& expected_space_hash) {
        SpaceHash hash{};
        const bool expects = !expected_space_hash.is_none();
        if (expects) hash = HashOf(expected_space_hash.cast<py::bytes>());
        return WithoutGil([&] { return Index::Open(path, expects ? &hash : nullptr); });
      },
      py::arg("path"), py::arg("expected_space_hash"));
  type.def("save", [](const Index& self, const std::string& path) {
    WithoutGil([&] { return self.Save(path); });
  });
  type.def("upsert", [](Index& self, const Floats& vectors, const Ids& ids) {
    const auto rows = RowsOf(vectors, self.dim(), "vectors");
    const auto labels = IdsOf(ids, "ids");
    WithoutGil([&] { return self.Upsert(rows, labels); });
  });
  type.def("delete", [](Index& self, const Ids& ids) {
    const auto labels = IdsOf(ids, "ids");
    const auto result = WithoutGil([&] { return self.Delete(labels); });
    return py::make_tuple(result.num_deleted, result.num_unknown);
  });
  type.def("search", [](const Index& self, const Floats& queries, int64_t k,
                        int64_t ef_search, const Ids& exclude_ids,
                        const py::object& allowed, int64_t budget_us) {
    return SearchIndex(self, queries, k, ef_search, exclude_ids, allowed, budget_us);
  });
  type.def("stats", [](const Index& self) { return StatsOf(self); });
}

std::unique_ptr<HnswIndex> BuildHnsw(const Floats& vectors, const Ids& ids,
                                     const std::string& metric, int64_t m,
                                     int64_t ef_construction, uint64_t seed,
                                     int num_threads, const py::bytes& space_hash) {
  HnswOptions options;
  options.dim = vectors.ndim() == 2 ? vectors.shape(1) : 0;
  options.metric = WithoutGil([&] { return index::MetricFromName(metric); });
  options.m = m;
  options.ef_construction = ef_construction;
  options.seed = seed;
  options.num_threads = num_threads;
  options.space_hash = HashOf(space_hash);
  const auto rows = RowsOf(vectors, options.dim, "vectors");
  const auto labels = IdsOf(ids, "ids");
  return WithoutGil([&] { return HnswIndex::Build(rows, labels, options); });
}

std::unique_ptr<FlatIndex> BuildFlat(const Floats& vectors, const Ids& ids,
                                     const std::string& metric,
                                     const py::bytes& space_hash) {
  FlatOptions options;
  options.dim = vectors.ndim() == 2 ? vectors.shape(1) : 0;
  options.metric = WithoutGil([&] { return index::MetricFromName(metric); });
  options.space_hash = HashOf(space_hash);
  const auto rows = RowsOf(vectors, options.dim, "vectors");
  const auto labels = IdsOf(ids, "ids");
  return WithoutGil([&] { return FlatIndex::Build(rows, labels, options); });
}

}  // namespace

PYBIND11_MODULE(_index, module) {
  module.doc() = "Nearest-neighbour indexes; see stepwell.index for the typed face.";
  py::class_<HnswIndex> hnsw(module, "HnswIndex");
  hnsw.def_static("build", &BuildHnsw, py::arg("vectors"), py::arg("ids"),
                  py::kw_only(), py::arg("metric"), py::arg("m"),
                  py::arg("ef_construction"), py::arg("seed"), py::arg("num_threads"),
                  py::arg("space_hash"));
  DefineCommon(hnsw);
  py::class_<FlatIndex> flat(module, "FlatIndex");
  flat.def_static("build", &BuildFlat, py::arg("vectors"), py::arg("ids"),
                  py::kw_only(), py::arg("metric"), py::arg("space_hash"));
  DefineCommon(flat);
}

}  // namespace stepwell::python
