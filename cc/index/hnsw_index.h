// Approximate search over a navigable graph.
#ifndef STEPWELL_CC_INDEX_HNSW_INDEX_H_
#define STEPWELL_CC_INDEX_HNSW_INDEX_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "cc/index/ann_index.h"
#include "cc/index/old_graph.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/index_file.h"
#include "cc/index/label_map.h"

namespace stepwell::index {

struct HnswOptions {
  int64_t dim = 0;  // 1 .. kMaxDim
  Metric metric = Metric::kInnerProduct;
  // Links of a node, 2 .. 128; hnswlib's M, faiss's M: the same default of 16.
  // Level 0 has twice as many.
  int64_t m = 16;
  // 1 .. kMaxEf; hnswlib's and faiss's name, hnswlib's default.
  int64_t ef_construction = 200;
  uint64_t seed = 0;
  // Threads of Build, 1 .. 64. With one the graph is the same each time.
  int num_threads = 1;
  SpaceHash space_hash{};
};

// Concurrency: searches, Save and Stats run side by side; Upsert and Delete wait for
// them and run alone. Errors as AnnIndex says. A deleted item stays in the graph,
// where it leads the way, until the index is built again; it is never returned.
//
// An exact scan answers in place of the graph where few ids are allowed: see
// kExactScanFactor. Inner product is no metric: on vectors of very different
// norms the graph reaches less recall at the same ef_search than cosine or L2
// do. Source: Malkov & Yashunin, arXiv:1603.09320; see OldGraph.
class HnswIndex : public AnnIndex {
 public:
  static absl::StatusOr<std::unique_ptr<HnswIndex>> Build(
      absl::Span<const float> vectors, absl::Span<const int64_t> ids,
      const HnswOptions& options);

  // As FlatIndex::Open. Every count and every link is checked as well, so that
  // a file made by an enemy can give wrong neighbours but touch no other
  // memory.
  static absl::StatusOr<std::unique_ptr<HnswIndex>> Open(
      const std::string& path, const SpaceHash* expected_space_hash = nullptr);

  int64_t dim() const override { return options_.dim; }
  absl::Status Upsert(absl::Span<const float> vectors,
                      absl::Span<const int64_t> ids) override;
  absl::StatusOr<DeleteResult> Delete(absl::Span<const int64_t> ids) override;
  absl::StatusOr<SearchResult> Search(absl::Span<const float> queries, int64_t k,
                                      const SearchOptions& options) const override;
  absl::Status Save(const std::string& path) const override;
  IndexStats Stats() const override;

 private:
  // One query's worth of work memory, lent to one call at a time.
  class ScratchPool {
   public:
    std::unique_ptr<OldScratch> Take();
    void Return(std::unique_ptr<OldScratch> scratch);

   private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<OldScratch>> free_;
  };

  HnswIndex(const HnswOptions& options, int64_t capacity);

  absl::Status Put(absl::Span<const float> stored, absl::Span<const int64_t> ids);
  void PutKnown(int64_t row, const float* vector);
  void DropFailedRows(int64_t first_new);
  void SearchGraph(absl::Span<const float> queries, const SearchOptions& options,
                   const RowFilter& filter, SearchResult& result) const;
  void SearchExactly(absl::Span<const float> queries, const SearchOptions& options,
                     const RowFilter& filter, SearchResult& result) const;
  bool ScanIsCheaper(int64_t ef, const IdBitmap* allowed) const;

  FileHeader MakeHeader() const;
  absl::Status WriteSections(IndexFileWriter& writer) const;
  absl::Status ReadRows(IndexFileReader& reader);
  absl::Status ReadVectors(IndexFileReader& reader);
  absl::Status ReadBaseLinks(IndexFileReader& reader, absl::Span<const uint8_t> levels);
  absl::Status ReadUpperLinks(IndexFileReader& reader,
                              absl::Span<const uint8_t> levels);

  const HnswOptions options_;
  const DistanceKernel& kernel_;
  mutable ScratchPool scratch_;
  mutable absl::Mutex mutex_;
  // Guarded by mutex_. Row i of labels_ is node i of graph_.
  OldGraph graph_;
  LabelMap labels_;
  IdBitmap deleted_rows_;
  int64_t num_deleted_ = 0;
};

// Range checks of the options, shared by Build and Open.
absl::Status CheckHnswOptions(const HnswOptions& options);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSW_INDEX_H_
