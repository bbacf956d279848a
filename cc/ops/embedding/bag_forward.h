#ifndef CC_OPS_EMBEDDING_BAG_FORWARD_H_
#define CC_OPS_EMBEDDING_BAG_FORWARD_H_

#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <mutex>

#include "cc/kernels/embedding/embedding.h"
#include "cc/ops/checks.h"
#include "cc/ops/embedding/bag_arguments.h"

// How the CPU ops split bags among threads and what they do with faults.
namespace stepwell::ops {

using kernels::EmbeddingFault;

// Bytes gathered that are worth handing to another thread: about 20 us of work.
constexpr int64_t kBytesPerTask = 1 << 18;

// Keeps the fault of the lowest position, so that the error is the same however the
// bags were split.
class FaultCollector {
 public:
  void Add(const EmbeddingFault& fault) {
    if (fault.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_.ok() || fault.table < first_.table ||
        (fault.table == first_.table && fault.position < first_.position)) {
      first_ = fault;
    }
  }

  void ThrowIfAny(const char* op, const EmbeddingTable* tables,
                  int64_t num_indices) const {
    if (first_.ok()) return;
    if (first_.kind == EmbeddingFault::Kind::kIndex) {
      Fail(op, ": indices[", first_.position, "] is ", first_.value,
           ", must be in [-1, ", tables[first_.table].num_rows - 1, "] for table ",
           first_.table);
    }
    Fail(op, ": offsets[", first_.position, "] is ", first_.value, " (table ",
         first_.table, "); offsets must start at 0, never fall and stay in [0, ",
         num_indices, "]");
  }

 private:
  std::mutex mutex_;
  EmbeddingFault first_;
};

template <typename Index>
void CheckLastOffset(const char* op, const EmbeddingBags<Index>& bags) {
  const int64_t last = bags.offsets[bags.num_tables * bags.batch];
  STEPWELL_OP_CHECK(last == bags.num_indices, op, ": offsets[-1] is ", last,
                    ", must be the number of indices, ", bags.num_indices);
}

// Bytes that a table's row has on average.
template <typename Index>
int64_t MeanRowBytes(const EmbeddingBags<Index>& bags) {
  int64_t bytes = 0;
  for (int64_t t = 0; t < bags.num_tables; ++t) {
    bytes += kernels::RowBytes(bags.tables[t].format, bags.tables[t].dim);
  }
  return bytes / bags.num_tables + 1;
}

// Calls `run(first_bag, last_bag)`, which returns a fault, for all bags: at once, or on
// several threads where each would gather kBytesPerTask or more. Throws the first
// fault.
template <typename Index, typename Run>
void RunBags(const char* op, const EmbeddingBags<Index>& bags, const Run& run) {
  CheckLastOffset(op, bags);
  const int64_t num_bags = bags.num_tables * bags.batch;
  // In float64, as the product of two sizes may not fit an integer.
  const double num_tasks = static_cast<double>(bags.num_indices) *
                           static_cast<double>(MeanRowBytes(bags)) / kBytesPerTask;
  FaultCollector faults;
  if (num_tasks < 2.0 || num_bags < 2) {
    faults.Add(run(0, num_bags));
  } else {
    const int64_t bags_per_task =
        static_cast<int64_t>(static_cast<double>(num_bags) / num_tasks);
    torch::stable::parallel_for(
        0, num_bags, bags_per_task > 0 ? bags_per_task : 1,
        [&](int64_t first, int64_t last) { faults.Add(run(first, last)); });
  }
  faults.ThrowIfAny(op, bags.tables, bags.num_indices);
}

template <typename Index>
void RunForward(const char* op, const EmbeddingBags<Index>& bags, void* output) {
  RunBags(op, bags, [&](int64_t first, int64_t last) {
    return kernels::EmbeddingBagForward(bags, first, last, output);
  });
}

}  // namespace stepwell::ops

#endif  // CC_OPS_EMBEDDING_BAG_FORWARD_H_
