// Exact search by comparing with everything: the oracle of the others.
#ifndef STEPWELL_CC_INDEX_FLAT_INDEX_H_
#define STEPWELL_CC_INDEX_FLAT_INDEX_H_

#include <memory>
#include <string>
#include <vector>

#include "cc/index/ann_index.h"
#include "cc/index/distance.h"
#include "cc/index/label_map.h"
#include "cc/index/writer_lock.h"

namespace stepwell::index {

struct FlatOptions {
  int64_t dim = 0;  // 1 .. kMaxDim
  Metric metric = Metric::kInnerProduct;
  SpaceHash space_hash{};
};

// Every answer is exact, by the distance functions that HnswIndex uses: the
// scores of both are equal bit for bit. Cost of a search: N distances a query, in the
// order of memory. A deleted row's place is reused at once.
//
// Concurrency: searches, Save and Stats run side by side; Upsert and Delete wait for
// them and run alone (one reader-writer lock).
class FlatIndex : public AnnIndex {
 public:
  static absl::StatusOr<std::unique_ptr<FlatIndex>> Build(
      absl::Span<const float> vectors, absl::Span<const int64_t> ids,
      const FlatOptions& options);

  // Opens a file of Save. NotFound without one, DataLoss when any of its bytes
  // is not what was written, FailedPrecondition for another kind of index or,
  // where a hash is expected, another embedding space.
  static absl::StatusOr<std::unique_ptr<FlatIndex>> Open(
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
  explicit FlatIndex(const FlatOptions& options)
      : options_(options), kernel_(BestDistanceKernel(options.metric)) {}

  SearchResult SearchRows(absl::Span<const float> queries, int64_t k,
                          const SearchOptions& options) const;
  void MakeRoom(int64_t num_rows);
  void PutRow(int64_t id, const float* vector);
  void RemoveRow(int64_t row);

  const FlatOptions options_;
  const DistanceKernel& kernel_;
  mutable WriterLock mutex_;  // searches share it
  // Guarded by mutex_.
  LabelMap labels_;
  std::vector<float> vectors_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_FLAT_INDEX_H_
