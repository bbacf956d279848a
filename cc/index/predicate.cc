#include "cc/index/predicate.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

absl::Status CheckLeaf(const PredicateToken& token) {
  if (token.kind != PredicateToken::Kind::kInRange || token.low <= token.high) {
    return absl::OkStatus();
  }
  const bool has_nan = std::isnan(token.low) || std::isnan(token.high);
  return FieldError(
      token.column,
      absl::StrCat("range [", token.low, ", ", token.high, "] ",
                   has_nan ? "has a NaN bound" : "has its low end above its high end"));
}

}  // namespace

absl::Status CheckPredicate(absl::Span<const PredicateToken> predicate) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("predicate tokens",
                                      static_cast<int64_t>(predicate.size()), 1,
                                      kMaxPredicateTokens));
  int64_t depth = 0;
  for (size_t i = 0; i < predicate.size(); ++i) {
    const PredicateToken& token = predicate[i];
    if (IsLeaf(token.kind)) {
      STEPWELL_RETURN_IF_ERROR(CheckLeaf(token));
      ++depth;
      continue;
    }
    const int64_t operands = token.kind == PredicateToken::Kind::kNot ? 1 : 2;
    if (depth < operands) {
      return FieldError("predicate", absl::StrCat("token ", i, " needs ", operands,
                                                  " sets, there are ", depth));
    }
    depth -= operands - 1;
  }
  if (depth == 1) return absl::OkStatus();
  return FieldError("predicate", absl::StrCat("leaves ", depth, " sets, must leave 1"));
}

}  // namespace stepwell::index
