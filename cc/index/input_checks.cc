#include "cc/index/input_checks.h"

#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

// Doubles: the square of a large float is not finite in float.
double SquaredNorm(const float* vector, int64_t dim) {
  double sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += double{vector[i]} * double{vector[i]};
  return sum;
}

// A float sum that is finite has only finite terms; a float whose square
// overflows is caught too, and no distance can handle it.
bool IsUsable(const float* vector, int64_t dim) {
  float sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += vector[i] * vector[i];
  return std::isfinite(sum);
}

}  // namespace

absl::Status CheckVectors(absl::Span<const float> values, int64_t dim, int64_t num_rows,
                          Metric metric, const char* field) {
  if (static_cast<int64_t>(values.size()) != num_rows * dim) {
    return FieldError(field, absl::StrCat("has ", values.size(), " values, must have ",
                                          num_rows, " rows of ", dim, " (index.dim)"));
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    const float* vector = values.data() + row * dim;
    if (!IsUsable(vector, dim)) {
      return FieldError(field, absl::StrCat("row ", row,
                                            " is not finite or its squared norm is"
                                            " above the range of float32"));
    }
    if (metric == Metric::kCosine && SquaredNorm(vector, dim) == 0) {
      return FieldError(field, absl::StrCat("row ", row,
                                            " is zero, which has no direction for"
                                            " the cosine metric"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckIds(absl::Span<const int64_t> ids) {
  absl::flat_hash_set<int64_t> seen;
  seen.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0) {
      return FieldError("ids",
                        absl::StrCat("has ", ids[i], " at ", i, ", must be >= 0"));
    }
    if (!seen.insert(ids[i]).second) {
      return FieldError("ids", absl::StrCat("has ", ids[i], " twice, again at ", i));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSearch(absl::Span<const float> queries, int64_t dim, Metric metric,
                         int64_t k, const SearchOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("k", k, 1, kMaxK));
  STEPWELL_RETURN_IF_ERROR(CheckRange("ef_search", options.ef_search, 1, kMaxEf));
  if (options.budget_nanos < 0) {
    return FieldError("budget", absl::StrCat("is ", options.budget_nanos,
                                             " ns, must be >= 0 (0: no limit)"));
  }
  const auto num_queries = static_cast<int64_t>(queries.size()) / dim;
  return CheckVectors(queries, dim, num_queries, metric, "queries");
}

std::vector<float> StoredForm(absl::Span<const float> values, int64_t dim,
                              Metric metric) {
  std::vector<float> stored(values.begin(), values.end());
  if (metric != Metric::kCosine) return stored;
  for (size_t at = 0; at < stored.size(); at += dim) {
    const double scale = 1.0 / std::sqrt(SquaredNorm(&stored[at], dim));
    for (int64_t i = 0; i < dim; ++i) {
      stored[at + i] = static_cast<float>(stored[at + i] * scale);
    }
  }
  return stored;
}

}  // namespace stepwell::index
