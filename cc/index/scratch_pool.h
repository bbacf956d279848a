// Work memory lent to one thread at a time.
#ifndef STEPWELL_CC_INDEX_SCRATCH_POOL_H_
#define STEPWELL_CC_INDEX_SCRATCH_POOL_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cc/index/walk_scratch.h"

namespace stepwell::index {

// Concurrency: any thread; a lock for the push or the pop of a pointer. Each kept
// scratch is as large as its widest search needed: more callers at once than
// kMaxFree allocate anew.
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.Take()) {}
    ~Lease() { pool_.Return(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WalkScratch& operator*() const { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<WalkScratch> scratch_;
  };

  ScratchPool() { free_.reserve(kMaxFree); }

 private:
  static constexpr size_t kMaxFree = 64;

  std::unique_ptr<WalkScratch> Take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<WalkScratch>();
    std::unique_ptr<WalkScratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void Return(std::unique_ptr<WalkScratch> scratch) {
    std::lock_guard lock(mutex_);
    if (free_.size() < kMaxFree) free_.push_back(std::move(scratch));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<WalkScratch>> free_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_SCRATCH_POOL_H_
