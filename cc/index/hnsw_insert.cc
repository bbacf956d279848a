// The building half of HnswGraph.
#include <algorithm>

#include "cc/index/hnsw_graph.h"

namespace stepwell::index {
namespace {

// A walk for neighbours that met fewer than this many times M nodes to link to, because
// the others are doomed, is made again, this many times wider, up to about this width.
constexpr size_t kEnoughLinkable = 4, kWiderWalk = 4, kWidestWalk = 20'000;

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

// Walks one level for a new node's neighbours; returns the nearest node met. Where most
// nodes around are doomed the walk is made wider until enough others are found: the
// doomed will be gone, and the new nodes must hang together without them.
NodeDistance HnswGraph::FindLinkable(uint32_t node, NodeDistance from, int level,
                                     WalkScratch& scratch,
                                     std::vector<NodeDistance>& linkable) const {
  const auto m = static_cast<size_t>(scratch.storage().shape().m);
  const size_t enough = std::min(width_of_inserts_, kEnoughLinkable * m);
  for (size_t ef = width_of_inserts_;; ef *= kWiderWalk) {
    WalkLevel(scratch.CodedQuery(), from, level, ef, scratch);
    linkable.clear();
    for (const NodeDistance& candidate : scratch.found) {
      if (linkable.size() == width_of_inserts_) break;
      if (candidate.node == node || doomed(candidate.node)) continue;
      linkable.push_back(candidate);
    }
    const bool all_met = scratch.found.size() < ef;
    if (linkable.size() >= enough || all_met || ef > kWidestWalk) {
      return scratch.found.front();
    }
  }
}

void HnswGraph::Insert(uint32_t node, WalkScratch& scratch) {
  GraphStorage& storage = this->storage();
  const int level = storage.level(node);
  // Read once: reclaiming may put a lower one in its place meanwhile.
  Entry top = entry();
  if (top.node == kNoNode) {
    if (BecomeFirst(node, level)) return;
    top = entry();
  }
  scratch.Begin(storage);
  const char* query = scratch.CodedQuery();
  storage.codec().CodeToQuery(storage.code(node), scratch.CodedQuery());
  const int linked_levels = std::min(level, top.level) + 1;
  NodeDistance from = Descend(query, top, linked_levels - 1, scratch);
  std::vector<std::vector<NodeDistance>> links(linked_levels);
  for (int at = linked_levels - 1; at >= 0; --at) {
    from = FindLinkable(node, from, at, scratch, links[at]);
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
