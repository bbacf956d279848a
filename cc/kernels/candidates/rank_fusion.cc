#include "cc/kernels/candidates/rank_fusion.h"

#include <algorithm>
#include <vector>

#include "cc/kernels/candidates/row_map.h"

namespace stepwell::kernels {
namespace {

struct Entry {
  double worth;
  int64_t row;
  int32_t place;  // of its line in the columns
  bool is_reserved;
  bool is_excluded;
};

bool IsBetter(const Entry& a, const Entry& b) {
  return a.worth != b.worth ? a.worth > b.worth : a.row < b.row;
}

// The distinct rows of all lists, and for each list where its rows are among them.
class Entries {
 public:
  Entries(const FusedList* lists, int64_t num_lists)
      : lists_(lists), num_lists_(num_lists), places_(Total(lists, num_lists)) {
    entries_.reserve(places_.size());
    RowMap numbers(static_cast<int64_t>(places_.size()));
    int32_t* place = places_.data();
    for (int64_t list = 0; list < num_lists; ++list) {
      for (int64_t rank = 0; rank < lists[list].size; ++rank, ++place) {
        const int64_t row = lists[list].rows[rank];
        *place = numbers.FindOrAdd(row, static_cast<int32_t>(entries_.size()));
        if (*place == static_cast<int32_t>(entries_.size())) {
          entries_.push_back({0.0, row, *place, false, false});
        }
      }
    }
  }

  void Exclude(const int64_t* rows, int64_t num_rows) {
    if (num_rows == 0) return;
    RowMap excluded(num_rows);
    for (int64_t i = 0; i < num_rows; ++i) {
      if (rows[i] >= 0) excluded.FindOrAdd(rows[i], 0);
    }
    for (Entry& entry : entries_) entry.is_excluded = excluded.Find(entry.row) == 0;
  }

  void Weigh(const FusionLimits& limits) {
    const int32_t* place = places_.data();
    int64_t room = limits.num_kept;
    for (int64_t list = 0; list < num_lists_; ++list) {
      int64_t quota = lists_[list].quota;
      for (int64_t rank = 0; rank < lists_[list].size; ++rank, ++place) {
        Entry& entry = entries_[static_cast<size_t>(*place)];
        entry.worth +=
            lists_[list].weight / (limits.rank_offset + static_cast<double>(rank));
        if (entry.is_excluded || quota <= 0) continue;
        --quota;
        if (entry.is_reserved || room <= 0) continue;
        entry.is_reserved = true;
        --room;
      }
    }
  }

  // Moves the kept ones to the front, best first; returns their number.
  int64_t Keep(int64_t num_kept) {
    const auto end = std::partition(entries_.begin(), entries_.end(),
                                    [](const Entry& e) { return !e.is_excluded; });
    const auto rest = std::partition(entries_.begin(), end,
                                     [](const Entry& e) { return e.is_reserved; });
    const int64_t kept = std::min<int64_t>(num_kept, end - entries_.begin());
    const auto kept_end = entries_.begin() + kept;
    if (rest < kept_end && kept_end < end)
      std::nth_element(rest, kept_end, end, IsBetter);
    std::sort(entries_.begin(), kept_end, IsBetter);
    return kept;
  }

  void Write(int64_t kept, const FusedRows& fused) const {
    std::vector<int32_t> line_of(entries_.size(), -1);
    for (int64_t line = 0; line < kept; ++line) {
      const Entry& entry = entries_[static_cast<size_t>(line)];
      fused.rows[line] = entry.row;
      line_of[static_cast<size_t>(entry.place)] = static_cast<int32_t>(line);
    }
    std::fill_n(fused.scores, kept * num_lists_, 0.0f);
    std::fill_n(fused.ranks, kept * num_lists_, int16_t{-1});
    const int32_t* place = places_.data();
    for (int64_t list = 0; list < num_lists_; ++list) {
      for (int64_t rank = 0; rank < lists_[list].size; ++rank, ++place) {
        const int64_t line = line_of[static_cast<size_t>(*place)];
        if (line < 0) continue;
        fused.scores[line * num_lists_ + list] = lists_[list].scores[rank];
        fused.ranks[line * num_lists_ + list] = static_cast<int16_t>(rank);
      }
    }
  }

 private:
  static size_t Total(const FusedList* lists, int64_t num_lists) {
    int64_t total = 0;
    for (int64_t list = 0; list < num_lists; ++list) total += lists[list].size;
    return static_cast<size_t>(total);
  }

  const FusedList* lists_;
  int64_t num_lists_;
  std::vector<int32_t> places_;
  std::vector<Entry> entries_;
};

}  // namespace

int64_t FuseRanks(const FusedList* lists, int64_t num_lists, const FusionLimits& limits,
                  const FusedRows& fused) {
  Entries entries(lists, num_lists);
  entries.Exclude(limits.excluded_rows, limits.num_excluded);
  entries.Weigh(limits);
  const int64_t kept = entries.Keep(limits.num_kept);
  entries.Write(kept, fused);
  return kept;
}

}  // namespace stepwell::kernels
