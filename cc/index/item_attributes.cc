#include "cc/index/item_attributes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/ann_index.h"
#include "cc/index/input_checks.h"

namespace stepwell::index {
namespace {

absl::Status CheckLists(const std::string& column, const TagLists& lists,
                        int64_t num_lists) {
  const auto& offsets = lists.offsets;
  if (static_cast<int64_t>(offsets.size()) != num_lists + 1) {
    return FieldError(column,
                      absl::StrCat("has ", offsets.size(), " offsets, must have ",
                                   num_lists + 1, " for ", num_lists, " items"));
  }
  const auto num_tags = static_cast<int64_t>(lists.tags.size());
  if (offsets.front() != 0 || offsets.back() != num_tags ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    return FieldError(
        column, absl::StrCat("has offsets that do not ascend from 0 to ", num_tags));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const std::string& column, absl::Span<const double> values,
                         int64_t num_items) {
  if (static_cast<int64_t>(values.size()) == num_items) return absl::OkStatus();
  return FieldError(
      column, absl::StrCat("has ", values.size(), " values, must have ", num_items));
}

}  // namespace

// The state of every column that a predicate names: a column named twice is seen in
// one state.
class ItemAttributes::Snapshots {
 public:
  void Add(const std::string& name, const Column& column) {
    State& state = states_[name];
    if (column.tags != nullptr && state.tags == nullptr) {
      state.tags = column.tags->Snapshot();
    }
    if (column.range != nullptr && state.range == nullptr) {
      state.range = column.range->Snapshot();
    }
  }

  void AddItems(const PredicateToken& leaf, IdBitmap& items) const {
    const State& state = states_.at(leaf.column);
    if (state.tags != nullptr) {
      state.tags->AddItems(leaf.tags, items);
    } else {
      state.range->AddItems(leaf.low, leaf.high, items);
    }
  }

  int64_t Count(const PredicateToken& leaf) const {
    const State& state = states_.at(leaf.column);
    return state.tags != nullptr ? state.tags->Count(leaf.tags)
                                 : state.range->Count(leaf.low, leaf.high);
  }

 private:
  struct State {
    std::shared_ptr<const TagPostings> tags;
    std::shared_ptr<const SortedValues> range;
  };
  std::map<std::string, State> states_;
};

absl::Status ItemAttributes::CheckNew(const std::string& column) const {
  if (column.empty()) return FieldError("column", "has an empty name");
  if (columns_.contains(column)) return FieldError(column, "is there already");
  return absl::OkStatus();
}

absl::Status ItemAttributes::AddTags(const std::string& column, const TagLists& lists) {
  STEPWELL_RETURN_IF_ERROR(CheckNew(column));
  STEPWELL_RETURN_IF_ERROR(CheckLists(column, lists, num_items()));
  columns_[column].tags = std::make_unique<TagColumn>(lists);
  return absl::OkStatus();
}

absl::Status ItemAttributes::AddRange(const std::string& column,
                                      absl::Span<const double> values) {
  STEPWELL_RETURN_IF_ERROR(CheckNew(column));
  STEPWELL_RETURN_IF_ERROR(CheckValues(column, values, num_items()));
  columns_[column].range = std::make_unique<RangeColumn>(values);
  return absl::OkStatus();
}

absl::StatusOr<const ItemAttributes::Column*> ItemAttributes::Find(
    const std::string& column, bool tags) const {
  const auto found = columns_.find(column);
  if (found == columns_.end()) {
    const auto names = absl::StrJoin(
        columns_, ", ", [](std::string* out, const auto& at) { *out += at.first; });
    return FieldError(column, absl::StrCat("column '", column,
                                           "' is unknown; there are: [", names, "]"));
  }
  if (tags == (found->second.tags != nullptr)) return &found->second;
  return FieldError(column, absl::StrCat("column '", column, "' holds ",
                                         tags ? "a value an item: ask for a range"
                                              : "tags: ask for any of them"));
}

absl::Status ItemAttributes::CheckIdsOf(const std::string& column,
                                        absl::Span<const int64_t> ids) const {
  STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
  for (int64_t id : ids) {
    if (id >= num_items()) {
      return FieldError("ids", absl::StrCat("has ", id, " for column '", column,
                                            "', must be below ", num_items()));
    }
  }
  return absl::OkStatus();
}

absl::Status ItemAttributes::SetTags(const std::string& column,
                                     absl::Span<const int64_t> ids,
                                     const TagLists& lists) {
  std::lock_guard lock(writers_);
  STEPWELL_ASSIGN_OR_RETURN(const Column* found, Find(column, /*tags=*/true));
  STEPWELL_RETURN_IF_ERROR(CheckIdsOf(column, ids));
  STEPWELL_RETURN_IF_ERROR(CheckLists(column, lists, static_cast<int64_t>(ids.size())));
  found->tags->Set(ids, lists);
  return absl::OkStatus();
}

absl::Status ItemAttributes::SetRange(const std::string& column,
                                      absl::Span<const int64_t> ids,
                                      absl::Span<const double> values) {
  std::lock_guard lock(writers_);
  STEPWELL_ASSIGN_OR_RETURN(const Column* found, Find(column, /*tags=*/false));
  STEPWELL_RETURN_IF_ERROR(CheckIdsOf(column, ids));
  STEPWELL_RETURN_IF_ERROR(
      CheckValues(column, values, static_cast<int64_t>(ids.size())));
  found->range->Set(ids, values);
  return absl::OkStatus();
}

absl::Status ItemAttributes::Grow(int64_t num_items) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("num_items", num_items, 0, kMaxItems));
  std::lock_guard lock(writers_);
  if (num_items <= num_items_) return absl::OkStatus();
  for (auto& [name, column] : columns_) {
    if (column.tags != nullptr) column.tags->Grow(num_items);
    if (column.range != nullptr) column.range->Grow(num_items);
  }
  num_items_.store(num_items, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<ItemAttributes::Snapshots> ItemAttributes::Take(
    absl::Span<const PredicateToken> predicate) const {
  STEPWELL_RETURN_IF_ERROR(CheckPredicate(predicate));
  Snapshots snapshots;
  for (const PredicateToken& token : predicate) {
    if (!IsLeaf(token.kind)) continue;
    const bool tags = token.kind == PredicateToken::Kind::kAnyOf;
    STEPWELL_ASSIGN_OR_RETURN(const Column* column, Find(token.column, tags));
    snapshots.Add(token.column, *column);
  }
  return snapshots;
}

absl::StatusOr<IdBitmap> ItemAttributes::Compile(
    absl::Span<const PredicateToken> predicate) const {
  // Before the columns are read: items that are added meanwhile are left out whole.
  const int64_t num_bits = num_items();
  STEPWELL_ASSIGN_OR_RETURN(const Snapshots snapshots, Take(predicate));
  IdBitmap items = EvaluatePredicate<IdBitmap>(
      predicate,
      [&](size_t i) {
        IdBitmap leaf(num_bits);
        snapshots.AddItems(predicate[i], leaf);
        return leaf;
      },
      [](IdBitmap& a, const IdBitmap& b) { a.And(b); },
      [](IdBitmap& a, const IdBitmap& b) { a.Or(b); }, [](IdBitmap& a) { a.Invert(); });
  items.KeepCount();
  return items;
}

absl::StatusOr<double> ItemAttributes::EstimateCount(
    absl::Span<const PredicateToken> predicate) const {
  const auto all = static_cast<double>(num_items());
  STEPWELL_ASSIGN_OR_RETURN(const Snapshots snapshots, Take(predicate));
  const double scale = all > 0 ? 1.0 / all : 0.0;
  const double share = EvaluatePredicate<double>(
      predicate,
      [&](size_t i) {
        const auto count = static_cast<double>(snapshots.Count(predicate[i]));
        return std::min(1.0, count * scale);
      },
      [](double& a, double b) { a *= b; }, [](double& a, double b) { a += b - a * b; },
      [](double& a) { a = 1.0 - a; });
  return share * all;
}

}  // namespace stepwell::index
