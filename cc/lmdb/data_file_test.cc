#include "cc/lmdb/data_file.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "cc/lmdb/environment.h"
#include "gtest/gtest.h"

namespace stepwell::lmdb {
namespace {

namespace fs = std::filesystem;
constexpr int kPageBytes = 4'096;

class DataFileTest : public testing::Test {
 protected:
  DataFileTest() : folder_(fs::path(testing::TempDir()) / "data_file_test") {
    fs::remove_all(folder_);
  }

  fs::path file() const { return fs::path(folder_) / "data.mdb"; }

  void Write(int num_keys, size_t value_bytes) {
    auto environment = Environment::Open(folder_, {.map_size_bytes = 1 << 26});
    ASSERT_TRUE(environment.ok()) << environment.status();
    Table table = 0;
    const char* const name = "rows";
    ASSERT_TRUE((*environment)->OpenTables({&name, 1}, &table).ok());
    auto transaction = Transaction::Begin(**environment, Transaction::Kind::kWrite);
    ASSERT_TRUE(transaction.ok());
    for (int i = 0; i < num_keys; ++i) {
      const std::string key = "key-" + std::to_string(i);
      ASSERT_TRUE(transaction->Put(table, key, std::string(value_bytes, 'x')).ok());
    }
    ASSERT_TRUE(transaction->Commit().ok());
  }

  absl::Status Open() {
    return Environment::Open(folder_, {.map_size_bytes = 1 << 26}).status();
  }

  const std::string folder_;
};

TEST_F(DataFileTest, AFolderWithoutAFileIsNew) {
  fs::create_directories(folder_);
  EXPECT_TRUE(CheckDataFile(folder_).ok());
}

TEST_F(DataFileTest, EveryCutThatTakesAPageInUseIsSaidAtOpening) {
  // Small values lie in the tree, large ones in pages beside it.
  for (const size_t value_bytes : {100, 9'000}) {
    fs::remove_all(folder_);
    Write(300, value_bytes);
    const auto size = static_cast<int64_t>(fs::file_size(file()));
    ASSERT_TRUE(CheckDataFile(folder_).ok());
    for (int64_t cut = size - 3 * kPageBytes; cut > 0; cut -= size / 7) {
      fs::resize_file(file(), cut);
      EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss) << cut << " of " << size;
    }
  }
}

TEST_F(DataFileTest, AFileWithoutItsLastPagesIsWholeWhenNothingNeedsThem) {
  Write(10, 100);
  // As after a transaction that took pages at the end and gave them back.
  std::FILE* opened = std::fopen(file().c_str(), "r+");
  for (const long meta : {0L, long{kPageBytes}}) {
    const uint64_t last_page = 1'000;
    ASSERT_EQ(std::fseek(opened, meta + 16 + 120, SEEK_SET), 0);
    ASSERT_EQ(std::fwrite(&last_page, sizeof(last_page), 1, opened), 1u);
  }
  std::fclose(opened);
  EXPECT_TRUE(CheckDataFile(folder_).ok()) << CheckDataFile(folder_);
}

TEST_F(DataFileTest, AFileOfAnotherKindIsDataLoss) {
  Write(1, 1);
  std::FILE* opened = std::fopen(file().c_str(), "r+");
  std::fseek(opened, 16, SEEK_SET);
  std::fwrite("no!!", 4, 1, opened);
  std::fclose(opened);
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace stepwell::lmdb
