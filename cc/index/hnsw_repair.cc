// Taking doomed nodes out of lists; see hnsw_reach.cc for the other half.
#include "cc/index/hnsw_repair.h"

#include <algorithm>

namespace stepwell::index {
namespace {

// Other writers that may change a list while its successor is being chosen.
constexpr int kMaxAttempts = 8;
// Width of the walk for new neighbours where a whole neighbourhood goes.
constexpr size_t kSearchWidth = 64;
// The share of its places to which a list is filled up, 22 of 32 for M = 16. Inserts
// add links to lists that repair has left with free places: a repair up to all places
// makes lists longer with every churn (and searches slower, if better), one that only
// makes up for the doomed links makes them shorter. With this share they stay as long
// as those of a fresh build, and so does recall.
constexpr size_t kRepairedNumerator = 11, kRepairedDenominator = 16;

// How near a node may be to a kept one when it is at `distance` from the base. Half of
// the kept links came as links back, which Alg. 4 has not spread: beside those its own
// rule would take too few. A tenth of slack makes up for that. The negated product of
// vectors of any length is no distance and knows no tenth.
float ShortestToKept(Metric metric, float distance) {
  constexpr float kSlack = 0.9f;
  switch (metric) {
    case Metric::kL2:
      return kSlack * distance;
    case Metric::kCosine:
      return kSlack * (1 + distance) - 1;
    case Metric::kInnerProduct:
      break;
  }
  return distance;
}

}  // namespace

// An insert may raise the entry meanwhile: to its own node, which is not among these.
uint32_t HnswRepair::Doom(absl::Span<const uint32_t> nodes) {
  uint32_t spared = kNoNode;
  const HnswGraph::Entry entry = graph_.entry();
  if (std::find(nodes.begin(), nodes.end(), entry.node) != nodes.end()) {
    if (!MoveEntry(entry)) spared = entry.node;
  }
  for (uint32_t node : nodes) {
    if (node != spared) graph_.set_doomed(node, true);
  }
  return spared;
}

// False when there is nowhere to move.
bool HnswRepair::MoveEntry(HnswGraph::Entry from) {
  const GraphStorage& storage = graph_.storage();
  HnswGraph::Entry best;
  const auto num_nodes = static_cast<uint32_t>(storage.num_nodes());
  for (uint32_t node = 0; node < num_nodes; ++node) {
    if (storage.level(node) <= best.level || storage.hidden(node)) continue;
    best = {node, storage.level(node)};
  }
  if (best.node == kNoNode) return false;
  graph_.ReplaceEntry(from, best);
  return true;
}

int64_t HnswRepair::BypassDoomed(uint32_t first, uint32_t end) {
  const GraphStorage& storage = graph_.storage();
  int64_t num_rewritten = 0;
  for (uint32_t node = first; node < end; ++node) {
    if (graph_.doomed(node)) continue;
    for (int level = 0; level <= storage.level(node); ++level) {
      num_rewritten += BypassInList(node, level);
    }
  }
  return num_rewritten;
}

bool HnswRepair::BypassInList(uint32_t node, int level) {
  const auto size = static_cast<size_t>(graph_.storage().list_size(level));
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    ReadLinks(node, level, links_);
    kept_.clear();
    doomed_.clear();
    for (uint32_t link : links_) {
      (graph_.doomed(link) ? doomed_ : kept_).push_back(link);
    }
    if (doomed_.empty()) return false;
    CollectBeyond(node, level);
    SelectBeside(size * kRepairedNumerator / kRepairedDenominator);
    if (!graph_.ReplaceLinks(node, level, links_, kept_)) continue;
    LinkBack(node, level);
    return true;
  }
  // A busy list: what came in the meantime is lost, which ReconnectUnreached mends.
  ordered_.clear();
  for (uint32_t link : kept_) ordered_.push_back({0, link});
  graph_.WriteLinks(node, level, ordered_);
  return true;
}

void HnswRepair::ReadLinks(uint32_t node, int level,
                           std::vector<uint32_t>& links) const {
  const GraphStorage& storage = graph_.storage();
  const uint32_t* places = storage.links(node, level);
  const auto size = static_cast<size_t>(storage.list_size(level));
  links.clear();
  for (size_t i = 0; i < size; ++i) {
    const uint32_t link = LoadLink(&places[i]);
    if (link == kNoNode) break;
    links.push_back(link);
  }
}

// Leaves in ordered_ the nodes that the doomed links lead to, nearest first.
void HnswRepair::CollectBeyond(uint32_t node, int level) {
  const GraphStorage& storage = graph_.storage();
  const auto size = static_cast<size_t>(storage.list_size(level));
  scratch_.Begin(storage);
  scratch_.Visit(node);
  for (uint32_t link : links_) scratch_.Visit(link);
  beyond_.clear();
  const size_t num_own = doomed_.size();
  for (size_t i = 0; i < doomed_.size(); ++i) {
    // A step further only where the first one led to few.
    if (i >= num_own && beyond_.size() >= size) break;
    AddLinksOf(doomed_[i], level);
  }
  storage.codec().CodeToQuery(storage.code(node), scratch_.CodedQuery());
  if (kept_.size() + beyond_.size() < size / 4) SearchBeyond(node, level);
  scratch_.distances.resize(std::max(scratch_.distances.size(), beyond_.size()));
  storage.codec().Gather(scratch_.CodedQuery(), storage.codes(), beyond_.data(),
                         beyond_.size(), scratch_.distances.data());
  ordered_.clear();
  for (size_t i = 0; i < beyond_.size(); ++i) {
    ordered_.push_back({scratch_.distances[i], beyond_[i]});
  }
  std::sort(ordered_.begin(), ordered_.end());
}

void HnswRepair::AddLinksOf(uint32_t doomed, int level) {
  const GraphStorage& storage = graph_.storage();
  const uint32_t* places = storage.links(doomed, level);
  for (int64_t i = 0; i < storage.list_size(level); ++i) {
    const uint32_t link = LoadLink(&places[i]);
    if (link == kNoNode) break;
    if (!scratch_.Visit(link)) continue;
    (graph_.doomed(link) ? doomed_ : beyond_).push_back(link);
  }
}

// Replaces beyond_ by what a walk finds, as for a new node.
void HnswRepair::SearchBeyond(uint32_t node, int level) {
  const HnswGraph::Entry entry = graph_.entry();
  if (entry.level < level) return;
  const char* query = scratch_.CodedQuery();
  const NodeDistance from = graph_.Descend(query, entry, level, scratch_);
  graph_.WalkLevel(query, from, level, kSearchWidth, scratch_);
  beyond_.clear();
  for (const NodeDistance& found : scratch_.found) {
    if (found.node == node || graph_.doomed(found.node)) continue;
    if (std::find(kept_.begin(), kept_.end(), found.node) != kept_.end()) continue;
    beyond_.push_back(found.node);
  }
}

// An insert links both ways, and so does a repair: else there would be ever fewer links
// to the nodes behind doomed ones.
void HnswRepair::LinkBack(uint32_t node, int level) {
  for (const NodeDistance& link : added_) {
    graph_.AddLink(link.node, level, {link.distance, node});
  }
}

// Adds those of ordered_ to kept_ that are nearer to the node than to any kept one, or
// not much farther.
void HnswRepair::SelectBeside(size_t limit) {
  const GraphStorage& storage = graph_.storage();
  added_.clear();
  for (const NodeDistance& candidate : ordered_) {
    if (kept_.size() >= limit) return;
    const char* code = storage.code(candidate.node);
    const float least = ShortestToKept(storage.codec().metric(), candidate.distance);
    const bool spreads = std::all_of(kept_.begin(), kept_.end(), [&](uint32_t other) {
      return storage.codec().Pair(code, storage.code(other)) >= least;
    });
    if (!spreads) continue;
    kept_.push_back(candidate.node);
    added_.push_back(candidate);
  }
}

}  // namespace stepwell::index
