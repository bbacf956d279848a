// Predicates against the plain evaluation of every item.
#include "cc/index/item_attributes.h"

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "cc/base/field_error.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

using Kind = PredicateToken::Kind;

PredicateToken AnyOf(const std::string& column, std::vector<uint32_t> tags) {
  return {.kind = Kind::kAnyOf, .column = column, .tags = std::move(tags)};
}
PredicateToken InRange(const std::string& column, double low, double high) {
  return {.kind = Kind::kInRange, .column = column, .low = low, .high = high};
}
PredicateToken Operator(Kind kind) { return {.kind = kind}; }

struct Lists {
  std::vector<int64_t> offsets;
  std::vector<uint32_t> tags;
  TagLists View() const { return {offsets, tags}; }
};

Lists Flatten(const std::vector<std::set<uint32_t>>& sets) {
  Lists lists;
  lists.offsets.push_back(0);
  for (const auto& set : sets) {
    lists.tags.insert(lists.tags.end(), set.begin(), set.end());
    lists.offsets.push_back(static_cast<int64_t>(lists.tags.size()));
  }
  return lists;
}

// The same columns without any structure. A tenth of the items has no value, three
// tenths share one; tag 0 is frequent, high ones are rare.
struct Plain {
  std::vector<std::set<uint32_t>> tags;
  std::vector<double> prices;

  Plain(int64_t num_items, uint32_t seed) : generator(seed) {
    for (int64_t i = 0; i < num_items; ++i) {
      tags.push_back(RandomTags());
      prices.push_back(RandomPrice());
    }
  }

  std::set<uint32_t> RandomTags() {
    std::set<uint32_t> set;
    for (int n = Uniform(3); n > 0; --n) set.insert(Uniform(2) ? 0 : Uniform(400));
    return set;
  }
  double RandomPrice() {
    const int die = Uniform(10);
    if (die == 0) return std::numeric_limits<double>::quiet_NaN();
    return die < 4 ? 50.0 : Uniform(10'000) / 100.0;
  }
  int Uniform(int n) { return std::uniform_int_distribution<int>(0, n - 1)(generator); }

  std::unique_ptr<ItemAttributes> Attributes() const {
    auto attributes =
        std::make_unique<ItemAttributes>(static_cast<int64_t>(tags.size()));
    EXPECT_TRUE(attributes->AddTags("tag", Flatten(tags).View()).ok());
    EXPECT_TRUE(attributes->AddRange("price", prices).ok());
    return attributes;
  }

  bool Fulfils(size_t item, absl::Span<const PredicateToken> predicate) const {
    std::vector<bool> stack;
    for (const PredicateToken& token : predicate) {
      if (token.kind == Kind::kAnyOf) {
        bool any = false;
        for (uint32_t tag : token.tags) any |= tags[item].contains(tag);
        stack.push_back(any);
      } else if (token.kind == Kind::kInRange) {
        stack.push_back(prices[item] >= token.low && prices[item] <= token.high);
      } else if (token.kind == Kind::kNot) {
        stack.back() = !stack.back();
      } else {
        const bool last = stack.back();
        stack.pop_back();
        stack.back() =
            token.kind == Kind::kAnd ? stack.back() && last : stack.back() || last;
      }
    }
    return stack.back();
  }

  void ExpectSame(const ItemAttributes& attributes,
                  const std::vector<PredicateToken>& predicate) const {
    const auto items = attributes.Compile(predicate);
    ASSERT_TRUE(items.ok()) << items.status();
    ASSERT_EQ(items->num_bits(), attributes.num_items());
    int64_t count = 0;
    for (size_t item = 0; item < tags.size(); ++item) {
      ASSERT_EQ(items->Test(item), Fulfils(item, predicate)) << item;
      count += items->Test(item);
    }
    EXPECT_EQ(items->CountSet(), count);
  }

  std::vector<PredicateToken> RandomPredicate() {
    std::vector<PredicateToken> predicate;
    for (int depth = 0, left = 1 + Uniform(5); depth != 1 || left > 0;) {
      const bool leaf = depth == 0 || (left > 0 && Uniform(2));
      if (leaf) {
        const double low = Uniform(100), width = Uniform(4) ? Uniform(60) : 0;
        predicate.push_back(
            Uniform(2) ? AnyOf("tag", {uint32_t(Uniform(400)), uint32_t(Uniform(3))})
                       : InRange("price", Uniform(3) ? low : 50, low + 50 + width));
        ++depth, --left;
      } else if (depth >= 2 && (left <= 0 || Uniform(2))) {
        predicate.push_back(Operator(Uniform(2) ? Kind::kAnd : Kind::kOr));
        --depth;
      } else {
        predicate.push_back(Operator(Kind::kNot));
      }
    }
    return predicate;
  }

  std::mt19937 generator;
};

TEST(ItemAttributesTest, RandomPredicatesAgreeWithThePlainEvaluation) {
  for (int64_t num_items : {0, 1, 63, 64, 65, 3'000, 40'000}) {
    Plain plain(num_items, 7);
    const auto owned = plain.Attributes();
    ItemAttributes& attributes = *owned;
    for (int round = 0; round < 40; ++round) {
      plain.ExpectSame(attributes, plain.RandomPredicate());
    }
  }
}

TEST(ItemAttributesTest, RandomPredicatesAgreeAfterItemsWereSet) {
  Plain plain(20'000, 8);
  const auto owned = plain.Attributes();
  ItemAttributes& attributes = *owned;
  for (int round = 0; round < 30; ++round) {
    std::vector<int64_t> ids;
    std::vector<std::set<uint32_t>> tags;
    std::vector<double> prices;
    for (int64_t id = plain.Uniform(50); id < 20'000; id += 1 + plain.Uniform(800)) {
      ids.push_back(id);
      tags.push_back(plain.tags[id] = plain.RandomTags());
      prices.push_back(plain.prices[id] = plain.RandomPrice());
    }
    ASSERT_TRUE(attributes.SetTags("tag", ids, Flatten(tags).View()).ok());
    ASSERT_TRUE(attributes.SetRange("price", ids, prices).ok());
    plain.ExpectSame(attributes, plain.RandomPredicate());
  }
}

TEST(ItemAttributesTest, ABucketThatAllPricesMoveToIsCutAnew) {
  Plain plain(40'000, 9);
  const auto owned = plain.Attributes();
  ItemAttributes& attributes = *owned;
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < 30'000; ++id) {
    ids.push_back(id);
    plain.prices[id] = 20 + static_cast<double>(id) * 1e-6;
  }
  ASSERT_TRUE(
      attributes.SetRange("price", ids, absl::MakeSpan(plain.prices).first(30'000))
          .ok());
  plain.ExpectSame(attributes, {InRange("price", 20.01, 20.02)});
  plain.ExpectSame(attributes, {InRange("price", 0, 20.015)});
}

TEST(ItemAttributesTest, NewItemsHaveNothingUntilTheyAreSet) {
  Plain plain(1'000, 10);
  const auto owned = plain.Attributes();
  ItemAttributes& attributes = *owned;
  ASSERT_TRUE(attributes.Grow(1'500).ok());
  plain.tags.resize(1'500);
  plain.prices.resize(1'500, std::numeric_limits<double>::quiet_NaN());
  plain.ExpectSame(attributes, {AnyOf("tag", {0}), Operator(Kind::kNot)});
  const std::vector<int64_t> ids = {1'499};
  plain.tags[1'499] = {0, 399};
  plain.prices[1'499] = 7;
  const Lists lists = Flatten({plain.tags[1'499]});
  ASSERT_TRUE(attributes.SetTags("tag", ids, lists.View()).ok());
  ASSERT_TRUE(attributes.SetRange("price", ids, {7.0}).ok());
  plain.ExpectSame(attributes,
                   {AnyOf("tag", {0}), InRange("price", 7, 7), Operator(Kind::kAnd)});
}

TEST(ItemAttributesTest, TheEstimateIsExactForOneRangeAndOneTag) {
  Plain plain(10'000, 11);
  const auto owned = plain.Attributes();
  ItemAttributes& attributes = *owned;
  for (const PredicateToken& leaf :
       {InRange("price", 10, 60), InRange("price", 50, 50), AnyOf("tag", {0}),
        AnyOf("tag", {123}), AnyOf("tag", {})}) {
    const auto exact = static_cast<double>(attributes.Compile({leaf})->CountSet());
    EXPECT_NEAR(*attributes.EstimateCount({leaf}), exact, 1e-6);
  }
  const std::vector<PredicateToken> both = {InRange("price", 10, 60), AnyOf("tag", {0}),
                                            Operator(Kind::kAnd)};
  const auto exact = static_cast<double>(attributes.Compile(both)->CountSet());
  EXPECT_NEAR(*attributes.EstimateCount(both), exact, 0.1 * exact);
}

std::string ErrorOf(const absl::Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), field);
  return std::string(status.message());
}

TEST(ItemAttributesTest, ErrorsNameTheColumnTheValueAndTheRange) {
  Plain plain(10, 12);
  const auto owned = plain.Attributes();
  ItemAttributes& attributes = *owned;
  const auto compile = [&](std::vector<PredicateToken> predicate) {
    return attributes.Compile(predicate).status();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(ErrorOf(compile({AnyOf("colour", {1})}), "colour").find("price, tag"),
            std::string::npos);
  EXPECT_NE(ErrorOf(compile({AnyOf("price", {1})}), "price").find("range"),
            std::string::npos);
  ErrorOf(compile({InRange("tag", 0, 1)}), "tag");
  EXPECT_NE(ErrorOf(compile({InRange("price", 5, 1)}), "price").find("[5, 1]"),
            std::string::npos);
  EXPECT_NE(ErrorOf(compile({InRange("price", nan, 1)}), "price").find("NaN"),
            std::string::npos);
  ErrorOf(compile({}), "predicate tokens");
  ErrorOf(compile({Operator(Kind::kNot)}), "predicate");
  ErrorOf(compile({AnyOf("tag", {1}), Operator(Kind::kAnd)}), "predicate");
  ErrorOf(compile({AnyOf("tag", {1}), AnyOf("tag", {2})}), "predicate");
  EXPECT_NE(ErrorOf(attributes.SetRange("price", {10}, {1.0}), "ids").find("10"),
            std::string::npos);
  ErrorOf(attributes.SetRange("price", {3, 3}, {1.0, 2.0}), "ids");
  ErrorOf(attributes.SetRange("price", {3}, {1.0, 2.0}), "price");
  ErrorOf(attributes.AddRange("price", plain.prices), "price");
  const std::vector<int64_t> offsets = {0, 5};
  ErrorOf(attributes.SetTags("tag", {3}, {offsets, {}}), "tag");
}

}  // namespace
}  // namespace stepwell::index
