// How two vectors are compared.
#ifndef STEPWELL_CC_INDEX_METRIC_H_
#define STEPWELL_CC_INDEX_METRIC_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace stepwell::index {

// The numbers are in the index file: never reuse one.
enum class Metric : uint32_t {
  // score = q . x
  kInnerProduct = 1,
  // score = q . x / (|q| |x|); vectors are stored with unit norm.
  kCosine = 2,
  // score = -|q - x|^2
  kL2 = 3,
};

// "inner_product", "cosine" or "l2": the words of the wire and of Python.
absl::string_view MetricName(Metric metric);

// InvalidArgument that lists the known names.
absl::StatusOr<Metric> MetricFromName(absl::string_view name);

// The metric of a number that comes from outside; InvalidArgument when unknown.
absl::StatusOr<Metric> MetricFromNumber(uint32_t number);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_METRIC_H_
