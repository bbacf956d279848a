#include "cc/index/tag_column.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace stepwell::index {
namespace {

// A tag carried by more than one item in so many is kept as bits: 32 items a word of
// ids take as much memory as a bit for every item.
constexpr int64_t kItemsPerListed = 32;

bool IsFrequent(int64_t count, int64_t num_items) {
  return count * kItemsPerListed > num_items;
}

Posting FromIds(std::vector<uint32_t> ids, int64_t num_items) {
  Posting posting;
  posting.count = static_cast<int64_t>(ids.size());
  if (IsFrequent(posting.count, num_items)) {
    posting.bits.Resize(num_items);
    for (uint32_t id : ids) posting.bits.Set(id);
  } else {
    posting.ids = std::move(ids);
  }
  return posting;
}

Posting FromBits(IdBitmap bits, int64_t num_items) {
  Posting posting;
  posting.count = bits.CountSet();
  if (IsFrequent(posting.count, num_items)) {
    posting.bits = std::move(bits);
  } else {
    posting.ids.reserve(posting.count);
    bits.ForEachSet([&](int64_t id) { posting.ids.push_back(id); });
  }
  return posting;
}

std::vector<uint32_t> SortedUnique(absl::Span<const uint32_t> tags) {
  std::vector<uint32_t> sorted(tags.begin(), tags.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return sorted;
}

absl::Span<const uint32_t> ListAt(const TagLists& lists, size_t i) {
  return lists.tags.subspan(lists.offsets[i], lists.offsets[i + 1] - lists.offsets[i]);
}

}  // namespace

void TagPostings::AddItems(absl::Span<const uint32_t> tags, IdBitmap& items) const {
  for (uint32_t tag : tags) {
    const auto found = postings_.find(tag);
    if (found == postings_.end()) continue;
    const Posting& posting = *found->second;
    if (posting.bits.num_bits() > 0) {
      items.Or(posting.bits);
      continue;
    }
    for (uint32_t id : posting.ids) {
      // A column that grew since the set was sized may know more items.
      if (id < items.num_bits()) items.Set(id);
    }
  }
}

int64_t TagPostings::Count(absl::Span<const uint32_t> tags) const {
  int64_t count = 0;
  for (uint32_t tag : tags) {
    const auto found = postings_.find(tag);
    if (found != postings_.end()) count += found->second->count;
  }
  return count;
}

TagColumn::TagColumn(const TagLists& lists)
    : num_items_(static_cast<int64_t>(lists.offsets.size()) - 1),
      offsets_(lists.offsets.begin(), lists.offsets.end()),
      tags_(lists.tags.begin(), lists.tags.end()) {
  absl::flat_hash_map<uint32_t, std::vector<uint32_t>> ids_of;
  for (int64_t id = 0; id < num_items_; ++id) {
    for (uint32_t tag : ListAt(lists, id)) {
      std::vector<uint32_t>& ids = ids_of[tag];
      const auto narrow = static_cast<uint32_t>(id);
      if (ids.empty() || ids.back() != narrow) ids.push_back(narrow);
    }
  }
  auto postings = std::make_shared<TagPostings>();
  for (auto& [tag, ids] : ids_of) {
    postings->postings_[tag] =
        std::make_shared<const Posting>(FromIds(std::move(ids), num_items_));
  }
  snapshot_ = std::move(postings);
}

std::shared_ptr<const TagPostings> TagColumn::Snapshot() const {
  std::lock_guard lock(mutex_);
  return snapshot_;
}

std::vector<uint32_t> TagColumn::TagsOf(int64_t id) const {
  const auto replaced = replaced_.find(id);
  if (replaced != replaced_.end()) return replaced->second;
  if (id + 1 >= static_cast<int64_t>(offsets_.size())) return {};
  return SortedUnique(ListAt({offsets_, tags_}, id));
}

std::shared_ptr<const Posting> TagColumn::Changed(const Posting* old,
                                                  Change& change) const {
  if (old != nullptr && old->bits.num_bits() > 0) {
    IdBitmap bits = old->bits;
    bits.Resize(num_items_);
    for (uint32_t id : change.removed) bits.Clear(id);
    for (uint32_t id : change.added) bits.Set(id);
    return std::make_shared<const Posting>(FromBits(std::move(bits), num_items_));
  }
  std::sort(change.added.begin(), change.added.end());
  std::sort(change.removed.begin(), change.removed.end());
  std::vector<uint32_t> kept, merged;
  if (old != nullptr) {
    std::set_difference(old->ids.begin(), old->ids.end(), change.removed.begin(),
                        change.removed.end(), std::back_inserter(kept));
  }
  std::merge(kept.begin(), kept.end(), change.added.begin(), change.added.end(),
             std::back_inserter(merged));
  return std::make_shared<const Posting>(FromIds(std::move(merged), num_items_));
}

void TagColumn::Set(absl::Span<const int64_t> ids, const TagLists& lists) {
  absl::flat_hash_map<uint32_t, Change> changes;
  absl::flat_hash_map<int64_t, std::vector<uint32_t>> replaced;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto narrow = static_cast<uint32_t>(ids[i]);
    std::vector<uint32_t> next = SortedUnique(ListAt(lists, i));
    const std::vector<uint32_t> before = TagsOf(ids[i]);
    for (uint32_t tag : before) {
      if (!std::binary_search(next.begin(), next.end(), tag)) {
        changes[tag].removed.push_back(narrow);
      }
    }
    for (uint32_t tag : next) {
      if (!std::binary_search(before.begin(), before.end(), tag)) {
        changes[tag].added.push_back(narrow);
      }
    }
    replaced[ids[i]] = std::move(next);
  }
  auto postings = std::make_shared<TagPostings>(*Snapshot());
  for (auto& [tag, change] : changes) {
    std::shared_ptr<const Posting>& place = postings->postings_[tag];
    place = Changed(place.get(), change);
    if (place->count == 0) postings->postings_.erase(tag);
  }
  replaced_.reserve(replaced_.size() + replaced.size());
  // From here on nothing throws: the postings and what Set takes out of them agree.
  for (auto& [id, tags] : replaced) replaced_[id] = std::move(tags);
  Publish(std::move(postings));
}

void TagColumn::Publish(std::shared_ptr<const TagPostings> next) {
  std::lock_guard lock(mutex_);
  snapshot_.swap(next);
}

void TagColumn::Grow(int64_t num_items) {
  num_items_ = std::max(num_items_, num_items);
}

}  // namespace stepwell::index
