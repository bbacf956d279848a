// A condition on item attributes, in the form that is evaluated.
#ifndef STEPWELL_CC_INDEX_PREDICATE_H_
#define STEPWELL_CC_INDEX_PREDICATE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace stepwell::index {

// A predicate is its tokens in postfix order: each leaf is a set of items, each
// operator takes the last one or two sets and leaves one.
struct PredicateToken {
  enum class Kind : uint8_t { kAnyOf, kInRange, kAnd, kOr, kNot };

  Kind kind = Kind::kAnyOf;
  std::string column{};          // of a leaf
  std::vector<uint32_t> tags{};  // kAnyOf: items with one of them; none for no tags
  double low = 0;                // kInRange: low <= value <= high
  double high = 0;
};

inline constexpr int64_t kMaxPredicateTokens = 10'000;

inline bool IsLeaf(PredicateToken::Kind kind) {
  return kind == PredicateToken::Kind::kAnyOf || kind == PredicateToken::Kind::kInRange;
}

// OK when the tokens leave exactly one set and every range has low <= high, neither
// NaN. InvalidArgument names the column, the range or the token otherwise.
absl::Status CheckPredicate(absl::Span<const PredicateToken> predicate);

// Runs a checked predicate over values of type T: `leaf(i)` makes the value of leaf
// token i; `both(a, b)` and `either(a, b)` change a; `negate(a)` changes a.
template <typename T, typename Leaf, typename Both, typename Either, typename Negate>
T EvaluatePredicate(absl::Span<const PredicateToken> predicate, Leaf leaf, Both both,
                    Either either, Negate negate) {
  std::vector<T> stack;
  for (size_t i = 0; i < predicate.size(); ++i) {
    const PredicateToken::Kind kind = predicate[i].kind;
    if (IsLeaf(kind)) {
      stack.push_back(leaf(i));
    } else if (kind == PredicateToken::Kind::kNot) {
      negate(stack.back());
    } else {
      const T last = std::move(stack.back());
      stack.pop_back();
      kind == PredicateToken::Kind::kAnd ? both(stack.back(), last)
                                         : either(stack.back(), last);
    }
  }
  return std::move(stack.back());
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_PREDICATE_H_
