#include "cc/base/status_macros.h"

#include <memory>

#include "gtest/gtest.h"

namespace stepwell {
namespace {

absl::Status Fail(bool fail) {
  return fail ? absl::DataLossError("lost") : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<int>> Boxed(bool fail) {
  STEPWELL_RETURN_IF_ERROR(Fail(fail));
  return std::make_unique<int>(7);
}

absl::StatusOr<int> Twice(bool fail) {
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<int> box, Boxed(fail));
  STEPWELL_ASSIGN_OR_RETURN(auto second, Boxed(fail));
  return *box + *second;
}

TEST(StatusMacrosTest, AssignMovesTheValueOut) { EXPECT_EQ(*Twice(false), 14); }

TEST(StatusMacrosTest, ErrorsReturnEarlyAndUnchanged) {
  EXPECT_EQ(Twice(true).status(), absl::DataLossError("lost"));
}

}  // namespace
}  // namespace stepwell
