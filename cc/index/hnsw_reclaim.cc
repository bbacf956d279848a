// How deleted and replaced nodes leave an HnswIndex.
#include <algorithm>
#include <exception>
#include <shared_mutex>
#include <system_error>

#include "cc/index/hnsw_index.h"
#include "cc/index/hnsw_repair.h"

namespace stepwell::index {
namespace {

// Dead nodes, as a share of the items, above which the thread takes them out at once:
// fewer are not in the way of searches, and many share the work.
constexpr int64_t kReclaimShare = 32;  // 3 %
constexpr int64_t kMinReclaimed = 256;
// And above which a writer does it, so that memory stays flat however fast writers are
// and however little of a core the thread gets.
constexpr int64_t kHelpShare = 16;  // 6 %
constexpr int64_t kMinHelped = 1024;

// Nodes looked at between two chances for growth, Save and helpers: some milliseconds.
constexpr int64_t kNodesPerSlice = 256;

// The lists are read again until none holds a doomed node; twice is expected.
constexpr int kMaxRounds = 4;

}  // namespace

absl::Status HnswIndex::Reclaim() {
  try {
    if (!IsWritable()) Grow(0, {});
    std::lock_guard one_at_a_time(reclaiming_);
    TakeOutDead(nullptr);
    ReconnectUnreached(nullptr);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("reclaiming: memory is out");
  }
}

// The thread's work. Gives way to writers that help: it has less of a core than they.
void HnswIndex::TidyUp(const std::atomic<bool>& stop) {
  std::lock_guard one_at_a_time(reclaiming_);
  try {
    if (TakeOutDead(&stop)) ReconnectUnreached(&stop);
  } catch (const std::bad_alloc&) {
    // What is not done now is done after the next write.
  }
}

// (1) Inserts that start from now on do not link to dead nodes; (2) those of before are
// over; (3) no list leads to the dead; (4) nor does a search stand on one; (5) their
// places are free. False when it was stopped; whoever begins again goes on from there.
bool HnswIndex::TakeOutDead(const std::atomic<bool>* stop) {
  HnswRepair repair(graph_);
  const std::vector<uint32_t> nodes = DoomDead(repair);
  if (nodes.empty()) return true;
  gate_.Synchronize();
  if (!BypassDoomed(repair, stop)) return false;
  gate_.Synchronize();
  FreeDoomed(nodes);
  return true;
}

void HnswIndex::ReconnectUnreached(const std::atomic<bool>* stop) {
  std::shared_lock writers(writers_);
  if (graph_.storage().writable()) HnswRepair(graph_).ReconnectUnreached(stop);
}

std::vector<uint32_t> HnswIndex::DoomDead(HnswRepair& repair) {
  std::shared_lock writers(writers_);
  std::vector<uint32_t> nodes;
  if (!graph_.storage().writable()) return nodes;
  {
    std::lock_guard slots(slots_mutex_);
    nodes = dead_;
  }
  std::erase(nodes, repair.Doom(nodes));
  return nodes;
}

// False when it was stopped: the nodes stay dead and doomed, and their lists stay.
bool HnswIndex::BypassDoomed(HnswRepair& repair, const std::atomic<bool>* stop) {
  for (int round = 0; round < kMaxRounds; ++round) {
    int64_t num_rewritten = 0;
    for (int64_t first = 0, end = 1; first < end; first += kNodesPerSlice) {
      if (stop != nullptr && (*stop || helped_)) return false;
      std::shared_lock writers(writers_);
      end = graph_.storage().num_nodes();
      num_rewritten += repair.BypassDoomed(
          static_cast<uint32_t>(first),
          static_cast<uint32_t>(std::min(first + kNodesPerSlice, end)));
    }
    if (num_rewritten == 0) return true;
  }
  return false;
}

void HnswIndex::FreeDoomed(const std::vector<uint32_t>& nodes) {
  std::shared_lock writers(writers_);
  GraphStorage& storage = graph_.storage();
  {
    std::lock_guard slots(slots_mutex_);
    free_.reserve(free_.size() + nodes.size());
  }
  for (uint32_t node : nodes) {
    for (int level = 0; level <= storage.level(node); ++level) {
      graph_.WriteLinks(node, level, {});
    }
    storage.set_label(node, kNoLabel);
  }
  std::lock_guard slots(slots_mutex_);
  std::erase_if(dead_, [this](uint32_t node) { return graph_.doomed(node); });
  for (uint32_t node : nodes) graph_.set_doomed(node, false);
  free_.insert(free_.end(), nodes.begin(), nodes.end());
}

void HnswIndex::NoteWrites() {
  if (!options_.background || !IsWritable()) return;
  try {
    if (DeadExceed(kReclaimShare, kMinReclaimed)) {
      reclaimer_.RunNow();
    } else {
      reclaimer_.RunSoon();
    }
  } catch (const std::system_error&) {
    // No thread to be had: the next write asks again.
  }
}

// Many writers may come here at once: the others then find that it is done.
void HnswIndex::HelpToReclaim() {
  if (!options_.background || !IsWritable()) return;
  if (!DeadExceed(kHelpShare, kMinHelped)) return;
  helped_ = true;
  std::lock_guard one_at_a_time(reclaiming_);
  helped_ = false;
  try {
    if (DeadExceed(kHelpShare, kMinHelped)) TakeOutDead(nullptr);
  } catch (const std::bad_alloc&) {
    // Rather more memory than no writes: if there is none, the write will say so.
  }
}

bool HnswIndex::DeadExceed(int64_t share, int64_t at_least) const {
  std::lock_guard slots(slots_mutex_);
  return static_cast<int64_t>(dead_.size()) >
         std::max(at_least, labels_.size() / share);
}

bool HnswIndex::IsWritable() const {
  ReaderGate::Guard guard(gate_);
  return graph_.storage().writable();
}

}  // namespace stepwell::index
