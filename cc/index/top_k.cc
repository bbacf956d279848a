#include "cc/index/top_k.h"

namespace stepwell::index {

SearchResult EmptyResult(int64_t num_queries, int64_t k) {
  SearchResult result;
  result.num_queries = num_queries;
  result.k = k;
  result.ids.assign(num_queries * k, -1);
  result.scores.assign(num_queries * k, 0.0f);
  result.counts.assign(num_queries, 0);
  result.truncated.assign(num_queries, 0);
  return result;
}

void WriteAnswer(const std::vector<Neighbour>& sorted, int64_t query,
                 SearchResult& result) {
  const int64_t count =
      std::min<int64_t>(result.k, static_cast<int64_t>(sorted.size()));
  for (int64_t i = 0; i < count; ++i) {
    result.ids[query * result.k + i] = sorted[i].id;
    result.scores[query * result.k + i] = ScoreOfDistance(sorted[i].distance);
  }
  result.counts[query] = static_cast<int32_t>(count);
}

}  // namespace stepwell::index
