#include "cc/index/reader_gate.h"

#include <chrono>
#include <thread>

namespace stepwell::index {
namespace {

// A search takes some hundred microseconds: a few looks first, then naps that leave
// the core to the readers.
constexpr int kYieldsBeforeNap = 8;
constexpr std::chrono::microseconds kNap(50);

}  // namespace

// Threads are dealt to the stripes in the order in which they first read anything.
size_t ReaderGate::StripeOfThread() {
  static std::atomic<size_t> num_threads{0};
  thread_local const size_t stripe =
      num_threads.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return stripe;
}

// The parity may be old by the time it is used. That costs nothing but time: see
// Synchronize, which looks at both halves.
ReaderGate::Guard::Guard(ReaderGate& gate) {
  const uint64_t half = gate.phase_.load(std::memory_order_relaxed) & 1;
  counter_ = &gate.counters_[half][StripeOfThread()].readers;
  counter_->fetch_add(1, std::memory_order_acq_rel);
}

ReaderGate::Guard::~Guard() { counter_->fetch_sub(1, std::memory_order_release); }

// An addition, not a load: a reader whose own addition comes later then has seen this
// one, and with it everything that the writer did before (C++ memory model, release
// sequences). A load would need a full fence on both sides.
void ReaderGate::WaitForZero(std::atomic<int64_t>& readers) {
  for (int looks = 0; readers.fetch_add(0, std::memory_order_acq_rel) != 0; ++looks) {
    if (looks < kYieldsBeforeNap) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
}

// Each counter is seen at zero once after the call began. A reader counted there
// earlier is gone by then, a later one finds the new pointers. The phase only sends
// new readers to the other half, so that the zero comes however busy the index is.
void ReaderGate::Synchronize() {
  std::lock_guard lock(synchronizing_);
  const uint64_t number = num_started_.fetch_add(1, std::memory_order_acq_rel) + 1;
  for (int flip = 0; flip < 2; ++flip) {
    const uint64_t old_phase = phase_.fetch_add(1, std::memory_order_acq_rel);
    for (Counter& counter : counters_[old_phase & 1]) WaitForZero(counter.readers);
  }
  num_finished_.store(number, std::memory_order_release);
}

// An addition for the same reason as in WaitForZero: a Synchronize that starts later
// has seen what the holder of the ticket wrote.
uint64_t ReaderGate::Ticket() {
  return num_started_.fetch_add(0, std::memory_order_acq_rel);
}

bool ReaderGate::Passed(uint64_t ticket) const {
  return num_finished_.load(std::memory_order_acquire) > ticket;
}

}  // namespace stepwell::index
