// The Python face of cc/index. Every method that works gives up the GIL.
#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "cc/base/field_error.h"
#include "cc/index/ann_index.h"
#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "cc/pybind/index_arrays.h"
#include "cc/pybind/item_filter_bindings.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/pybind11.h"

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
using index::SpaceHash;

// A set that is compiled already is borrowed; flags are compiled for this call.
py::tuple SearchIndex(const AnnIndex& ann_index, const py::object& queries, int64_t k,
                      int64_t ef_search, const py::object& exclude_ids,
                      const py::object& allowed, int64_t budget_us, bool exact) {
  const Floats floats = FloatsOf(queries, "queries");
  const absl::Span<const float> rows = RowsOf(floats, ann_index.dim(), "queries");
  SearchOptions options;
  options.ef_search = ef_search;
  options.exact = exact;
  Ids excluded;
  if (!exclude_ids.is_none()) excluded = IdsOf(exclude_ids, "exclude_ids");
  options.exclude_ids = SpanOf(excluded);
  constexpr int64_t kNanosPerMicro = 1'000, kMaxBudgetUs = 3'600'000'000;
  ThrowUnlessOk(CheckRange("budget_us", budget_us, 0, kMaxBudgetUs));
  options.budget_nanos = budget_us * kNanosPerMicro;
  Flags flags;
  const bool is_set = py::isinstance<IdBitmap>(allowed);
  if (is_set) options.allowed = &allowed.cast<const IdBitmap&>();
  const bool compiles = !is_set && !allowed.is_none();
  if (compiles) flags = FlagsOf(allowed, "allowed");
  return ToTuple(WithoutGil([&] {
    IdBitmap bitmap;
    if (compiles) {
      bitmap = IdBitmap::FromFlags({reinterpret_cast<const uint8_t*>(flags.data()),
                                    static_cast<size_t>(flags.size())});
      options.allowed = &bitmap;
    }
    return ann_index.Search(rows, k, options);
  }));
}

py::tuple StatsOf(const AnnIndex& ann_index) {
  return ToTuple([&] {
    py::gil_scoped_release release;
    return ann_index.Stats();
  }());
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
  type.def("upsert", [](Index& self, const py::object& vectors, const py::object& ids) {
    const Floats floats = FloatsOf(vectors, "vectors");
    const Ids labels = IdsOf(ids, "ids");
    const absl::Span<const float> rows = RowsOf(floats, self.dim(), "vectors");
    WithoutGil([&] { return self.Upsert(rows, SpanOf(labels)); });
  });
  type.def("delete", [](Index& self, const py::object& ids) {
    const Ids labels = IdsOf(ids, "ids");
    const auto result = WithoutGil([&] { return self.Delete(SpanOf(labels)); });
    return py::make_tuple(result.num_deleted, result.num_unknown);
  });
  type.def("search", [](const Index& self, const py::object& queries, int64_t k,
                        int64_t ef_search, const py::object& exclude_ids,
                        const py::object& allowed, int64_t budget_us, bool exact) {
    return SearchIndex(self, queries, k, ef_search, exclude_ids, allowed, budget_us,
                       exact);
  });
  type.def("stats", [](const Index& self) { return StatsOf(self); });
}

// What both kinds of Build take; the arrays live as long as the spans.
struct BuildArguments {
  BuildArguments(const py::object& vectors, const py::object& ids)
      : floats(FloatsOf(vectors, "vectors")),
        labels(IdsOf(ids, "ids")),
        dim(floats.ndim() == 2 ? floats.shape(1) : 0),
        rows(RowsOf(floats, dim, "vectors")) {}

  Floats floats;
  Ids labels;
  int64_t dim;
  absl::Span<const float> rows;
};

std::unique_ptr<HnswIndex> BuildHnsw(const py::object& vectors, const py::object& ids,
                                     const std::string& metric, int64_t m,
                                     int64_t ef_construction, uint64_t seed,
                                     int num_threads, const py::bytes& space_hash) {
  const BuildArguments arguments(vectors, ids);
  HnswOptions options;
  options.dim = arguments.dim;
  options.metric = ValueOrThrow(index::MetricFromName(metric));
  options.m = m;
  options.ef_construction = ef_construction;
  options.seed = seed;
  options.num_threads = num_threads;
  options.space_hash = HashOf(space_hash);
  return WithoutGil([&] {
    return HnswIndex::Build(arguments.rows, SpanOf(arguments.labels), options);
  });
}

std::unique_ptr<FlatIndex> BuildFlat(const py::object& vectors, const py::object& ids,
                                     const std::string& metric,
                                     const py::bytes& space_hash) {
  const BuildArguments arguments(vectors, ids);
  FlatOptions options;
  options.dim = arguments.dim;
  options.metric = ValueOrThrow(index::MetricFromName(metric));
  options.space_hash = HashOf(space_hash);
  return WithoutGil([&] {
    return FlatIndex::Build(arguments.rows, SpanOf(arguments.labels), options);
  });
}

}  // namespace

PYBIND11_MODULE(_index, module) {
  module.doc() = "Nearest-neighbour indexes; see stepwell.index for the typed face.";
  BindItemFilter(module);
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
