// Bad files: damaged, cut, grown, and made by an enemy who can compute checksums.
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "cc/base/crc32c.h"
#include "cc/row_file/raw_header.h"
#include "cc/row_file/row_file.h"
#include "cc/row_file/row_file_writer.h"
#include "gtest/gtest.h"

namespace stepwell::row_file {
namespace {

constexpr uint64_t kBlockBytes = 128;

class RowFileDamageTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/row_file_damage_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    const std::vector<RowTable> tables = {
        {.name = "users", .num_rows = 10, .dim = 5, .default_row = 3},
        {.name = "items",
         .row_format = kernels::RowFormat::kInt8,
         .num_rows = 21,
         .dim = 9}};
    const auto writer = *RowFileWriter::Create(
        path_, tables, {.block_bytes = kBlockBytes, .alignment = 64});
    for (size_t i = 0; i < tables.size(); ++i) {
      ASSERT_TRUE(writer->Append(i, std::string(tables[i].Bytes(), 'a' + i)).ok());
    }
    ASSERT_TRUE(writer->Commit().ok());
    std::ifstream file(path_, std::ios::binary);
    good_.assign(std::istreambuf_iterator<char>(file), {});
    std::memcpy(&header_, good_.data(), sizeof(header_));
    lines_.resize(header_.num_tables);
    std::memcpy(lines_.data(), &good_[sizeof(header_)],
                lines_.size() * sizeof(RawTable));
  }

  absl::Status OpenBytes(const std::string& bytes, bool check_blocks = true) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return RowFile::Open(path_, {.check_blocks = check_blocks}).status();
  }

  void ExpectRefused(const std::string& bytes, const std::string& reason) {
    const absl::Status status = OpenBytes(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status << reason;
    EXPECT_NE(status.message().find(reason), absl::string_view::npos)
        << status << " for " << reason;
    EXPECT_EQ(status.message().find(path_), 0) << status;
  }

  // The good file with `header_` and `lines_` as they are now, the header's checksum
  // made right.
  std::string Sealed() {
    header_.header_crc32c = HeaderChecksum(header_, lines_);
    std::string bytes = good_;
    std::memcpy(bytes.data(), &header_, sizeof(header_));
    std::memcpy(&bytes[sizeof(header_)], lines_.data(),
                lines_.size() * sizeof(RawTable));
    return bytes;
  }

  std::string path_;
  std::string good_;
  RawHeader header_;
  std::vector<RawTable> lines_;
};

TEST_F(RowFileDamageTest, TheUnchangedFileOpensAndSealsToItself) {
  EXPECT_EQ(Sealed(), good_);
  EXPECT_TRUE(OpenBytes(good_).ok());
}

TEST_F(RowFileDamageTest, AFlippedBitInEveryByteIsFound) {
  for (size_t at = 0; at < good_.size(); ++at) {
    std::string bytes = good_;
    bytes[at] ^= static_cast<char>(1 << (at % 8));
    ASSERT_EQ(OpenBytes(bytes).code(), absl::StatusCode::kDataLoss) << at;
  }
}

TEST_F(RowFileDamageTest, ACutAtEveryByteIsFound) {
  for (size_t size = 0; size < good_.size(); ++size) {
    const absl::Status status = OpenBytes(good_.substr(0, size), size % 2 == 0);
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST_F(RowFileDamageTest, AppendedBytesAreFound) {
  for (const size_t size : {1, 64, 4096}) {
    ExpectRefused(good_ + std::string(size, '\0'), "its header says");
  }
}

TEST_F(RowFileDamageTest, ABadBlockIsNamedWithItsBytes) {
  std::string bytes = good_;
  const uint64_t begin = header_.payload_offset + 2 * kBlockBytes;
  bytes[begin + 5] ^= 1;
  ExpectRefused(bytes, "wrong checksum of block 2 of 6, bytes " +
                           std::to_string(begin) + " to " +
                           std::to_string(begin + kBlockBytes));
}

TEST_F(RowFileDamageTest, WithoutTheCheckABadBlockIsFoundWhenAskedFor) {
  std::string bytes = good_;
  bytes.back() ^= 1;
  ASSERT_TRUE(OpenBytes(bytes, /*check_blocks=*/false).ok());
  const auto file = *RowFile::Open(path_, {.check_blocks = false});
  EXPECT_EQ(file->CheckBlocks().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(file->view().CheckBlock(0).ok());
  EXPECT_FALSE(file->view().CheckBlock(5).ok());
}

TEST_F(RowFileDamageTest, CraftedHeadersAreRefused) {
  const RawHeader good = header_;
  const std::pair<std::function<void(RawHeader&)>, const char*> crafted[] = {
      {[](RawHeader& h) { h.file_bytes += 1; }, "its header says"},
      {[](RawHeader& h) { h.file_bytes = 0; }, "its header says"},
      {[](RawHeader& h) { h.payload_offset = ~uint64_t{0}; }, "payload at"},
      {[](RawHeader& h) { h.payload_offset += 64; }, "payload at"},
      {[](RawHeader& h) { h.num_blocks = 0; }, "0 blocks"},
      {[](RawHeader& h) { h.num_blocks = uint64_t{1} << 62; }, "blocks"},
      {[](RawHeader& h) { h.block_bytes = 0; }, "block_bytes is 0"},
      {[](RawHeader& h) { h.block_bytes = 96; }, "block_bytes is 96"},
      {[](RawHeader& h) { h.block_bytes = 64; }, ""},
      {[](RawHeader& h) { h.alignment = 0; }, "alignment is 0"},
      {[](RawHeader& h) { h.alignment = uint32_t{1} << 31; }, "alignment is"},
      {[](RawHeader& h) { h.alignment = 256; }, ""},
      {[](RawHeader& h) { h.reserved = 1; }, "reserved"},
      {[](RawHeader& h) { h.checksums_crc32c ^= 1; }, "checksum of the checksums"},
  };
  for (const auto& [change, reason] : crafted) {
    header_ = good;
    change(header_);
    ExpectRefused(Sealed(), reason);
  }
}

TEST_F(RowFileDamageTest, CountsOfTablesThatDoNotFitAreRefusedBeforeTheyAreRead) {
  for (const uint32_t count : {uint32_t{0xFFFFFFFF}, uint32_t{1} << 16, uint32_t{99}}) {
    header_.num_tables = count;
    ExpectRefused(Sealed(), "tables end beyond");
  }
  header_.num_tables = 0;
  lines_.clear();
  ExpectRefused(Sealed(), "tables has 0 entries");
}

TEST_F(RowFileDamageTest, CraftedTablesAreRefused) {
  const std::vector<RawTable> good = lines_;
  const std::pair<std::function<void(RawTable&)>, const char*> crafted[] = {
      {[](RawTable& t) { t.offset = ~uint64_t{0} - 63; }, "must lie at"},
      {[](RawTable& t) { t.offset = 0; }, "must lie at"},
      {[](RawTable& t) { t.offset += 64; }, "must lie at"},
      {[](RawTable& t) { t.num_rows = ~uint64_t{0}; }, "rows"},
      {[](RawTable& t) { t.num_rows = uint64_t{1} << 40; }, ""},
      {[](RawTable& t) { t.num_rows += 100; }, ""},
      {[](RawTable& t) { t.num_rows = 0; }, ""},
      {[](RawTable& t) { t.dim = 0; }, "dim 0"},
      {[](RawTable& t) { t.dim = 0xFFFFFFFF; }, "dim 4294967295"},
      {[](RawTable& t) { t.dim += 16; }, ""},
      {[](RawTable& t) { t.row_format = 5; }, "row format 5"},
      {[](RawTable& t) { t.row_format = 0xFFFFFFFF; }, "row format -1"},
      {[](RawTable& t) { t.default_row = 21; }, "default row 21"},
      {[](RawTable& t) { t.default_row = INT64_MIN; }, "default row -9223"},
      {[](RawTable& t) { t.name[0] = '\0'; }, "name"},
      {[](RawTable& t) { t.name[95] = 'x'; }, "after its name's end"},
      {[](RawTable& t) { std::memset(t.name, 0, sizeof(t.name)); }, "name of 0"},
      {[](RawTable& t) { t.name[1] = '\x7F'; }, "printable"},
      {[](RawTable& t) { t.name[1] = '\xC3'; }, "printable"},
  };
  for (const auto& [change, reason] : crafted) {
    for (size_t i = 0; i < good.size(); ++i) {
      lines_ = good;
      change(lines_[i]);
      ExpectRefused(Sealed(), reason);
    }
  }
  lines_ = {good[1], good[1]};
  ExpectRefused(Sealed(), "name of another one");
}

TEST_F(RowFileDamageTest, ANewerFormatIsNamedAndNotRead) {
  header_.version = 2;
  const absl::Status status = OpenBytes(Sealed());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("version 2"), absl::string_view::npos);
}

TEST_F(RowFileDamageTest, AnotherKindOfFileIsNamed) {
  ExpectRefused(std::string(500, 'x'), "wrong magic");
}

}  // namespace
}  // namespace stepwell::row_file
