// A loop on several threads.
#ifndef STEPWELL_CC_INDEX_RUN_IN_ORDER_H_
#define STEPWELL_CC_INDEX_RUN_IN_ORDER_H_

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace stepwell::index {

// Calls work(i, thread) once for each i in [0, n), started in order, with
// 0 <= thread < num_threads; the caller is thread 0. go_on(done) is asked by the
// caller's thread between two of its own pieces of work; once it says no, no more are
// started. Returns whether all were done. The first exception stops the rest and is
// thrown again here, as is std::system_error where no thread could be started.
bool RunInOrder(int64_t n, int num_threads,
                absl::FunctionRef<void(int64_t i, int thread)> work,
                absl::FunctionRef<bool(int64_t done)> go_on);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_RUN_IN_ORDER_H_
