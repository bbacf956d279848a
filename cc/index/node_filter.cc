#include "cc/index/node_filter.h"

#include <algorithm>
#include <bit>

namespace stepwell::index {

void NodeSet::Reserve(int64_t num_nodes) {
  places_.assign(std::bit_ceil(static_cast<size_t>(num_nodes) * 2 + 1), kNoNode);
  mask_ = places_.size() - 1;
  size_ = 0;
}

void NodeSet::Add(uint32_t node) {
  size_t at = Place(node);
  while (places_[at] != kNoNode && places_[at] != node) at = (at + 1) & mask_;
  if (places_[at] == node) return;
  places_[at] = node;
  ++size_;
}

NodeFilter::NodeFilter(const GraphStorage& storage, const LabelTable& labels,
                       const SearchOptions& options)
    : storage_(storage),
      labels_(labels),
      allowed_(options.allowed),
      exclude_ids_(options.exclude_ids) {
  if (exclude_ids_.empty()) return;
  excluded_.Reserve(static_cast<int64_t>(exclude_ids_.size()));
  for (int64_t id : exclude_ids_) {
    const uint32_t node = labels_.Find(id);
    if (node != kNoNode) excluded_.Add(node);
  }
}

bool NodeFilter::ExcludesLabel(int64_t label) const {
  return std::find(exclude_ids_.begin(), exclude_ids_.end(), label) !=
         exclude_ids_.end();
}

}  // namespace stepwell::index
