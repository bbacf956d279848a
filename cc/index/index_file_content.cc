#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/index/index_file_rows.h"
#include "cc/index/index_file_view.h"

namespace stepwell::index {
namespace {

// Work is taken in order and never given up half-way, so the first problem of all is
// found whichever thread comes first.
class FirstProblem {
 public:
  bool found() const { return found_.load(std::memory_order_relaxed); }

  void Report(uint64_t block, absl::Status problem) {
    const std::lock_guard lock(mutex_);
    if (found() && block >= block_) return;
    block_ = block;
    problem_ = std::move(problem);
    found_ = true;
  }

  const absl::Status& status() const { return problem_; }

 private:
  std::atomic<bool> found_ = false;
  std::mutex mutex_;
  uint64_t block_ = 0;
  absl::Status problem_;
};

class ContentCheck {
 public:
  explicit ContentCheck(const IndexFileView& view) : view_(view), rows_(view) {}

  absl::Status Run(int num_threads) {
    {
      std::vector<std::jthread> threads;
      try {
        for (int i = 1; i < num_threads; ++i) threads.emplace_back([this] { Work(); });
      } catch (const std::system_error&) {
        // No thread to be had: those there are do it all.
      }
      Work();
    }
    if (!problem_.found()) {
      // After the levels, which say whose the lists are.
      STEPWELL_RETURN_IF_ERROR(upper_links_);
      return rows_.CheckTotals();
    }
    // Rows of a damaged block hold anything: the damage is what to tell.
    for (uint64_t block = 0; block < view_.layout().num_blocks(); ++block) {
      if (!view_.BlockIsRight(block)) {
        return absl::DataLossError(
            absl::StrCat("wrong checksum of ", view_.BlockName(block)));
      }
    }
    return problem_.status();
  }

 private:
  void Work() {
    // One task for all upper lists, a small share of a file; the others are blocks.
    const uint64_t num_tasks = view_.layout().num_blocks() + 1;
    while (!problem_.found()) {
      const uint64_t task = next_.fetch_add(1);
      if (task >= num_tasks) return;
      if (task == 0) {
        upper_links_ = rows_.CheckUpperLinks();
        continue;
      }
      absl::Status status = CheckBlock(task - 1);
      if (!status.ok()) problem_.Report(task - 1, std::move(status));
    }
  }

  absl::Status CheckBlock(uint64_t block) {
    if (!view_.BlockIsRight(block)) return absl::DataLossError("wrong checksum");
    const uint64_t begin = block * view_.header().block_bytes;
    const uint64_t end = begin + view_.block(block).size();
    for (size_t i = 0; i < kNumIndexSections; ++i) {
      STEPWELL_RETURN_IF_ERROR(
          CheckRowsBetween(static_cast<IndexSection>(i), begin, end));
    }
    return absl::OkStatus();
  }

  // The rows whose first byte lies there, while it is in the processor's cache.
  absl::Status CheckRowsBetween(IndexSection section, uint64_t begin, uint64_t end) {
    const IndexFileLayout::Extent& extent = view_.layout().extent(section);
    const auto row_at = [&extent](uint64_t place) {
      if (place <= extent.offset) return uint64_t{0};
      const uint64_t bytes = std::min(place - extent.offset, extent.bytes);
      return (bytes + extent.row_bytes - 1) / extent.row_bytes;
    };
    if (extent.bytes == 0) return absl::OkStatus();
    const uint64_t first = row_at(begin), last = row_at(end);
    if (first == last) return absl::OkStatus();
    return rows_.CheckRows(section, static_cast<int64_t>(first),
                           static_cast<int64_t>(last));
  }

  const IndexFileView& view_;
  IndexFileRows rows_;
  std::atomic<uint64_t> next_ = 0;
  absl::Status upper_links_;
  FirstProblem problem_;
};

}  // namespace

absl::Status CheckIndexFileContent(const IndexFileView& view, int num_threads) {
  return ContentCheck(view).Run(num_threads);
}

}  // namespace stepwell::index
