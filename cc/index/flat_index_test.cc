#include "cc/index/flat_index.h"

#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace {

// Larger allocations of this thread fail.
thread_local size_t largest_allocation = std::numeric_limits<size_t>::max();

}  // namespace

void* operator new(size_t size) {
  if (size > largest_allocation) throw std::bad_alloc();
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 64, kItems = 1'000;
// Less than the vectors and than a large answer, more than anything else needs.
constexpr size_t kLittle = 100'000;

// Row i is i + 1 in every dimension.
std::vector<float> Rows(int64_t first, int64_t n) {
  std::vector<float> rows;
  for (int64_t i = first; i < first + n; ++i) {
    rows.insert(rows.end(), kDim, static_cast<float>(i + 1));
  }
  return rows;
}

std::unique_ptr<FlatIndex> Built() {
  std::vector<int64_t> ids(kItems);
  std::iota(ids.begin(), ids.end(), 0);
  return *FlatIndex::Build(Rows(0, kItems), ids, {.dim = kDim});
}

template <typename Call>
absl::StatusCode WithLittleMemory(Call call) {
  largest_allocation = kLittle;
  const absl::StatusCode code = call();
  largest_allocation = std::numeric_limits<size_t>::max();
  return code;
}

TEST(FlatIndexTest, AWriteThatMemoryIsOutForChangesNothing) {
  const auto index = Built();
  const std::vector<float> row = Rows(kItems, 1);
  EXPECT_EQ(WithLittleMemory([&] { return index->Upsert(row, {kItems}).code(); }),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(index->Stats().num_items, kItems);
  EXPECT_EQ(index->Search(row, 1, {})->ids[0], kItems - 1);
  EXPECT_TRUE(index->Upsert(row, {kItems}).ok());
  EXPECT_EQ(index->Search(row, 1, {})->ids[0], kItems);
}

TEST(FlatIndexTest, ASearchThatMemoryIsOutForIsRefused) {
  const auto index = Built();
  const std::vector<float> row = Rows(0, 1);
  const std::vector<float> rows = Rows(0, 10);
  const auto large = [&] { return index->Search(rows, kMaxK, {}).status().code(); };
  const auto small = [&] { return index->Search(row, 10, {}).status().code(); };
  EXPECT_EQ(WithLittleMemory(small), absl::StatusCode::kOk);
  EXPECT_EQ(WithLittleMemory(large), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace stepwell::index
