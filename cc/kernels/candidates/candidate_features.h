#ifndef CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_
#define CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_

#include <array>
#include <cstdint>

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

// The candidates, with what each of num_sources sources said of them, row-major.
struct FeatureCandidates {
  int64_t num_rows = 0;
  const int64_t* rows = nullptr;
  int64_t num_sources = 0;
  const float* scores = nullptr;
  const int16_t* ranks = nullptr;  // -1 where absent
};

// Returns F, the dense features of a candidate.
int64_t NumDenseFeatures(const ItemLines& items, int64_t num_sources);

// Writes the features of each candidate: dense [num_rows, F] in the order user, own,
// item, source scores, source ranks, affinities; sparse [num_rows, num_embedded + 1],
// the last column being the segment. Rows must exist.
// Cost: O(H log H + N F), about 40 us at H = 250, N = 500, F = 86.
// Thread-safe.
void ComputeFeatures(const ItemLines& items, const FeatureDefaults& defaults,
                     const FeatureHistory& history, int64_t now, int64_t segment_row,
                     const FeatureCandidates& candidates, float* dense,
                     int64_t* sparse);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_CANDIDATE_FEATURES_H_
