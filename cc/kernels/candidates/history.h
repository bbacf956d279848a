#ifndef CC_KERNELS_CANDIDATES_HISTORY_H_
#define CC_KERNELS_CANDIDATES_HISTORY_H_

#include <cstdint>

#include "cc/kernels/candidates/unaligned.h"

namespace stepwell::kernels {

// The columns of one user's history over num_items distinct items, as stored: they may
// lie at any address. Item i was bought num_purchases[i] times between first_time[i]
// and last_time[i], unix seconds.
struct HistoryTimes {
  int64_t num_items = 0;
  Unaligned<int32_t> num_purchases;
  Unaligned<int64_t> first_time;
  Unaligned<int64_t> last_time;
};

// Writes weights [num_items]: sqrt of the purchases, each decayed by half_life_seconds
// from its item's mean date to `now`; later dates count as `now`.
void AffinityWeights(const HistoryTimes& history, int64_t now, double half_life_seconds,
                     float* weights);

// Writes scores [num_items]: the purchases decayed over the user's own rhythm for the
// item. The half-life is twice the mean days between purchases, at least 60; of a
// single purchase that is 120. Purchases before the last are half the span older.
void RepeatScores(const HistoryTimes& history, int64_t now, float* scores);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_HISTORY_H_
