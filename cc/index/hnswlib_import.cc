#include "cc/index/hnswlib_import.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/ann_index.h"
#include "cc/index/input_checks.h"

namespace stepwell::index {
namespace {

constexpr uint64_t kMostLinks = 128;

// The file begins with these, without padding between them or behind.
struct RawHnswlibHeader {
  uint64_t level0_offset;
  uint64_t max_elements;
  uint64_t num_elements;
  uint64_t element_bytes;
  uint64_t label_offset;
  uint64_t vector_offset;
  int32_t max_level;
  uint32_t entry_node;
  uint64_t max_m;
  uint64_t max_m0;
  uint64_t m;
  double level_factor;
  uint64_t ef_construction;
};
static_assert(sizeof(RawHnswlibHeader) == 96);

template <typename T>
T Read(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

absl::Status Wrong(const std::string& what) {
  return absl::DataLossError(absl::StrCat("not a file of hnswlib: ", what));
}

// Links, and what stands before them: their number in 16 bits, then the mark of a
// deleted element in the lowest bit of the next byte, on level 0 alone.
class List {
 public:
  explicit List(const char* bytes) : bytes_(bytes) {}
  uint64_t size() const { return Read<uint16_t>(bytes_); }
  bool is_deleted() const { return (bytes_[2] & 1) != 0; }
  uint32_t operator[](uint64_t i) const {
    return Read<uint32_t>(bytes_ + (1 + i) * sizeof(uint32_t));
  }
  static uint64_t Bytes(uint64_t places) { return (1 + places) * sizeof(uint32_t); }

 private:
  const char* bytes_;
};

class Import {
 public:
  Import(absl::Span<const char> file, const HnswlibImportOptions& options)
      : file_(file), options_(options) {}

  absl::StatusOr<HnswlibGraph> Run() {
    STEPWELL_RETURN_IF_ERROR(ReadHeader());
    STEPWELL_RETURN_IF_ERROR(FindUpperLists());
    STEPWELL_RETURN_IF_ERROR(CheckEntry());
    STEPWELL_RETURN_IF_ERROR(CheckLabels());
    STEPWELL_RETURN_IF_ERROR(CheckVectorsOfElements());
    storage_ = std::make_unique<GraphStorage>(
        GraphShape{options_.dim, static_cast<int64_t>(raw_.m), options_.seed, Codec(),
                   options_.keep_vectors},
        num_elements());
    storage_->AppendNodes(absl::MakeConstSpan(levels_));
    for (uint32_t node = 0; node < raw_.num_elements; ++node) {
      STEPWELL_RETURN_IF_ERROR(TakeLinks(node));
      TakeItem(node);
    }
    HnswlibGraph graph;
    graph.storage = std::move(storage_);
    graph.ef_construction =
        static_cast<int64_t>(std::clamp<uint64_t>(raw_.ef_construction, 1, kMaxEf));
    if (raw_.num_elements > 0) {
      graph.entry_node = raw_.entry_node;
      graph.entry_level = raw_.max_level;
    }
    return graph;
  }

 private:
  int64_t num_elements() const { return static_cast<int64_t>(raw_.num_elements); }
  uint64_t dim() const { return static_cast<uint64_t>(options_.dim); }
  const char* element(uint64_t node) const {
    return file_.data() + sizeof(raw_) + node * raw_.element_bytes;
  }
  List base_list(uint64_t node) const { return List(element(node)); }
  List upper_list(uint64_t node, int level) const {
    return List(file_.data() + upper_starts_[node] +
                static_cast<uint64_t>(level - 1) * List::Bytes(raw_.m));
  }
  uint64_t raw_label(uint64_t node) const {
    return Read<uint64_t>(element(node) + raw_.label_offset);
  }

  absl::Status ReadHeader() {
    if (file_.size() < sizeof(raw_)) {
      return Wrong(absl::StrCat(file_.size(), " bytes are too few for a header"));
    }
    raw_ = Read<RawHnswlibHeader>(file_.data());
    if (raw_.level0_offset != 0 || raw_.m != raw_.max_m) {
      return Wrong("the header's sizes contradict each other");
    }
    if (raw_.m < 2 || raw_.m > kMostLinks || raw_.max_m0 != 2 * raw_.m) {
      return absl::FailedPreconditionError(
          absl::StrCat("lists of ", raw_.m, " and ", raw_.max_m0,
                       " links; can be imported with M in [2, ", kMostLinks,
                       "] and 2 M on level 0"));
    }
    const uint64_t list_bytes = List::Bytes(raw_.max_m0);
    if (raw_.vector_offset != list_bytes || raw_.label_offset < list_bytes ||
        raw_.element_bytes < sizeof(uint64_t) ||
        raw_.label_offset != raw_.element_bytes - sizeof(uint64_t)) {
      return Wrong("the header's sizes contradict each other");
    }
    const uint64_t vector_bytes = raw_.label_offset - list_bytes;
    if (vector_bytes != dim() * sizeof(float)) {
      return absl::FailedPreconditionError(
          absl::StrCat("vectors of ", vector_bytes, " bytes, float32 of dim ", dim(),
                       " are ", dim() * sizeof(float)));
    }
    const uint64_t most = (file_.size() - sizeof(raw_)) / raw_.element_bytes;
    if (raw_.num_elements > most || raw_.num_elements > uint64_t{kMaxItems} ||
        raw_.num_elements > raw_.max_elements) {
      return Wrong(absl::StrCat(raw_.num_elements, " elements in ", file_.size(),
                                " bytes, made for ", raw_.max_elements));
    }
    return absl::OkStatus();
  }

  // Behind the elements: for each the size of its lists above level 0, and the lists.
  absl::Status FindUpperLists() {
    const uint64_t list_bytes = List::Bytes(raw_.m);
    uint64_t at = sizeof(raw_) + raw_.num_elements * raw_.element_bytes;
    for (uint64_t node = 0; node < raw_.num_elements; ++node) {
      if (file_.size() - at < sizeof(uint32_t)) {
        return Wrong(absl::StrCat("ends before the lists of element ", node));
      }
      const uint64_t bytes = Read<uint32_t>(file_.data() + at);
      at += sizeof(uint32_t);
      if (bytes % list_bytes != 0 || bytes / list_bytes > kMaxLevel ||
          bytes > file_.size() - at) {
        return Wrong(absl::StrCat("element ", node, " has ", bytes,
                                  " bytes of lists, of ", list_bytes, " each, with ",
                                  file_.size() - at, " bytes left"));
      }
      levels_.push_back(static_cast<uint8_t>(bytes / list_bytes));
      upper_starts_.push_back(at);
      at += bytes;
    }
    if (at == file_.size()) return absl::OkStatus();
    return Wrong(absl::StrCat("its lists end at ", at, " of ", file_.size(), " bytes"));
  }

  absl::Status CheckEntry() const {
    if (raw_.num_elements == 0) return absl::OkStatus();
    const bool is_there = raw_.entry_node < raw_.num_elements;
    if (is_there && levels_[raw_.entry_node] == raw_.max_level) return absl::OkStatus();
    return Wrong(absl::StrCat("the entry node ", raw_.entry_node,
                              " is not one of level ", raw_.max_level));
  }

  absl::Status CheckLabels() const {
    std::vector<uint64_t> labels;
    for (uint64_t node = 0; node < raw_.num_elements; ++node) {
      if (!base_list(node).is_deleted()) labels.push_back(raw_label(node));
    }
    std::sort(labels.begin(), labels.end());
    const auto twice = std::adjacent_find(labels.begin(), labels.end());
    if (twice != labels.end()) return Wrong(absl::StrCat("label ", *twice, " twice"));
    if (labels.empty() || labels.back() >> 63 == 0) return absl::OkStatus();
    return Wrong(absl::StrCat("label ", labels.back(), " is no id: above 2^63 - 1"));
  }

  // A deleted element may be zero: it is only walked over.
  absl::Status CheckVectorsOfElements() const {
    std::vector<float> vector(dim());
    for (uint64_t node = 0; node < raw_.num_elements; ++node) {
      CopyVector(node, vector.data());
      const Metric metric =
          base_list(node).is_deleted() ? Metric::kL2 : options_.metric;
      const absl::Status usable =
          CheckVectors(vector, options_.dim, 1, metric, "vector");
      if (usable.ok()) continue;
      return Wrong(absl::StrCat("the vector of element ", node,
                                " is not finite, zero under cosine, or of a squared "
                                "norm above the range of float32"));
    }
    return absl::OkStatus();
  }

  void CopyVector(uint64_t node, float* vector) const {
    std::memcpy(vector, element(node) + raw_.vector_offset, dim() * sizeof(float));
  }

  // As it is compared.
  std::vector<float> StoredVector(uint64_t node) const {
    std::vector<float> vector(dim());
    CopyVector(node, vector.data());
    const bool is_zero =
        std::all_of(vector.begin(), vector.end(), [](float x) { return x == 0; });
    return is_zero ? vector : StoredForm(vector, options_.dim, options_.metric);
  }

  VectorCodec Codec() const {
    // As many as VectorCodec::LimitFor looks at.
    constexpr uint64_t kMostRows = 100'000;
    float limit = options_.int8_limit > 0 ? options_.int8_limit : 1;
    if (options_.codes == CodeKind::kInt8 && options_.int8_limit == 0) {
      std::vector<float> sample;
      const uint64_t step = raw_.num_elements / kMostRows + 1;
      for (uint64_t node = 0; node < raw_.num_elements; node += step) {
        const std::vector<float> vector = StoredVector(node);
        sample.insert(sample.end(), vector.begin(), vector.end());
      }
      limit = VectorCodec::LimitFor(sample, options_.dim, options_.metric);
    }
    return VectorCodec(options_.codes, options_.metric, options_.dim, limit);
  }

  void TakeItem(uint32_t node) {
    const std::vector<float> vector = StoredVector(node);
    const int64_t label = base_list(node).is_deleted()
                              ? kDeadLabel
                              : static_cast<int64_t>(raw_label(node));
    storage_->WriteItem(node, vector.data(), label);
  }

  absl::Status TakeLinks(uint32_t node) {
    STEPWELL_RETURN_IF_ERROR(TakeList(node, 0, base_list(node)));
    for (int level = 1; level <= levels_[node]; ++level) {
      STEPWELL_RETURN_IF_ERROR(TakeList(node, level, upper_list(node, level)));
    }
    return absl::OkStatus();
  }

  absl::Status TakeList(uint32_t node, int level, List list) {
    const auto places = static_cast<uint64_t>(storage_->list_size(level));
    if (list.size() > places) {
      return Wrong(absl::StrCat("element ", node, " has ", list.size(),
                                " links on level ", level, ", the limit is ", places));
    }
    uint32_t* const links = storage_->mutable_links(node, level);
    for (uint64_t i = 0; i < list.size(); ++i) {
      const uint32_t to = list[i];
      if (to >= raw_.num_elements || to == node || levels_[to] < level) {
        return Wrong(absl::StrCat("element ", node, " links to ", to, " on level ",
                                  level, ", which is no such element"));
      }
      links[i] = to;
    }
    return absl::OkStatus();
  }

  const absl::Span<const char> file_;
  const HnswlibImportOptions options_;
  RawHnswlibHeader raw_{};
  std::vector<uint8_t> levels_;
  std::vector<uint64_t> upper_starts_;
  std::unique_ptr<GraphStorage> storage_;
};

}  // namespace

absl::StatusOr<HnswlibGraph> ReadHnswlibGraph(absl::Span<const char> file,
                                              const HnswlibImportOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("dim", options.dim, 1, kMaxDim));
  return Import(file, options).Run();
}

}  // namespace stepwell::index
