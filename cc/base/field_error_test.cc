#include "cc/base/field_error.h"

#include "gtest/gtest.h"

namespace stepwell {
namespace {

TEST(FieldErrorTest, RangeErrorNamesFieldValueAndRange) {
  const absl::Status status = CheckRange("k", 0, 1, 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "k is 0, must be in [1, 10]");
  EXPECT_EQ(FieldOf(status), "k");
}

TEST(FieldErrorTest, BothEndsOfTheRangeAreAllowed) {
  EXPECT_TRUE(CheckRange("k", 1, 1, 10).ok());
  EXPECT_TRUE(CheckRange("k", 10, 1, 10).ok());
  EXPECT_FALSE(CheckRange("k", 11, 1, 10).ok());
}

TEST(FieldErrorTest, OtherStatusesNameNoField) {
  EXPECT_EQ(FieldOf(absl::OkStatus()), "");
  EXPECT_EQ(FieldOf(absl::DataLossError("lost")), "");
}

}  // namespace
}  // namespace stepwell
