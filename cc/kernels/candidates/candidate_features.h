#ifndef CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_
#define CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_

#include <array>
#include <cstdint>

#include "cc/kernels/candidates/decayed_columns.h"
#include "cc/kernels/candidates/history.h"
#include "cc/kernels/candidates/item_lines.h"
#include "cc/kernels/candidates/unaligned.h"

namespace stepwell::kernels {

constexpr int64_t kUserFeatures = 8;
constexpr int64_t kOwnFeatures = 15;
constexpr int64_t kOwnRecent = 2;  // its place among the own features
constexpr int64_t kItemFeaturesBesideNumbers = 3;
constexpr int64_t kAffinityFeatures = 9;

// What features are where the thing they are of does not exist.
struct FeatureDefaults {
  std::array<float, kUserFeatures> user;
  std::array<float, kOwnFeatures> own;
  float far_days;     // stands for "never"
  float absent_rank;  // stands for "not emitted by this source"
};

// A user's history: its columns, most recent first, and what is known of the whole.
struct FeatureHistory {
  HistoryTimes times;
  Unaligned<float> decayed_count;  // by 30 days to the last event
  Unaligned<float> total_value;
  const int64_t* rows = nullptr;  // [times.num_items], -1 where the release lacks it
  int64_t num_events = 0;
  int64_t num_trips = 0;
  int64_t first_event_time = 0;
  int64_t last_event_time = 0;
};

// The candidates, with what sources said of them, row-major: `stride` sources a row, of
// which the first num_sources are features.
struct FeatureCandidates {
  int64_t num_rows = 0;
  const int64_t* rows = nullptr;
  int64_t num_sources = 0;
  const float* scores = nullptr;
  const int16_t* ranks = nullptr;  // -1 where absent
  int64_t stride = 0;
};

// The features that come from stored rows and from the request itself: its flags,
// numbers of the user's row, the request's numbers, numbers of the item's row.
struct StoredColumns {
  int64_t num_flags = 0;  // at most 32
  DecayedColumns user;
  DecayedColumns item;
  int64_t num_request = 0;

  int64_t size() const { return num_flags + user.size() + num_request + item.size(); }
};

// The rows of one request.
struct StoredRows {
  uint32_t flags = 0;              // bit i is flag i
  const char* user = nullptr;      // one row, not null where there are columns of it
  const char* items = nullptr;     // a row for every item; null means numbers of 0
  const float* request = nullptr;  // [num_request]
};

// All that does not change from request to request.
struct FeatureSpec {
  const ItemLines& items;
  const FeatureDefaults& defaults;
  const StoredColumns& stored;
};

// Returns F, the dense features of a candidate.
int64_t NumDenseFeatures(const ItemLines& items, const StoredColumns& stored,
                         int64_t num_sources);

// Writes the features of each candidate: dense [num_rows, F] in the order user, own,
// item, source scores, source ranks, affinities, stored; sparse [num_rows,
// num_embedded + 1], the last column being the segment. Rows must exist.
// Cost: O(H log H + N F), about 35 us at H = 250, N = 500, F = 106.
// Thread-safe.
void ComputeFeatures(const FeatureSpec& spec, const FeatureHistory& history,
                     int64_t now, int64_t segment_row, const StoredRows& stored,
                     const FeatureCandidates& candidates, float* dense,
                     int64_t* sparse);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_
