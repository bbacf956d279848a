// Uses a graph that a reader has accepted as a server would, for fuzzers.
#ifndef STEPWELL_CC_INDEX_FUZZED_GRAPH_H_
#define STEPWELL_CC_INDEX_FUZZED_GRAPH_H_

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/graph_storage.h"

namespace stepwell::index {

// A copy of exactly that size, aligned as a mapping is, so that a sanitizer sees the
// first byte read outside.
class AlignedCopy {
 public:
  explicit AlignedCopy(absl::Span<const char> bytes)
      : size_(bytes.size()),
        memory_(static_cast<char*>(::operator new(size_, kAlignment))) {
    if (size_ > 0) std::memcpy(memory_.get(), bytes.data(), size_);
  }
  absl::Span<const char> bytes() const { return {memory_.get(), size_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(char* memory) const { ::operator delete(memory, kAlignment); }
  };
  const size_t size_;
  const std::unique_ptr<char, Free> memory_;
};

// Ends the program when a link leads nowhere, or a distance is no number: everything a
// walk does with a node is done with each.
inline void UseGraph(const GraphStorage& storage, uint32_t entry, int entry_level) {
  const auto num_nodes = static_cast<uint32_t>(storage.num_nodes());
  if (entry != kNoNode && (entry >= num_nodes || storage.level(entry) < entry_level)) {
    std::abort();
  }
  std::vector<uint32_t> nodes;
  for (uint32_t node = 0; node < num_nodes; ++node) {
    for (int level = 0; level <= storage.level(node); ++level) {
      const uint32_t* links = storage.links(node, level);
      for (int64_t i = 0; i < storage.list_size(level); ++i) {
        if (links[i] == kNoNode) continue;
        if (links[i] >= num_nodes || storage.level(links[i]) < level) std::abort();
        nodes.push_back(links[i]);
      }
    }
    if (!storage.hidden(node) && storage.label(node) < 0) std::abort();
  }
  const VectorCodec& codec = storage.codec();
  const AlignedCopy coded(std::vector<char>(codec.query_bytes()));
  const std::vector<float> query(codec.dim(), 1.0f);
  codec.EncodeQuery(query.data(), const_cast<char*>(coded.bytes().data()));
  std::vector<float> distances(nodes.size() + 1), decoded(codec.dim());
  codec.Gather(coded.bytes().data(), storage.codes(), nodes.data(), nodes.size(),
               distances.data());
  for (uint32_t node : nodes) {
    codec.Decode(storage.code(node), decoded.data());
    const float* vector = storage.vector(node);
    distances.back() += codec.Pair(storage.code(node), storage.code(nodes[0])) * 0;
    if (vector != nullptr) {
      distances[0] += std::accumulate(vector, vector + codec.dim(), 0.0f) * 0;
    }
  }
  for (size_t i = 1; i + 1 < distances.size(); ++i) {
    if (std::isnan(distances[i])) std::abort();
  }
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_FUZZED_GRAPH_H_
