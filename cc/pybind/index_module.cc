// The Python face of cc/index. Every method that works gives up the GIL.
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "cc/base/field_error.h"
#include "cc/index/ann_index.h"
#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/vector_codec.h"
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

// The hash that a caller may leave out, where it lives for the call.
class ExpectedHash {
 public:
  explicit ExpectedHash(const py::object& bytes) {
    if (!bytes.is_none()) hash_ = HashOf(bytes);
  }
  const SpaceHash* get() const { return hash_ ? &*hash_ : nullptr; }

 private:
  std::optional<SpaceHash> hash_;
};

std::unique_ptr<FlatIndex> OpenFlat(const std::string& path,
                                    const py::object& expected_space_hash) {
  const ExpectedHash expected(expected_space_hash);
  return WithoutGil([&] { return FlatIndex::Open(path, expected.get()); });
}

std::unique_ptr<HnswIndex> OpenHnsw(const std::string& path,
                                    const py::object& expected_space_hash,
                                    int num_threads, bool background) {
  const ExpectedHash expected(expected_space_hash);
  const index::HnswOpenOptions options{.num_threads = num_threads,
                                       .background = background};
  return WithoutGil([&] { return HnswIndex::Open(path, expected.get(), options); });
}

// The methods that both classes share.
template <typename Index>
void DefineCommon(py::class_<Index>& type) {
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

// A field of an options object of Python.
template <typename T>
T Field(const py::object& options, const char* name) {
  try {
    return options.attr(name).cast<T>();
  } catch (const py::cast_error&) {
    const std::string value = py::repr(options.attr(name));
    ThrowStatus(FieldError(name, "is " + value + ": of a wrong type or too large"));
  }
}

HnswOptions OptionsOf(const py::object& options, int64_t dim) {
  HnswOptions read;
  read.dim = dim;
  read.metric =
      ValueOrThrow(index::MetricFromName(Field<std::string>(options, "metric")));
  read.m = Field<int64_t>(options, "m");
  read.ef_construction = Field<int64_t>(options, "ef_construction");
  read.seed = Field<uint64_t>(options, "seed");
  read.num_threads = Field<int>(options, "num_threads");
  read.space_hash = HashOf(options.attr("space_hash"));
  read.codes = ValueOrThrow(index::ParseCodeKind(Field<std::string>(options, "codes")));
  read.keep_vectors = Field<bool>(options, "keep_vectors");
  read.int8_limit = Field<float>(options, "int8_limit");
  read.background = Field<bool>(options, "background");
  read.capacity = Field<int64_t>(options, "capacity");
  return read;
}

// Tells Python how far a build is; an exception there, or Ctrl-C, ends the build.
class PythonProgress {
 public:
  explicit PythonProgress(py::object callback) : callback_(std::move(callback)) {}

  bool operator()(int64_t done, int64_t total) {
    const py::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!callback_.is_none()) callback_(done, total);
      return true;
    } catch (const py::error_already_set&) {
      error_ = std::current_exception();
      return false;
    }
  }

  void Rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  py::object callback_;
  std::exception_ptr error_;
};

std::unique_ptr<HnswIndex> BuildHnsw(const py::object& vectors, const py::object& ids,
                                     const py::object& options,
                                     const py::object& callback) {
  const BuildArguments arguments(vectors, ids);
  const HnswOptions read = OptionsOf(options, arguments.dim);
  PythonProgress progress(callback);
  auto built = [&] {
    py::gil_scoped_release release;
    return HnswIndex::Build(arguments.rows, SpanOf(arguments.labels), read,
                            std::ref(progress));
  }();
  progress.Rethrow();
  return ValueOrThrow(std::move(built));
}

std::unique_ptr<HnswIndex> ImportHnswlib(const std::string& path,
                                         const py::object& options, int64_t dim) {
  const HnswOptions read = OptionsOf(options, dim);
  return WithoutGil([&] { return HnswIndex::ImportHnswlib(path, read); });
}

py::array_t<int64_t> IdsIn(const HnswIndex& hnsw) {
  const std::vector<int64_t> ids = [&] {
    py::gil_scoped_release release;
    return hnsw.Ids();
  }();
  return py::array_t<int64_t>(static_cast<py::ssize_t>(ids.size()), ids.data());
}

py::array_t<float> VectorsOf(const HnswIndex& hnsw, const py::object& ids) {
  const Ids labels = IdsOf(ids, "ids");
  py::array_t<float> vectors({labels.size(), py::ssize_t{hnsw.dim()}});
  float* out = vectors.mutable_data();
  WithoutGil([&] { return hnsw.Vectors(SpanOf(labels), out); });
  return vectors;
}

float Int8Limit(const py::object& vectors, const std::string& metric) {
  const Floats floats = FloatsOf(vectors, "vectors");
  const int64_t dim = floats.ndim() == 2 ? floats.shape(1) : 0;
  const absl::Span<const float> rows = RowsOf(floats, dim, "vectors");
  const index::Metric compared = ValueOrThrow(index::MetricFromName(metric));
  py::gil_scoped_release release;
  return index::VectorCodec::LimitFor(rows, dim, compared);
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
  // A large index takes a while to go: its thread ends, its pages are unmapped.
  const py::release_gil_before_calling_cpp_dtor without_gil;
  py::class_<HnswIndex> hnsw(module, "HnswIndex", without_gil);
  hnsw.def_static("build", &BuildHnsw);
  hnsw.def_static("open", &OpenHnsw);
  hnsw.def_static("import_hnswlib", &ImportHnswlib);
  hnsw.def("reclaim",
           [](HnswIndex& self) { WithoutGil([&] { return self.Reclaim(); }); });
  hnsw.def("ids", &IdsIn);
  hnsw.def("vectors", &VectorsOf);
  DefineCommon(hnsw);
  py::class_<FlatIndex> flat(module, "FlatIndex", without_gil);
  flat.def_static("build", &BuildFlat, py::arg("vectors"), py::arg("ids"),
                  py::kw_only(), py::arg("metric"), py::arg("space_hash"));
  flat.def_static("open", &OpenFlat);
  DefineCommon(flat);
  module.def("int8_limit", &Int8Limit);
}

}  // namespace stepwell::python
