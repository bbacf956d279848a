// The time one call may take.
#ifndef STEPWELL_CC_INDEX_SEARCH_BUDGET_H_
#define STEPWELL_CC_INDEX_SEARCH_BUDGET_H_

#include <cstdint>

#include "cc/index/ann_index.h"

namespace stepwell::index {

// An absolute end in the clock of the options. One thread.
class SearchBudget {
 public:
  explicit SearchBudget(const SearchOptions& options)
      : clock_(*options.clock), limited_(options.budget_nanos > 0) {
    if (limited_) end_nanos_ = clock_.NowNanos() + options.budget_nanos;
  }

  // Once true, always true. Reads the clock only where there is a limit.
  bool Spent() {
    if (limited_ && !spent_) spent_ = clock_.NowNanos() >= end_nanos_;
    return spent_;
  }

 private:
  const Clock& clock_;
  const bool limited_;
  int64_t end_nanos_ = 0;
  bool spent_ = false;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_SEARCH_BUDGET_H_
