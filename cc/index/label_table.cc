#include "cc/index/label_table.h"

#include <algorithm>
#include <utility>

namespace stepwell::index {
namespace {

constexpr int64_t kEmpty = -1;
constexpr int kPlaces = 5;  // of 12 bytes, in a cache line
// Ids to places where a new table is made, and where a full one is replaced: a probe
// ends at the first empty place, which must stay near.
constexpr double kFirstLoad = 0.75;
constexpr double kFullLoad = 0.875;

// The finaliser of SplitMix64: ids are often counted up from 0.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

struct alignas(64) Bucket {
  std::atomic<int64_t> labels[kPlaces];
  std::atomic<uint32_t> nodes[kPlaces];
};
static_assert(sizeof(Bucket) == 64);

}  // namespace

class LabelTable::Table {
 public:
  explicit Table(int64_t num_labels)
      : num_buckets_(static_cast<size_t>(static_cast<double>(num_labels) /
                                         (kFirstLoad * kPlaces)) +
                     2),
        max_taken_(static_cast<int64_t>(kFullLoad * kPlaces *
                                        static_cast<double>(num_buckets_))),
        buckets_(new Bucket[num_buckets_]) {
    for (size_t i = 0; i < num_buckets_; ++i) {
      for (auto& label : buckets_[i].labels) {
        label.store(kEmpty, std::memory_order_relaxed);
      }
    }
  }

  bool full() const { return num_taken_ >= max_taken_; }
  bool HasRoomFor(int64_t num_labels) const {
    return num_taken_ + num_labels <= max_taken_;
  }
  int64_t MemoryBytes() const {
    return static_cast<int64_t>(num_buckets_ * sizeof(Bucket));
  }

  // The place of a label, or the empty one where it would be. Ends, since a table
  // always has empty places.
  std::pair<Bucket*, int> Seek(int64_t label) const {
    for (size_t at = FirstBucket(label);;) {
      for (int place = 0; place < kPlaces; ++place) {
        const int64_t there =
            buckets_[at].labels[place].load(std::memory_order_acquire);
        if (there == label || there == kEmpty) return {&buckets_[at], place};
      }
      at = at + 1 == num_buckets_ ? 0 : at + 1;
    }
  }

  uint32_t Find(int64_t label) const {
    const auto [bucket, place] = Seek(label);
    // The place may have been empty then and be taken now: by this label or another.
    if (bucket->labels[place].load(std::memory_order_acquire) != label) return kNoNode;
    return bucket->nodes[place].load(std::memory_order_acquire);
  }

  // Needs a place: not full(), or a label that has one.
  uint32_t Put(int64_t label, uint32_t node) {
    const auto [bucket, place] = Seek(label);
    if (bucket->labels[place].load(std::memory_order_relaxed) == label) {
      return bucket->nodes[place].exchange(node, std::memory_order_acq_rel);
    }
    bucket->nodes[place].store(node, std::memory_order_relaxed);
    bucket->labels[place].store(label, std::memory_order_release);
    ++num_taken_;
    return kNoNode;
  }

  bool Has(int64_t label) const {
    const auto [bucket, place] = Seek(label);
    return bucket->labels[place].load(std::memory_order_relaxed) == label;
  }

  template <typename Visitor>
  void ForEach(Visitor visit) const {
    for (size_t i = 0; i < num_buckets_; ++i) {
      for (int place = 0; place < kPlaces; ++place) {
        const int64_t label = buckets_[i].labels[place].load(std::memory_order_relaxed);
        if (label == kEmpty) continue;
        const uint32_t node = buckets_[i].nodes[place].load(std::memory_order_relaxed);
        if (node != kNoNode) visit(label, node);
      }
    }
  }

 private:
  // Scales the hash to the number of buckets, which need not be a power of two.
  size_t FirstBucket(int64_t label) const {
    const uint64_t hash = Mix(static_cast<uint64_t>(label)) >> 32;
    return static_cast<size_t>((hash * num_buckets_) >> 32);
  }

  const size_t num_buckets_;
  const int64_t max_taken_;
  int64_t num_taken_ = 0;  // places with a label, also those without a node
  std::unique_ptr<Bucket[]> buckets_;
};

LabelTable::LabelTable(ReaderGate& gate) : gate_(gate) { Replace(0); }

LabelTable::~LabelTable() { delete table_.load(std::memory_order_relaxed); }

void LabelTable::Adopt(absl::Span<const int64_t> labels,
                       absl::Span<const uint32_t> nodes_by_label) {
  file_labels_ = labels;
  file_nodes_ = nodes_by_label;
  delete table_.exchange(nullptr, std::memory_order_relaxed);
  bytes_ = 0;
  size_ = static_cast<int64_t>(nodes_by_label.size());
}

void LabelTable::Reserve(int64_t num_labels) {
  const Table* table = table_.load(std::memory_order_relaxed);
  if (table != nullptr && table->HasRoomFor(num_labels - size())) return;
  Replace(std::max(num_labels, size()));
}

uint32_t LabelTable::Find(int64_t label) const {
  if (label < 0) return kNoNode;
  const Table* table = table_.load(std::memory_order_acquire);
  return table == nullptr ? FindInFile(label) : table->Find(label);
}

uint32_t LabelTable::FindInFile(int64_t label) const {
  const auto at = std::lower_bound(
      file_nodes_.begin(), file_nodes_.end(), label,
      [this](uint32_t node, int64_t wanted) { return file_labels_[node] < wanted; });
  if (at == file_nodes_.end() || file_labels_[*at] != label) return kNoNode;
  return *at;
}

uint32_t LabelTable::Put(int64_t label, uint32_t node) {
  Table* table = &WritableTable();
  if (table->full() && !table->Has(label)) table = &Replace(size() + size() / 4 + 1);
  const uint32_t before = table->Put(label, node);
  if (before == kNoNode) size_.fetch_add(1, std::memory_order_relaxed);
  return before;
}

uint32_t LabelTable::Remove(int64_t label) {
  Table& table = WritableTable();
  if (label < 0 || !table.Has(label)) return kNoNode;
  const uint32_t before = table.Put(label, kNoNode);
  if (before != kNoNode) size_.fetch_sub(1, std::memory_order_relaxed);
  return before;
}

LabelTable::Table& LabelTable::WritableTable() {
  if (!retired_.empty()) FreeReplaced();
  Table* table = table_.load(std::memory_order_relaxed);
  return table == nullptr ? Replace(size()) : *table;
}

// Readers go on in the old table or the file's order until they look again.
LabelTable::Table& LabelTable::Replace(int64_t num_labels) {
  retired_.reserve(retired_.size() + 1);  // once readers see the next, nothing may fail
  auto next = std::make_unique<Table>(num_labels);
  Table* const old = table_.load(std::memory_order_relaxed);
  if (old != nullptr) {
    old->ForEach([&](int64_t label, uint32_t node) { next->Put(label, node); });
  } else {
    for (uint32_t node : file_nodes_) next->Put(file_labels_[node], node);
  }
  bytes_.fetch_add(next->MemoryBytes(), std::memory_order_relaxed);
  table_.store(next.get(), std::memory_order_release);
  if (old != nullptr) {
    retired_.push_back({std::unique_ptr<Table>(old), gate_.Ticket()});
  }
  return *next.release();
}

void LabelTable::FreeReplaced() {
  std::erase_if(retired_, [this](const Retired& retired) {
    if (!gate_.Passed(retired.ticket)) return false;
    bytes_.fetch_sub(retired.table->MemoryBytes(), std::memory_order_relaxed);
    return true;
  });
}

}  // namespace stepwell::index
