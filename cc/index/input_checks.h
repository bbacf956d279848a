// Arguments of an index, checked before anything is allocated or changed.
#ifndef STEPWELL_CC_INDEX_INPUT_CHECKS_H_
#define STEPWELL_CC_INDEX_INPUT_CHECKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cc/index/ann_index.h"

namespace stepwell::index {

// `values` holds one vector of `dim` finite floats for each of `num_rows` rows;
// under cosine none of them is zero. The error names the first bad row.
absl::Status CheckVectors(absl::Span<const float> values, int64_t dim, int64_t num_rows,
                          Metric metric, const char* field);

// Every id is >= 0 and there once. Cost: O(n) expected.
absl::Status CheckIds(absl::Span<const int64_t> ids);

// Sizes and options of a search, and its queries as in CheckVectors.
absl::Status CheckSearch(absl::Span<const float> queries, int64_t dim, Metric metric,
                         int64_t k, const SearchOptions& options);

// What is stored or searched for: a copy, of unit norm under cosine.
std::vector<float> StoredForm(absl::Span<const float> values, int64_t dim,
                              Metric metric);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INPUT_CHECKS_H_
