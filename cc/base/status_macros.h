// Early return of errors: the only control flow that macros may hide in this
// tree.
#ifndef STEPWELL_CC_BASE_STATUS_MACROS_H_
#define STEPWELL_CC_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expression` is not OK.
#define STEPWELL_RETURN_IF_ERROR(expression)     \
  do {                                           \
    absl::Status stepwell_status = (expression); \
    if (!stepwell_status.ok()) {                 \
      return stepwell_status;                    \
    }                                            \
  } while (false)

#define STEPWELL_CONCAT_INNER_(a, b) a##b
#define STEPWELL_CONCAT_(a, b) STEPWELL_CONCAT_INNER_(a, b)

// A declaration in brackets would be none.
// NOLINTBEGIN(bugprone-macro-parentheses)

// Moves the value of a StatusOr into `target`, a declaration or an lvalue, or
// returns its error from the enclosing function.
#define STEPWELL_ASSIGN_OR_RETURN(target, expression)                              \
  STEPWELL_ASSIGN_OR_RETURN_(STEPWELL_CONCAT_(stepwell_result_, __LINE__), target, \
                             expression)

#define STEPWELL_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) {                                          \
    return std::move(result).status();                         \
  }                                                            \
  target = *std::move(result)

// NOLINTEND(bugprone-macro-parentheses)

#endif  // STEPWELL_CC_BASE_STATUS_MACROS_H_
