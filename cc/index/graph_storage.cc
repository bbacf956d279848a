#include "cc/index/graph_storage.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace stepwell::index {
namespace {

// SplitMix64: a well-mixed word of a counter (Steele, Lea & Flood, OOPSLA 2014).
uint64_t Mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// M^-1, M^-2, ...: the exponential law of section 4.1 of the paper, scale 1 / ln M.
std::vector<double> LevelShares(int64_t m) {
  std::vector<double> shares;
  double share = 1;
  for (int level = 1; level <= kMaxLevel; ++level) {
    share /= static_cast<double>(m);
    shares.push_back(share);
  }
  return shares;
}

size_t NumWords(int64_t num_bits) { return static_cast<size_t>((num_bits + 63) / 64); }

}  // namespace

GraphStorage::GraphStorage(const GraphShape& shape, int64_t capacity)
    : shape_(shape),
      capacity_(capacity),
      writable_(true),
      level_shares_(LevelShares(shape.m)) {
  const auto size = static_cast<size_t>(capacity);
  own_codes_ = PageArray<char>(size * shape_.codec.code_stride());
  own_base_links_ = PageArray<uint32_t>(size * static_cast<size_t>(2 * shape_.m));
  own_labels_ = PageArray<int64_t>(size);
  own_levels_ = PageArray<uint8_t>(size);
  upper_starts_ = PageArray<uint32_t>(size);
  hidden_ = PageArray<uint64_t>(NumWords(capacity));
  codes_ = own_codes_.data();
  base_links_ = own_base_links_.data();
  labels_ = own_labels_.data();
  levels_ = own_levels_.data();
  if (shape_.codec.kind() == CodeKind::kFloat32) {
    shape_.keep_vectors = false;
    vectors_ = codes_;
    vector_stride_ = shape_.codec.code_stride();
  } else if (shape_.keep_vectors) {
    own_vectors_ = PageArray<float>(size * static_cast<size_t>(shape_.dim));
    vectors_ = reinterpret_cast<const char*>(own_vectors_.data());
    vector_stride_ = static_cast<size_t>(shape_.dim) * sizeof(float);
  }
  ReserveUpperLists(CountDrawnLists(0, capacity));
}

GraphStorage::GraphStorage(const GraphShape& shape, int64_t num_nodes,
                           MappedArrays arrays)
    : shape_(shape),
      capacity_(num_nodes),
      writable_(false),
      num_nodes_(num_nodes),
      codes_(arrays.codes),
      base_links_(arrays.base_links),
      upper_links_(arrays.upper_links),
      labels_(arrays.labels),
      levels_(arrays.levels),
      upper_starts_(static_cast<size_t>(num_nodes)),
      hidden_(NumWords(num_nodes)),
      mapping_(std::move(arrays.mapping)) {
  if (shape_.codec.kind() == CodeKind::kFloat32) {
    shape_.keep_vectors = false;
    vectors_ = codes_;
    vector_stride_ = shape_.codec.code_stride();
  } else if (shape_.keep_vectors) {
    vectors_ = reinterpret_cast<const char*>(arrays.vectors);
    vector_stride_ = static_cast<size_t>(shape_.dim) * sizeof(float);
  }
  for (int64_t node = 0; node < num_nodes; ++node) {
    upper_starts_[node] = static_cast<uint32_t>(num_upper_lists_);
    num_upper_lists_ += levels_[node];
    if (labels_[node] < 0) hidden_[node / 64] |= uint64_t{1} << (node % 64);
  }
}

GraphStorage::~GraphStorage() = default;

int GraphStorage::DrawnLevel(uint32_t node) const {
  const uint64_t random = Mixed(Mixed(shape_.seed) ^ node);
  const double uniform = (static_cast<double>(random >> 11) + 0.5) * 0x1.0p-53;
  int level = 0;
  while (level < kMaxLevel && uniform < level_shares_[level]) ++level;
  return level;
}

int64_t GraphStorage::CountDrawnLists(int64_t first, int64_t end) const {
  int64_t num_lists = 0;
  for (int64_t node = first; node < end; ++node) {
    num_lists += DrawnLevel(static_cast<uint32_t>(node));
  }
  return num_lists;
}

void GraphStorage::ReserveUpperLists(int64_t num_lists) {
  // Starts are 32 bits. Drawn levels stay far below.
  if (num_lists > int64_t{std::numeric_limits<uint32_t>::max()}) throw std::bad_alloc();
  const auto size = static_cast<size_t>(num_lists * shape_.m);
  if (size <= own_upper_links_.size()) return;
  PageArray<uint32_t> larger(size);
  if (num_upper_lists_ > 0) {
    std::memcpy(larger.data(), own_upper_links_.data(),
                static_cast<size_t>(num_upper_lists_ * shape_.m) * sizeof(uint32_t));
  }
  own_upper_links_ = std::move(larger);
  upper_links_ = own_upper_links_.data();
}

void GraphStorage::AppendNode(uint32_t node, int level) {
  own_levels_[node] = static_cast<uint8_t>(level);
  upper_starts_[node] = static_cast<uint32_t>(num_upper_lists_);
  num_upper_lists_ += level;
  for (int at = 0; at <= level; ++at) {
    std::fill_n(mutable_links(node, at), list_size(at), kNoNode);
  }
  set_label(node, kNoLabel);
  set_hidden(node, true);
}

uint32_t GraphStorage::AppendNodes(int64_t count) {
  const int64_t first = num_nodes();
  for (int64_t node = first; node < first + count; ++node) {
    AppendNode(static_cast<uint32_t>(node), DrawnLevel(static_cast<uint32_t>(node)));
  }
  num_nodes_.store(first + count, std::memory_order_release);
  return static_cast<uint32_t>(first);
}

uint32_t GraphStorage::AppendNodes(absl::Span<const uint8_t> levels) {
  const int64_t first = num_nodes();
  const auto count = static_cast<int64_t>(levels.size());
  int64_t num_lists = num_upper_lists_ + CountDrawnLists(first + count, capacity_);
  for (uint8_t level : levels) num_lists += level;
  ReserveUpperLists(num_lists);
  for (int64_t i = 0; i < count; ++i) {
    AppendNode(static_cast<uint32_t>(first + i), levels[i]);
  }
  num_nodes_.store(first + count, std::memory_order_release);
  return static_cast<uint32_t>(first);
}

void GraphStorage::WriteItem(uint32_t node, const float* vector, int64_t label) {
  shape_.codec.Encode(vector, mutable_code(node));
  if (own_vectors_.size() > 0) {
    std::copy_n(vector, shape_.dim, &own_vectors_[node * size_t(shape_.dim)]);
  }
  set_label(node, label);
}

void GraphStorage::set_hidden(uint32_t node, bool hidden) {
  const uint64_t bit = uint64_t{1} << (node % 64);
  if (hidden) {
    __atomic_fetch_or(&hidden_[node / 64], bit, __ATOMIC_ACQ_REL);
  } else {
    __atomic_fetch_and(&hidden_[node / 64], ~bit, __ATOMIC_ACQ_REL);
  }
}

std::unique_ptr<GraphStorage> GraphStorage::Grown(const GraphStorage& old,
                                                  int64_t capacity,
                                                  const VectorCodec& codec) {
  GraphShape shape = old.shape_;
  const bool same_codes = codec.limit() == shape.codec.limit();
  shape.codec = codec;
  auto grown = std::make_unique<GraphStorage>(shape, capacity);
  const auto size = static_cast<size_t>(old.num_nodes());
  grown->AppendNodes(absl::MakeConstSpan(old.levels_, size));
  if (size == 0) return grown;
  std::memcpy(grown->own_base_links_.data(), old.base_links_,
              size * static_cast<size_t>(2 * shape.m) * sizeof(uint32_t));
  if (old.num_upper_lists_ > 0) {
    std::memcpy(grown->own_upper_links_.data(), old.upper_links_,
                static_cast<size_t>(old.num_upper_lists_ * shape.m) * sizeof(uint32_t));
  }
  std::memcpy(grown->own_labels_.data(), old.labels_, size * sizeof(int64_t));
  std::memcpy(grown->hidden_.data(), old.hidden_.data(),
              NumWords(old.num_nodes()) * sizeof(uint64_t));
  if (grown->own_vectors_.size() > 0) {
    std::memcpy(grown->own_vectors_.data(), old.vectors_, size * old.vector_stride_);
  }
  if (same_codes) {
    std::memcpy(grown->own_codes_.data(), old.codes_, size * codec.code_stride());
    return grown;
  }
  std::vector<float> decoded(static_cast<size_t>(shape.dim));
  for (uint32_t node = 0; node < size; ++node) {
    const float* vector = old.vector(node);
    if (vector == nullptr) {
      old.codec().Decode(old.code(node), decoded.data());
      vector = decoded.data();
    }
    codec.Encode(vector, grown->mutable_code(node));
  }
  return grown;
}

int64_t GraphStorage::MemoryBytes() const {
  const auto m = static_cast<size_t>(shape_.m);
  const size_t kept = shape_.keep_vectors ? vector_stride_ : 0;
  const size_t per_node = shape_.codec.code_stride() + kept + 2 * m * sizeof(uint32_t) +
                          sizeof(int64_t) + sizeof(uint8_t) + sizeof(uint32_t);
  const auto nodes = static_cast<size_t>(num_nodes());
  return static_cast<int64_t>(nodes * per_node + nodes / 8 +
                              static_cast<size_t>(num_upper_lists_) * m *
                                  sizeof(uint32_t));
}

}  // namespace stepwell::index
