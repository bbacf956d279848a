#include "cc/index/run_in_order.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace stepwell::index {
namespace {

class Loop {
 public:
  Loop(int64_t n, absl::FunctionRef<void(int64_t, int)> work) : n_(n), work_(work) {}

  // Runs until nothing is left. `between` is called after each piece.
  void Run(int thread, absl::FunctionRef<void()> between) {
    for (int64_t i = next_++; i < n_; i = next_++) {
      try {
        work_(i, thread);
        ++done_;
        between();
      } catch (...) {
        Fail(std::current_exception());
      }
    }
  }

  void Stop() { next_ = n_; }
  void Fail(std::exception_ptr failure) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = failure;
    Stop();
  }
  int64_t done() const { return done_; }
  // After all threads are gone.
  void Rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const int64_t n_;
  const absl::FunctionRef<void(int64_t, int)> work_;
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> done_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

bool RunInOrder(int64_t n, int num_threads,
                absl::FunctionRef<void(int64_t i, int thread)> work,
                absl::FunctionRef<bool(int64_t done)> go_on) {
  Loop loop(n, work);
  std::vector<std::thread> threads;
  try {
    for (int thread = 1; thread < std::min<int64_t>(num_threads, n); ++thread) {
      threads.emplace_back([&loop, thread] { loop.Run(thread, [] {}); });
    }
  } catch (...) {
    loop.Fail(std::current_exception());
  }
  loop.Run(0, [&] {
    if (!go_on(loop.done())) loop.Stop();
  });
  for (std::thread& thread : threads) thread.join();
  loop.Rethrow();
  return loop.done() == n;
}

}  // namespace stepwell::index
