// How deleted and replaced nodes leave an HnswIndex.
#include <algorithm>
#include <exception>
#include <shared_mutex>
#include <system_error>

#include "cc/index/hnsw_index.h"
#include "cc/index/hnsw_repair.h"

namespace stepwell::index {
namespace {

// Dead nodes, as a share of the items, above which they are taken out at once: fewer
// are not in the way of searches, and many share the work. See kWaitShare for more.
constexpr int64_t kReclaimShare = 25;  // 4 %
constexpr int64_t kMinReclaimed = 256;
// And above which Upsert waits for that, so that memory stays flat however fast the
// writers are.
constexpr int64_t kWaitShare = 12;  // 8 %
constexpr int64_t kMinWaitedFor = 1024;

// Nodes looked at between two chances for growth and Save: some milliseconds' work.
constexpr int64_t kNodesPerSlice = 1024;

// The lists are read again until none holds a doomed node; twice is expected.
constexpr int kMaxRounds = 4;

}  // namespace

absl::Status HnswIndex::Reclaim() {
  static const std::atomic<bool> kNeverStop{false};
  try {
    if (!IsWritable()) Grow(0, {});
    TidyUp(kNeverStop);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("reclaiming: memory is out");
  }
}

// (1) Inserts that start from now on do not link to dead nodes; (2) those of before are
// over; (3) no list leads to the dead; (4) nor does a search stand on one; (5) their
// places are free.
void HnswIndex::TidyUp(const std::atomic<bool>& stop) {
  std::lock_guard one_at_a_time(reclaiming_);
  HnswRepair repair(graph_);
  const std::vector<uint32_t> nodes = DoomDead(repair);
  if (!nodes.empty()) {
    gate_.Synchronize();
    if (!BypassDoomed(repair, stop)) return;
    gate_.Synchronize();
    FreeDoomed(nodes);
  }
  std::shared_lock writers(writers_);
  if (graph_.storage().writable()) repair.ReconnectUnreached();
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
bool HnswIndex::BypassDoomed(HnswRepair& repair, const std::atomic<bool>& stop) {
  for (int round = 0; round < kMaxRounds; ++round) {
    int64_t num_rewritten = 0;
    for (int64_t first = 0, end = 1; first < end; first += kNodesPerSlice) {
      if (stop) return false;
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

void HnswIndex::WaitForReclaim() {
  if (!options_.background || !IsWritable()) return;
  if (!DeadExceed(kWaitShare, kMinWaitedFor)) return;
  try {
    reclaimer_.RunAndWait();
  } catch (const std::system_error&) {
    // As above: rather more memory than no writes.
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
