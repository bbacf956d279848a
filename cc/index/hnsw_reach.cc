// Leading to every node; see hnsw_repair.cc for the other half.
#include <algorithm>
#include <limits>

#include "cc/index/hnsw_repair.h"

namespace stepwell::index {
namespace {

// The walks for near reached nodes, each round wider. After the last one the nodes that
// are left wait for the next call: their neighbourhood will have changed by then.
constexpr size_t kWidths[] = {64, 256, 1024};
// Nodes whose lists are asked for ahead of the one being read.
constexpr size_t kPrefetchDistance = 8;
// Nodes whose lists are read between two looks at whether to stop: a millisecond.
constexpr size_t kNodesPerLook = 4096;
constexpr size_t kNone = std::numeric_limits<size_t>::max();

}  // namespace

ReachReport HnswRepair::ReconnectUnreached(const std::atomic<bool>* stop) {
  stop_ = stop;
  ReachReport report;
  const GraphStorage& storage = graph_.storage();
  const uint32_t entry = graph_.entry().node;
  if (entry == kNoNode) return report;
  // Nodes appended from here on are another call's; the entry was there before.
  const auto num_nodes = static_cast<uint32_t>(storage.num_nodes());
  parents_.assign(num_nodes, kNoNode);
  queue_.reserve(num_nodes);
  parents_[entry] = entry;
  ReachFrom(entry);
  if (Stopped()) return report;
  std::vector<uint32_t> unreached;
  for (uint32_t node = 0; node < num_nodes; ++node) {
    if (!Reached(node) && !storage.hidden(node)) unreached.push_back(node);
  }
  report.num_unreached = static_cast<int64_t>(unreached.size());
  for (size_t width : kWidths) {
    for (uint32_t node : unreached) {
      if (Stopped()) return report;
      if (!Reached(node) && Connect(node, width)) ReachFrom(node);
    }
    std::erase_if(unreached, [this](uint32_t node) { return Reached(node); });
  }
  report.num_left = static_cast<int64_t>(unreached.size());
  // Not kept for the next call, which may be long in coming.
  std::vector<uint32_t>().swap(parents_);
  std::vector<uint32_t>().swap(queue_);
  return report;
}

// Marks everything behind a reached node as reached.
void HnswRepair::ReachFrom(uint32_t node) {
  const GraphStorage& storage = graph_.storage();
  const auto size = static_cast<size_t>(storage.list_size(0));
  queue_.assign(1, node);
  for (size_t at = 0; at < queue_.size(); ++at) {
    if (at % kNodesPerLook == kNodesPerLook - 1 && Stopped()) return;
    if (at + kPrefetchDistance < queue_.size()) {
      __builtin_prefetch(storage.links(queue_[at + kPrefetchDistance], 0));
    }
    const uint32_t* places = storage.links(queue_[at], 0);
    for (size_t i = 0; i < size; ++i) {
      const uint32_t link = LoadLink(&places[i]);
      if (link == kNoNode) break;
      if (link >= parents_.size() || Reached(link)) continue;
      parents_[link] = queue_[at];
      queue_.push_back(link);
    }
  }
}

bool HnswRepair::Connect(uint32_t node, size_t ef) {
  const GraphStorage& storage = graph_.storage();
  scratch_.Begin(storage);
  const char* query = scratch_.CodedQuery();
  storage.codec().CodeToQuery(storage.code(node), scratch_.CodedQuery());
  // From the entry, on level 0: what the walk meets is what paths lead to.
  NodeDistance from{0, graph_.entry().node};
  storage.codec().Gather(query, storage.codes(), &from.node, 1, &from.distance);
  graph_.WalkLevel(query, from, 0, ef, scratch_);
  std::vector<NodeDistance> near;
  for (const NodeDistance& found : scratch_.found) {
    const bool usable = found.node < parents_.size() && Reached(found.node);
    if (usable && found.node != node && !graph_.doomed(found.node)) {
      near.push_back(found);
    }
  }
  for (const NodeDistance& found : near) {
    if (!LeadTo(node, found.node)) continue;
    parents_[node] = found.node;
    // The way out: a node that came when all around it was doomed has none.
    graph_.SelectNeighbours(near, static_cast<size_t>(storage.shape().m));
    for (const NodeDistance& link : near) graph_.AddLink(node, 0, link);
    return true;
  }
  return false;
}

// Puts a node into the list of another, in a free place or in that of a link that no
// path of the tree needs.
bool HnswRepair::LeadTo(uint32_t node, uint32_t from) {
  ReadLinks(from, 0, links_);
  kept_ = links_;
  if (kept_.size() < static_cast<size_t>(graph_.storage().list_size(0))) {
    kept_.push_back(node);
  } else {
    const size_t place = DispensableLink(from);
    if (place == kNone) return false;
    kept_[place] = node;
  }
  return graph_.ReplaceLinks(from, 0, links_, kept_);
}

// The place in links_ of the farthest node that is reached by another way; kNone when
// there is none.
size_t HnswRepair::DispensableLink(uint32_t from) {
  const GraphStorage& storage = graph_.storage();
  size_t best = kNone;
  float farthest = 0;
  for (size_t i = 0; i < links_.size(); ++i) {
    const uint32_t link = links_[i];
    // One that the walk did not see yet may have no other way.
    const bool known = link < parents_.size() && Reached(link);
    if (!known || parents_[link] == from) continue;
    const float distance = storage.codec().Pair(storage.code(from), storage.code(link));
    if (best != kNone && distance <= farthest) continue;
    best = i;
    farthest = distance;
  }
  return best;
}

}  // namespace stepwell::index
