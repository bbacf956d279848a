#include "cc/index/range_column.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace stepwell::index {
namespace {

// More buckets make the ends of a range cheaper and cost an eighth of a byte an item
// each: 32 take half the memory of the values.
constexpr size_t kMaxBuckets = 32;
constexpr size_t kMinBucketItems = 1'024;
// Buckets that outgrow their share by this factor are cut anew.
constexpr size_t kLopsided = 4;

// Borders that cut sorted values into parts of about `part` items. A value so common
// that it fills a part gets a bucket of its own: then a range that ends at it takes
// the bucket whole.
std::vector<double> BordersOf(const std::vector<ValueOfItem>& sorted, size_t part) {
  std::vector<double> borders;
  const auto add = [&](double border) {
    if (borders.empty() || borders.back() < border) borders.push_back(border);
  };
  for (size_t at = part; at < sorted.size(); at += part) {
    const double value = sorted[at].value;
    const bool common = sorted[at - part].value == value;
    add(value);
    if (common) add(std::nextafter(value, std::numeric_limits<double>::infinity()));
  }
  return borders;
}

}  // namespace

size_t SortedValues::BucketOf(double value) const {
  if (std::isnan(value)) return num_buckets();
  return std::upper_bound(borders_.begin(), borders_.end(), value) - borders_.begin();
}

absl::Span<const ValueOfItem> SortedValues::Within(size_t bucket, double low,
                                                   double high) const {
  const Bucket& values = *buckets_[bucket];
  const auto first =
      std::partition_point(values.begin(), values.end(),
                           [&](const ValueOfItem& at) { return at.value < low; });
  const auto last = std::partition_point(
      first, values.end(), [&](const ValueOfItem& at) { return at.value <= high; });
  return absl::MakeConstSpan(values).subspan(first - values.begin(), last - first);
}

int64_t SortedValues::Count(double low, double high) const {
  const size_t first = BucketOf(low), last = BucketOf(high);
  const auto at_low = static_cast<int64_t>(Within(first, low, high).size());
  if (first == last) return at_low;
  const auto at_high = static_cast<int64_t>(Within(last, low, high).size());
  return at_low + (num_below_[last] - num_below_[first + 1]) + at_high;
}

void SortedValues::AddItems(double low, double high, IdBitmap& items) const {
  size_t first = BucketOf(low), end = BucketOf(high) + 1;
  // Buckets at the ends that match in part are taken item by item.
  const auto add_part = [&](size_t bucket) {
    const absl::Span<const ValueOfItem> part = Within(bucket, low, high);
    if (part.size() == buckets_[bucket]->size()) return false;
    for (const ValueOfItem& item : part) {
      // A column that grew since the set was sized may know more items.
      if (item.id < items.num_bits()) items.Set(item.id);
    }
    return true;
  };
  if (add_part(first)) ++first;
  if (first < end && add_part(end - 1)) --end;
  if (first >= end) return;
  IdBitmap whole = *below_[end];
  whole.AndNot(*below_[first]);
  items.Or(whole);
}

void SortedValues::CountBuckets() {
  num_below_.assign(1, 0);
  for (const auto& bucket : buckets_) {
    num_below_.push_back(num_below_.back() + static_cast<int64_t>(bucket->size()));
  }
}

RangeColumn::RangeColumn(absl::Span<const double> values)
    : values_(values.begin(), values.end()), snapshot_(Built()) {}

std::shared_ptr<const SortedValues> RangeColumn::Snapshot() const {
  std::lock_guard lock(mutex_);
  return snapshot_;
}

std::shared_ptr<const SortedValues> RangeColumn::Built() const {
  std::vector<ValueOfItem> sorted;
  sorted.reserve(values_.size());
  for (size_t id = 0; id < values_.size(); ++id) {
    if (!std::isnan(values_[id])) {
      sorted.push_back({values_[id], static_cast<uint32_t>(id)});
    }
  }
  std::sort(sorted.begin(), sorted.end());
  auto built = std::make_shared<SortedValues>();
  built->borders_ =
      BordersOf(sorted, std::max(kMinBucketItems, sorted.size() / kMaxBuckets + 1));
  IdBitmap below(static_cast<int64_t>(values_.size()));
  built->below_.push_back(std::make_shared<const IdBitmap>(below));
  auto next = sorted.begin();
  for (size_t b = 0; b <= built->borders_.size(); ++b) {
    const auto first = next;
    for (; next != sorted.end() && built->BucketOf(next->value) == b; ++next) {
      below.Set(next->id);
    }
    built->buckets_.push_back(
        std::make_shared<const SortedValues::Bucket>(first, next));
    built->below_.push_back(std::make_shared<const IdBitmap>(below));
  }
  built->CountBuckets();
  return built;
}

std::shared_ptr<const SortedValues> RangeColumn::Moved(
    const SortedValues& old, absl::Span<const Move> moves) const {
  auto moved = std::make_shared<SortedValues>(old);
  const size_t num_buckets = old.num_buckets();
  std::vector<SortedValues::Bucket> out(num_buckets + 1), in(num_buckets + 1);
  std::vector<std::shared_ptr<IdBitmap>> below(num_buckets + 1);
  for (const Move& move : moves) {
    const size_t from = old.BucketOf(move.from), to = old.BucketOf(move.to);
    out[from].push_back({move.from, move.id});
    in[to].push_back({move.to, move.id});
    for (size_t b = std::min(from, to) + 1; b <= std::max(from, to); ++b) {
      if (below[b] == nullptr) {
        below[b] = std::make_shared<IdBitmap>(*old.below_[b]);
        below[b]->Resize(static_cast<int64_t>(values_.size()));
      }
      to < b ? below[b]->Set(move.id) : below[b]->Clear(move.id);
    }
  }
  for (size_t b = 0; b < num_buckets; ++b) {
    if (below[b + 1] != nullptr) moved->below_[b + 1] = std::move(below[b + 1]);
    if (out[b].empty() && in[b].empty()) continue;
    std::sort(out[b].begin(), out[b].end());
    std::sort(in[b].begin(), in[b].end());
    SortedValues::Bucket kept, merged;
    std::set_difference(old.buckets_[b]->begin(), old.buckets_[b]->end(),
                        out[b].begin(), out[b].end(), std::back_inserter(kept));
    std::merge(kept.begin(), kept.end(), in[b].begin(), in[b].end(),
               std::back_inserter(merged));
    moved->buckets_[b] =
        std::make_shared<const SortedValues::Bucket>(std::move(merged));
  }
  moved->CountBuckets();
  return moved;
}

bool RangeColumn::IsLopsided(const SortedValues& values) const {
  const size_t part = std::max(kMinBucketItems, values_.size() / kMaxBuckets + 1);
  return std::any_of(values.buckets_.begin(), values.buckets_.end(),
                     [&](const auto& bucket) {
                       return bucket->size() > kLopsided * part &&
                              bucket->front().value != bucket->back().value;
                     });
}

void RangeColumn::Set(absl::Span<const int64_t> ids, absl::Span<const double> values) {
  std::vector<Move> moves;
  moves.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<uint32_t>(ids[i]);
    moves.push_back({id, values_[id], values[i]});
  }
  std::shared_ptr<const SortedValues> next = Moved(*Snapshot(), moves);
  for (const Move& move : moves) values_[move.id] = move.to;
  const bool lopsided = IsLopsided(*next);
  Publish(std::move(next));
  if (lopsided) Publish(Built());
}

void RangeColumn::Publish(std::shared_ptr<const SortedValues> next) {
  std::lock_guard lock(mutex_);
  snapshot_.swap(next);
}

void RangeColumn::Grow(int64_t num_items) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  values_.resize(std::max(values_.size(), static_cast<size_t>(num_items)), none);
}

}  // namespace stepwell::index
