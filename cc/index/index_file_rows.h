// What the rows of an index file may hold.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_ROWS_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_ROWS_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/index/index_file_view.h"

namespace stepwell::index {

// Checks rows of a view by range, and at the end what only all of them can tell.
// Errors are DataLoss. Concurrency: CheckRows and CheckUpperLinks from any threads;
// CheckTotals once all rows were checked.
class IndexFileRows {
 public:
  // Finds the free places. Throws std::bad_alloc.
  explicit IndexFileRows(const IndexFileView& view);

  // Rows [first, end) of one section.
  absl::Status CheckRows(IndexSection section, int64_t first, int64_t end);

  // All of kUpperLinks: whose list one is shows only from the levels before.
  absl::Status CheckUpperLinks() const;

  absl::Status CheckTotals() const;

 private:
  absl::Status CheckLabels(int64_t first, int64_t end);
  absl::Status CheckLevels(int64_t first, int64_t end);
  absl::Status CheckNodesByLabel(int64_t first, int64_t end) const;
  absl::Status CheckBaseLinks(int64_t first, int64_t end) const;
  absl::Status CheckVectors(int64_t first, int64_t end) const;
  absl::Status CheckCodes(int64_t first, int64_t end) const;
  absl::Status CheckLinks(const uint32_t* links, int64_t size, int64_t node,
                          int level) const;
  // A node that was taken and never written is dead, and of zeros.
  bool MayBeZero(int64_t node) const {
    return header_.metric != Metric::kCosine || labels_[node] < 0;
  }
  bool IsFree(uint32_t node) const {
    return !free_nodes_.empty() && (free_nodes_[node / 64] >> (node % 64) & 1) != 0;
  }

  const IndexFileView& view_;
  const IndexFileHeader& header_;
  const int64_t* const labels_;
  const uint8_t* const levels_;
  const uint32_t* const nodes_by_label_;
  std::vector<uint64_t> free_nodes_;  // a bit each; empty where there are none
  std::atomic<int64_t> num_labels_ = 0;
  std::atomic<int64_t> num_levels_ = 0;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_ROWS_H_
