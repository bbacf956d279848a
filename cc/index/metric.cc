#include "cc/index/metric.h"

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"

namespace stepwell::index {
namespace {

constexpr Metric kMetrics[] = {Metric::kInnerProduct, Metric::kCosine, Metric::kL2};

}  // namespace

absl::string_view MetricName(Metric metric) {
  switch (metric) {
    case Metric::kInnerProduct:
      return "inner_product";
    case Metric::kCosine:
      return "cosine";
    case Metric::kL2:
      return "l2";
  }
  return "unknown";
}

absl::StatusOr<Metric> MetricFromName(absl::string_view name) {
  for (Metric metric : kMetrics) {
    if (MetricName(metric) == name) return metric;
  }
  return FieldError(
      "metric", absl::StrCat("is \"", name, "\", must be inner_product, cosine or l2"));
}

absl::StatusOr<Metric> MetricFromNumber(uint32_t number) {
  for (Metric metric : kMetrics) {
    if (static_cast<uint32_t>(metric) == number) return metric;
  }
  return FieldError("metric", absl::StrCat("number ", number, " is unknown"));
}

}  // namespace stepwell::index
