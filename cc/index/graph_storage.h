// The arrays of a graph: codes, vectors, links and labels by node.
#ifndef STEPWELL_CC_INDEX_GRAPH_STORAGE_H_
#define STEPWELL_CC_INDEX_GRAPH_STORAGE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/distance.h"
#include "cc/index/page_array.h"
#include "cc/index/vector_codec.h"

namespace stepwell::index {

// Ends a list of links that is not full; never a node.
inline constexpr uint32_t kNoNode = 0xFFFFFFFF;
// The label of a node that holds no item: free, or taken and not yet written.
inline constexpr int64_t kNoLabel = -1;
// In a file: the label of a node that is deleted and still leads the way.
inline constexpr int64_t kDeadLabel = -2;
// A level above this needs more nodes than an index can hold, for every M >= 2.
inline constexpr int kMaxLevel = 31;

struct GraphShape {
  int64_t dim = 0;
  int64_t m = 16;
  uint64_t seed = 0;
  VectorCodec codec;
  // Whether float32 vectors stay beside the codes, for exact scores. Always false for
  // float32 codes, which are the vectors.
  bool keep_vectors = true;
};

// Where the arrays of a mapped file lie; all read-only, of `num_nodes` entries.
struct MappedArrays {
  const char* codes = nullptr;            // code_stride bytes each, base aligned to 64
  const float* vectors = nullptr;         // [dim] each; null unless keep_vectors
  const uint32_t* base_links = nullptr;   // [2 M] each, base aligned to 64
  const uint32_t* upper_links = nullptr;  // [num_upper_lists][M], by node, then level
  const int64_t* labels = nullptr;
  const uint8_t* levels = nullptr;
  std::shared_ptr<const void> mapping;  // keeps the memory there
};

// Memory for `capacity` nodes, of which the first `num_nodes` are in use.
//
// A list of links is [2 M] places on level 0 and [M] above, ended by kNoNode where it
// is not full. Places are read and written by the atomic functions below, because
// searches read lists that a writer is changing: they may see part of the old and
// part of the new list, all of it nodes. What a link leads to was written before the
// link (release, acquire).
//
// A node's level is drawn from the seed and its number once and stays when the node
// is used again for another item, so that its lists never move.
//
// Concurrency: the const pointers never change. Codes, vectors and labels of a node
// are written only while no link leads to it and no reader of an earlier link is left
// (ReaderGate). Appending nodes past capacity() makes a new storage: Grown.
// Memory: anonymous pages, zero and not resident until touched.
class GraphStorage {
 public:
  // Throws std::bad_alloc.
  GraphStorage(const GraphShape& shape, int64_t capacity);
  // Read-only over a file. Levels are read once, to find each node's upper lists.
  GraphStorage(const GraphShape& shape, int64_t num_nodes, MappedArrays arrays);
  ~GraphStorage();

  // A writable copy with more room. With another codec (a new int8 limit) codes are
  // made again from the kept vectors, or from the old codes where none are kept.
  static std::unique_ptr<GraphStorage> Grown(const GraphStorage& old, int64_t capacity,
                                             const VectorCodec& codec);

  const GraphShape& shape() const { return shape_; }
  const VectorCodec& codec() const { return shape_.codec; }
  int64_t capacity() const { return capacity_; }
  bool writable() const { return writable_; }
  // Nodes ever appended; the others have no level yet.
  int64_t num_nodes() const { return num_nodes_.load(std::memory_order_acquire); }

  // Gives levels and empty lists to the next `count` nodes and returns the first.
  // One caller at a time; needs num_nodes() + count <= capacity(). Throws
  // std::bad_alloc.
  uint32_t AppendNodes(int64_t count);
  // The same with given levels (a file's), each <= kMaxLevel. Only before other threads
  // use the storage: the upper lists may move.
  uint32_t AppendNodes(absl::Span<const uint8_t> levels);

  RowBlock codes() const { return {codes_, shape_.codec.code_stride()}; }
  const char* code(uint32_t node) const {
    return codes_ + node * shape_.codec.code_stride();
  }
  char* mutable_code(uint32_t node) {
    return own_codes_.data() + node * shape_.codec.code_stride();
  }
  // The float32 vectors: the kept ones or the codes that are float32. The base is null
  // where there are neither.
  RowBlock vectors() const { return {vectors_, vector_stride_}; }
  const float* vector(uint32_t node) const {
    return vectors_ == nullptr
               ? nullptr
               : reinterpret_cast<const float*>(vectors_ + node * vector_stride_);
  }
  // Writes code, kept vector and label of a node that nothing leads to.
  void WriteItem(uint32_t node, const float* vector, int64_t label);

  int level(uint32_t node) const { return levels_[node]; }
  int64_t label(uint32_t node) const {
    return __atomic_load_n(&labels_[node], __ATOMIC_RELAXED);
  }
  void set_label(uint32_t node, int64_t label) {
    __atomic_store_n(&own_labels_[node], label, __ATOMIC_RELAXED);
  }

  // Places of a list: 2 M on level 0, M above.
  int64_t list_size(int level) const { return level == 0 ? 2 * shape_.m : shape_.m; }
  const uint32_t* links(uint32_t node, int level) const {
    return level == 0 ? base_links_ + node * static_cast<size_t>(2 * shape_.m)
                      : upper_links_ + UpperPlace(node, level);
  }
  uint32_t* mutable_links(uint32_t node, int level) {
    return level == 0
               ? own_base_links_.data() + node * static_cast<size_t>(2 * shape_.m)
               : own_upper_links_.data() + UpperPlace(node, level);
  }
  int64_t num_upper_lists() const { return num_upper_lists_; }

  // Hidden nodes lead the way and are never returned: not yet published, replaced,
  // deleted or free. One bit each, atomic; new nodes are hidden, mapped nodes with a
  // label are not.
  bool hidden(uint32_t node) const {
    const uint64_t word = __atomic_load_n(&hidden_[node / 64], __ATOMIC_ACQUIRE);
    return (word >> (node % 64)) & 1;
  }
  void set_hidden(uint32_t node, bool hidden);
  const uint64_t* hidden_words() const { return hidden_.data(); }

  // The labels of the nodes in use, for who keeps writers away.
  absl::Span<const int64_t> labels() const {
    return {labels_, static_cast<size_t>(num_nodes())};
  }
  // What keeps a file's arrays there; null over own memory.
  const std::shared_ptr<const void>& mapping() const { return mapping_; }

  // Of the nodes in use; pages of the spare capacity are not there yet.
  int64_t MemoryBytes() const;

 private:
  size_t UpperPlace(uint32_t node, int level) const {
    return (size_t{upper_starts_[node]} + static_cast<size_t>(level - 1)) *
           static_cast<size_t>(shape_.m);
  }
  int DrawnLevel(uint32_t node) const;
  int64_t CountDrawnLists(int64_t first, int64_t end) const;
  void ReserveUpperLists(int64_t num_lists);
  void AppendNode(uint32_t node, int level);

  GraphShape shape_;
  int64_t capacity_;
  bool writable_;
  size_t vector_stride_ = 0;
  std::vector<double> level_shares_;  // share of nodes of level i + 1 or higher
  std::atomic<int64_t> num_nodes_{0};
  int64_t num_upper_lists_ = 0;

  // What is read: own pages or those of a file.
  const char* codes_ = nullptr;
  const char* vectors_ = nullptr;
  const uint32_t* base_links_ = nullptr;
  const uint32_t* upper_links_ = nullptr;
  const int64_t* labels_ = nullptr;
  const uint8_t* levels_ = nullptr;

  PageArray<char> own_codes_;
  PageArray<float> own_vectors_;
  PageArray<uint32_t> own_base_links_;
  PageArray<uint32_t> own_upper_links_;
  PageArray<int64_t> own_labels_;
  PageArray<uint8_t> own_levels_;
  // Own in either case.
  PageArray<uint32_t> upper_starts_;  // list of level 1
  PageArray<uint64_t> hidden_;
  std::shared_ptr<const void> mapping_;
};

// Atomic access to one place of a list: acquire and release.
inline uint32_t LoadLink(const uint32_t* place) {
  return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}
inline void StoreLink(uint32_t* place, uint32_t node) {
  __atomic_store_n(place, node, __ATOMIC_RELEASE);
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_GRAPH_STORAGE_H_
