// The building half of HnswGraph.
#include <algorithm>

#include "cc/index/hnsw_graph.h"

namespace stepwell::index {
namespace {

// Work memory of one thread for the lists of other nodes, apart from the scratch of
// the walk that found them.
struct ListWork {
  std::vector<NodeDistance> links;
  std::vector<uint32_t> nodes;
  std::vector<float> distances;
  QueryBuffer query;
};

ListWork& ThreadListWork() {
  thread_local ListWork work;
  return work;
}

}  // namespace

void HnswGraph::SelectNeighbours(std::vector<NodeDistance>& candidates,
                                 size_t limit) const {
  const GraphStorage& storage = this->storage();
  const VectorCodec& codec = storage.codec();
  size_t kept = 0;
  for (size_t i = 0; i < candidates.size() && kept < limit; ++i) {
    const NodeDistance candidate = candidates[i];
    const char* code = storage.code(candidate.node);
    const bool spreads = std::all_of(
        candidates.begin(), candidates.begin() + kept, [&](const NodeDistance& other) {
          return codec.Pair(code, storage.code(other.node)) >= candidate.distance;
        });
    if (spreads) candidates[kept++] = candidate;
  }
  candidates.resize(kept);
}

bool HnswGraph::AddLink(uint32_t node, int level, NodeDistance target) {
  GraphStorage& storage = this->storage();
  uint32_t* places = storage.mutable_links(node, level);
  const auto num_places = static_cast<size_t>(storage.list_size(level));
  ListWork& work = ThreadListWork();
  std::lock_guard lock(LockOf(node));
  work.nodes.clear();
  for (size_t i = 0; i < num_places; ++i) {
    const uint32_t link = LoadLink(&places[i]);
    if (link == target.node) return true;
    if (link == kNoNode) {
      StoreLink(&places[i], target.node);
      return true;
    }
    if (!doomed(link)) work.nodes.push_back(link);
  }
  work.query.Resize(storage.codec().query_bytes());
  storage.codec().CodeToQuery(storage.code(node), work.query.data());
  work.distances.resize(work.nodes.size());
  storage.codec().Gather(work.query.data(), storage.codes(), work.nodes.data(),
                         work.nodes.size(), work.distances.data());
  work.links.assign(1, target);
  for (size_t i = 0; i < work.nodes.size(); ++i) {
    work.links.push_back({work.distances[i], work.nodes[i]});
  }
  std::sort(work.links.begin(), work.links.end());
  SelectNeighbours(work.links, num_places);
  bool kept = false;
  for (size_t i = 0; i < num_places; ++i) {
    const uint32_t link = i < work.links.size() ? work.links[i].node : kNoNode;
    StoreLink(&places[i], link);
    kept = kept || link == target.node;
  }
  return kept;
}

// A selection that refused the link most often has left free places.
void HnswGraph::ForceLink(uint32_t node, uint32_t target) {
  GraphStorage& storage = this->storage();
  uint32_t* places = storage.mutable_links(node, 0);
  const auto num_places = static_cast<size_t>(storage.list_size(0));
  std::lock_guard lock(LockOf(node));
  size_t at = 0;
  while (at + 1 < num_places && LoadLink(&places[at]) != kNoNode) ++at;
  StoreLink(&places[at], target);
}

void HnswGraph::Insert(uint32_t node, WalkScratch& scratch) {
  GraphStorage& storage = this->storage();
  const int level = storage.level(node);
  const Entry top = entry();
  if (top.node == kNoNode && BecomeFirst(node, level)) return;
  scratch.Begin(storage);
  const char* query = scratch.CodedQuery();
  storage.codec().CodeToQuery(storage.code(node), scratch.CodedQuery());
  const int linked_levels = std::min(level, entry().level) + 1;
  NodeDistance from = Descend(query, linked_levels - 1, scratch);
  std::vector<std::vector<NodeDistance>> links(linked_levels);
  for (int at = linked_levels - 1; at >= 0; --at) {
    WalkLevel(query, from, at, ef_construction_, scratch);
    from = scratch.found.front();
    for (const NodeDistance& candidate : scratch.found) {
      if (candidate.node == node || doomed(candidate.node)) continue;
      links[at].push_back(candidate);
    }
    SelectNeighbours(links[at], static_cast<size_t>(storage.shape().m));
  }
  if (links[0].empty()) {
    // All around is doomed. The entry never is.
    const uint32_t node_of_entry = entry().node;
    float distance;
    storage.codec().Gather(query, storage.codes(), &node_of_entry, 1, &distance);
    links[0].push_back({distance, node_of_entry});
  }
  for (int at = 0; at < linked_levels; ++at) WriteLinks(node, at, links[at]);
  bool led_to = false;
  for (int at = linked_levels - 1; at >= 0; --at) {
    for (const NodeDistance& link : links[at]) {
      const bool kept = AddLink(link.node, at, {link.distance, node});
      led_to = led_to || (at == 0 && kept);
    }
  }
  if (!led_to) ForceLink(links[0].front().node, node);
  if (level > entry().level) RaiseEntry(node, level);
}

}  // namespace stepwell::index
