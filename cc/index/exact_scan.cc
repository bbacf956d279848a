#include "cc/index/exact_scan.h"

#include <algorithm>

#include "cc/index/distance.h"
#include "cc/index/search_plan.h"

namespace stepwell::index {
namespace {

// Rows compared between two looks at the clock.
constexpr size_t kBlockRows = 256;

// Words of an allowed set walked between two looks at the clock: a set may be empty
// over long stretches.
constexpr size_t kBlockWords = 4'096;

// Collects nodes in blocks, measures them and keeps the nearest.
class BlockScanner {
 public:
  BlockScanner(const GraphStorage& storage, const ScanQuery& query, size_t width,
               SearchBudget& budget, std::vector<NodeDistance>& best)
      : storage_(storage),
        query_(query),
        kernel_(BestDistanceKernel(storage.shape().codec.metric())),
        width_(width),
        budget_(budget),
        best_(best) {
    best_.clear();
  }

  // A node that is compared if `keeps`: no branch, which would be mispredicted for
  // every other node of a set of half the items. Up to 64 before each MakeRoom.
  void Add(uint32_t node, bool keeps) {
    nodes_[size_] = node;
    size_ += keeps;
  }

  // False when the scan is over: the budget is spent.
  bool MakeRoom() { return size_ < kBlockRows || Flush(); }

  bool Flush() {
    Measure();
    outcome_.num_distances += static_cast<int64_t>(size_);
    for (size_t i = 0; i < size_; ++i) Offer({distances_[i], nodes_[i]});
    size_ = 0;
    return Continue();
  }

  bool Continue() {
    if (budget_.Spent()) outcome_.truncated = true;
    return !outcome_.truncated;
  }

  // The best, nearest first.
  ScanOutcome Finish() {
    if (size_ > 0) {
      Flush();
      // All rows were compared: whatever the clock says, nothing is missing.
      outcome_.truncated = false;
    }
    std::sort(best_.begin(), best_.end());
    return outcome_;
  }

  ScanOutcome FinishTruncated() {
    std::sort(best_.begin(), best_.end());
    return outcome_;
  }

 private:
  void Measure() {
    const VectorCodec& codec = storage_.codec();
    if (query_.exact != nullptr) {
      kernel_.gather(query_.exact, static_cast<size_t>(codec.dim()), storage_.vectors(),
                     nodes_, size_, distances_);
    } else if (size_ > 0 && nodes_[size_ - 1] - nodes_[0] == size_ - 1) {
      codec.Scan(query_.coded, storage_.codes(), nodes_[0], size_, distances_);
    } else {
      codec.Gather(query_.coded, storage_.codes(), nodes_, size_, distances_);
    }
  }

  void Offer(NodeDistance node) {
    if (best_.size() < width_) {
      best_.push_back(node);
      std::push_heap(best_.begin(), best_.end());
    } else if (node < best_.front()) {
      std::pop_heap(best_.begin(), best_.end());
      best_.back() = node;
      std::push_heap(best_.begin(), best_.end());
    }
  }

  const GraphStorage& storage_;
  const ScanQuery& query_;
  const DistanceKernel& kernel_;
  const size_t width_;
  SearchBudget& budget_;
  std::vector<NodeDistance>& best_;
  ScanOutcome outcome_;
  size_t size_ = 0;
  uint32_t nodes_[kBlockRows + 64];
  float distances_[kBlockRows + 64];
};

// An id's node is the published one: no hidden bit to ask, and an item that is being
// replaced is found, old or new.
bool AddByBits(const NodeFilter& filter, BlockScanner& scanner) {
  const absl::Span<const uint64_t> words = filter.allowed()->words();
  for (size_t word = 0; word < words.size(); ++word) {
    for (uint64_t left = words[word]; left != 0; left &= left - 1) {
      const int64_t id = static_cast<int64_t>(word * 64) + __builtin_ctzll(left);
      const uint32_t node = filter.labels().Find(id);
      scanner.Add(node, node != kNoNode && filter.MayShow(node));
    }
    if (!scanner.MakeRoom()) return false;
    if (word % kBlockWords == kBlockWords - 1 && !scanner.Continue()) return false;
  }
  return true;
}

// `keeps(node)` for every node that is not hidden.
template <typename Keeps>
bool AddByNodes(const GraphStorage& storage, Keeps keeps, BlockScanner& scanner) {
  const auto num_nodes = static_cast<uint32_t>(storage.num_nodes());
  const uint64_t* hidden = storage.hidden_words();
  for (uint32_t first = 0; first < num_nodes; first += 64) {
    uint64_t left = ~__atomic_load_n(&hidden[first / 64], __ATOMIC_ACQUIRE);
    if (num_nodes - first < 64) left &= (uint64_t{1} << (num_nodes - first)) - 1;
    for (; left != 0; left &= left - 1) {
      const uint32_t node = first + static_cast<uint32_t>(__builtin_ctzll(left));
      scanner.Add(node, keeps(node));
    }
    if (!scanner.MakeRoom()) return false;
    if (first / 64 % kBlockWords == kBlockWords - 1 && !scanner.Continue()) {
      return false;
    }
  }
  return true;
}

}  // namespace

ScanOutcome ExactScan(const GraphStorage& storage, const ScanQuery& query,
                      const NodeFilter& filter, size_t width, SearchBudget& budget,
                      std::vector<NodeDistance>& found) {
  BlockScanner scanner(storage, query, width, budget, found);
  if (!scanner.Continue()) return scanner.FinishTruncated();
  const IdBitmap* allowed = filter.allowed();
  const auto may_show = [&](uint32_t node) { return filter.MayShow(node); };
  const auto may_show_allowed = [&](uint32_t node) {
    return filter.MayShow(node) & allowed->TestUnpredicted(storage.label(node));
  };
  bool whole = true;
  if (allowed == nullptr) {
    whole = AddByNodes(storage, may_show, scanner);
  } else if (ScansByBits(allowed->CountSet(), storage.num_nodes())) {
    whole = AddByBits(filter, scanner);
  } else {
    whole = AddByNodes(storage, may_show_allowed, scanner);
  }
  return whole ? scanner.Finish() : scanner.FinishTruncated();
}

}  // namespace stepwell::index
