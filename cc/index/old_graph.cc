#include "cc/index/old_graph.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
#include <thread>

#include "cc/index/old_engine.h"

namespace stepwell::index {
namespace {

// A level above this needs more nodes than an index can hold, for every M >= 2.
constexpr int kMaxLevel = 31;

// SplitMix64: a well-mixed word of a counter (Steele, Lea & Flood, OOPSLA
// 2014).
uint64_t Mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// Runs `work(0) .. work(n - 1)` on some threads, each index once, in order of
// start. The first exception stops the rest and is thrown again here.
void RunInOrder(size_t n, int num_threads, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto loop = [&] {
    for (size_t i = next++; i < n; i = next++) {
      try {
        work(i);
      } catch (...) {
        std::lock_guard lock(failure_mutex);
        failure = std::current_exception();
        next = n;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < num_threads; ++i) threads.emplace_back(loop);
  loop();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

OldGraph::OldGraph(const OldGraphOptions& options, const DistanceKernel& kernel,
                     int64_t capacity)
    : options_(options),
      kernel_(kernel),
      dim_(options.dim),
      engine_(
          std::make_unique<Engine>(options, kernel, std::max<int64_t>(capacity, 1))) {}

OldGraph::~OldGraph() = default;

int64_t OldGraph::size() const {
  return static_cast<int64_t>(engine_->cur_element_count.load());
}

int32_t OldGraph::max_level() const { return engine_->maxlevel_; }
uint32_t OldGraph::entry_node() const { return engine_->enterpoint_node_; }
int OldGraph::level(uint32_t node) const { return engine_->element_levels_[node]; }

const float* OldGraph::vector(uint32_t node) const {
  return reinterpret_cast<const float*>(engine_->getDataByInternalId(node));
}

float* OldGraph::mutable_vector(uint32_t node) {
  return reinterpret_cast<float*>(engine_->getDataByInternalId(node));
}

RowBlock OldGraph::vectors() const {
  return {engine_->data_level0_memory_ + engine_->offsetData_,
          engine_->size_data_per_element_};
}

const uint32_t* OldGraph::Links(uint32_t node, int level) const {
  return engine_->get_linklist_at_level(node, level);
}

uint32_t* OldGraph::mutable_links(uint32_t node, int level) {
  return engine_->get_linklist_at_level(node, level);
}

int64_t OldGraph::MemoryBytes() const {
  size_t upper_levels = 0;
  for (int64_t node = 0; node < size(); ++node) {
    upper_levels += engine_->element_levels_[node];
  }
  const size_t per_node = engine_->size_data_per_element_ + sizeof(void*) +
                          sizeof(int) + sizeof(std::mutex);
  return static_cast<int64_t>(engine_->max_elements_ * per_node +
                              upper_levels * engine_->size_links_per_element_);
}

// Exponential with scale 1 / ln M, as in section 4.1 of the paper.
int OldGraph::LevelOf(uint32_t node) const {
  const uint64_t random = Mixed(Mixed(options_.seed) ^ node);
  const double uniform = (static_cast<double>(random >> 11) + 1.0) * 0x1.0p-53;
  const double level = -std::log(uniform) / std::log(static_cast<double>(options_.m));
  return std::min(static_cast<int>(level), kMaxLevel);
}

void OldGraph::Reserve(int64_t capacity) {
  const auto current = static_cast<int64_t>(engine_->max_elements_);
  if (capacity <= current) return;
  engine_->resizeIndex(std::max(capacity, current + current / 2));
}

void OldGraph::SetLevel(uint32_t node, int level) {
  if (level == 0) return;
  // hnswlib reads, and does not use, one place past the last list.
  const size_t bytes = level * engine_->size_links_per_element_ + sizeof(uint32_t);
  engine_->linkLists_[node] = static_cast<char*>(std::calloc(bytes, 1));
  if (engine_->linkLists_[node] == nullptr) throw std::bad_alloc();
  engine_->element_levels_[node] = level;
}

void OldGraph::Append(absl::Span<const float> vectors, int num_threads) {
  const auto num_new = vectors.size() / dim_;
  if (num_new == 0) return;
  const auto first = static_cast<size_t>(size());
  Reserve(static_cast<int64_t>(first + num_new));
  // Counted before they are linked: until then nothing leads to them, and a
  // node whose turn never comes because memory ran out is one without links.
  std::fill_n(&engine_->element_levels_[first], num_new, 0);
  std::memset(engine_->get_linklist0(first), 0,
              num_new * engine_->size_data_per_element_);
  engine_->cur_element_count = first + num_new;
  const auto insert = [&](size_t i) {
    const auto node = static_cast<uint32_t>(first + i);
    Insert(node, vectors.data() + i * dim_, LevelOf(node));
  };
  // The first node of a graph is the entry that all others start from.
  const size_t alone = first == 0 ? 1 : 0;
  if (alone == 1) insert(0);
  RunInOrder(num_new - alone, num_threads, [&](size_t i) { insert(alone + i); });
}

// Holds the node's own lock throughout: a thread that comes here over an upper
// level waits until the lower ones are linked. Such waits cannot form a circle:
// a node is found on a level only after it has left that level.
void OldGraph::Insert(uint32_t node, const float* vector, int level) {
  Engine& engine = *engine_;
  // Before the node's lock, here and everywhere: one order of locks.
  std::unique_lock entry_lock(engine.global);
  const int top = engine.maxlevel_;
  uint32_t nearest = engine.enterpoint_node_;
  std::unique_lock node_lock(engine.link_list_locks_[node]);
  // Only a node that becomes the new entry keeps the others waiting.
  if (level <= top) entry_lock.unlock();
  std::copy_n(vector, dim_, mutable_vector(node));
  SetLevel(node, level);
  if (top >= 0) {
    nearest = DescendWithLocks(vector, nearest, top, level);
    for (int at = std::min(level, top); at >= 0; --at) {
      auto neighbours = engine.searchBaseLayer(nearest, vector, at);
      nearest = engine.mutuallyConnectNewElement(vector, node, neighbours, at, false);
    }
  }
  if (level > top) {
    engine.enterpoint_node_ = node;
    engine.maxlevel_ = level;
  }
}

uint32_t OldGraph::DescendWithLocks(const float* query, uint32_t nearest, int from,
                                     int to) const {
  float distance = kernel_.pair(query, vector(nearest), &dim_);
  std::vector<float> distances(options_.m);
  for (int at = from; at > to; --at) {
    for (bool moved = true; moved;) {
      moved = false;
      std::unique_lock lock(engine_->link_list_locks_[nearest]);
      const uint32_t* links = Links(nearest, at);
      const uint32_t num_links = links[0];
      kernel_.gather(query, dim_, vectors(), links + 1, num_links, distances.data());
      for (uint32_t i = 0; i < num_links; ++i) {
        if (distances[i] >= distance) continue;
        distance = distances[i];
        nearest = links[i + 1];
        moved = true;
      }
    }
  }
  return nearest;
}

void OldGraph::Replace(uint32_t node, const float* vector) {
  engine_->updatePoint(vector, node, 1.0f);
}

void OldGraph::Adopt(const Parts& parts) {
  Engine& engine = *engine_;
  const size_t num_nodes = parts.levels.size();
  Reserve(static_cast<int64_t>(num_nodes));
  std::fill(engine.element_levels_.begin(), engine.element_levels_.end(), 0);
  std::memset(engine.data_level0_memory_, 0, num_nodes * engine.size_data_per_element_);
  engine.cur_element_count = num_nodes;
  for (size_t node = 0; node < num_nodes; ++node) {
    SetLevel(static_cast<uint32_t>(node), parts.levels[node]);
  }
  engine.maxlevel_ = parts.max_level;
  engine.enterpoint_node_ = parts.entry_node;
}

}  // namespace stepwell::index
