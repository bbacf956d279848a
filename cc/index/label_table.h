// Which node holds which id, read while it is written.
#ifndef STEPWELL_CC_INDEX_LABEL_TABLE_H_
#define STEPWELL_CC_INDEX_LABEL_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/reader_gate.h"

namespace stepwell::index {

// From an id >= 0 to the node that is published under it: open addressing, linear
// probing over buckets of one cache line.
//
// A place once taken keeps its id until the table is replaced, since a reader may
// stand on it; a removed id leaves a place without a node. A table that is full of
// ids or of such places is replaced by one of the right size. The old one is freed by
// a later write, once no reader is left (ReaderGate::Passed): no write ever waits.
// Where nobody calls Synchronize for long, old tables pile up: see has_replaced.
//
// A table over a file starts as the file's own order (`nodes_by_label`, binary
// search, nothing copied) and becomes a hash table with the first write.
//
// Concurrency: Find from any thread that holds a Guard of `gate`, without waiting;
// writers one at a time, with or without a Guard. Find sees each write as done or not
// done. size and MemoryBytes from any thread. Cost of Find: one or two cache lines;
// log2 N of them on a file's order. A write costs the same, and now and then a pass
// over the whole table. Memory: 15 to 22 bytes for an id.
class LabelTable {
 public:
  static constexpr uint32_t kNoNode = 0xFFFFFFFF;

  explicit LabelTable(ReaderGate& gate);
  ~LabelTable();

  // Starts over a file's arrays: labels[nodes_by_label[i]] strictly ascending. Only
  // before other threads use the table; the spans must outlive it, or the first write
  // and every Guard of its time.
  void Adopt(absl::Span<const int64_t> labels,
             absl::Span<const uint32_t> nodes_by_label);

  // Room for that many ids without another table. Throws std::bad_alloc.
  void Reserve(int64_t num_labels);

  // The node of an id, kNoNode when there is none.
  uint32_t Find(int64_t label) const;

  // Sets the node of an id, returns the one before or kNoNode. Throws
  // std::bad_alloc, with nothing changed.
  uint32_t Put(int64_t label, uint32_t node);
  // Returns the node it had or kNoNode. Throws std::bad_alloc over a file, whose
  // order is then replaced.
  uint32_t Remove(int64_t label);

  // Of writers: whether there are old tables, and freeing those that no reader is left
  // in; all of them after a Synchronize.
  bool has_replaced() const { return !retired_.empty(); }
  void FreeReplaced();

  // Ids held.
  int64_t size() const { return size_.load(std::memory_order_relaxed); }
  int64_t MemoryBytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  class Table;
  struct Retired {
    std::unique_ptr<Table> table;
    uint64_t ticket;
  };

  uint32_t FindInFile(int64_t label) const;
  Table& WritableTable();
  Table& Replace(int64_t num_labels);

  ReaderGate& gate_;
  std::atomic<Table*> table_{nullptr};  // null while the file's order is in use
  std::vector<Retired> retired_;
  absl::Span<const int64_t> file_labels_;
  absl::Span<const uint32_t> file_nodes_;
  std::atomic<int64_t> size_{0};
  std::atomic<int64_t> bytes_{0};
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_LABEL_TABLE_H_
