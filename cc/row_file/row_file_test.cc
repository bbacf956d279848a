// What is written is read again; refusals of the writer; files that are replaced.
#include "cc/row_file/row_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "cc/row_file/row_file_writer.h"
#include "gtest/gtest.h"

namespace stepwell::row_file {
namespace {

using kernels::RowFormat;

constexpr BlockOptions kSmallBlocks{.block_bytes = 64, .alignment = 64};

std::string PathOf(const char* name) { return testing::TempDir() + "/" + name; }

// Rows that differ from table to table and from byte to byte.
std::string RowsOf(const RowTable& table, uint64_t seed) {
  std::string rows(table.Bytes(), '\0');
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<char>((i + seed) * 2654435761u >> 13);
  }
  return rows;
}

void Write(const std::string& path, const std::vector<RowTable>& tables,
           const BlockOptions& options = {}, uint64_t seed = 1) {
  auto writer = RowFileWriter::Create(path, tables, options);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (size_t i = 0; i < tables.size(); ++i) {
    ASSERT_TRUE((*writer)->Append(i, RowsOf(tables[i], seed + i)).ok());
  }
  const absl::Status status = (*writer)->Commit();
  ASSERT_TRUE(status.ok()) << status;
}

void ExpectHolds(const RowFile& file, const std::vector<RowTable>& tables,
                 uint64_t seed = 1) {
  const RowFileView& view = file.view();
  ASSERT_EQ(view.tables().size(), tables.size());
  for (size_t i = 0; i < tables.size(); ++i) {
    const RowTable& table = view.tables()[i];
    EXPECT_EQ(table.name, tables[i].name);
    EXPECT_EQ(table.row_format, tables[i].row_format);
    EXPECT_EQ(table.num_rows, tables[i].num_rows);
    EXPECT_EQ(table.dim, tables[i].dim);
    EXPECT_EQ(table.default_row, tables[i].default_row);
    const absl::Span<const char> rows = view.TableBytes(i);
    EXPECT_EQ(std::string(rows.begin(), rows.end()), RowsOf(tables[i], seed + i)) << i;
  }
}

std::vector<RowTable> TablesOfEveryFormat() {
  return {
      {.name = "a", .row_format = RowFormat::kFloat32, .num_rows = 3, .dim = 5},
      {.name = "empty", .row_format = RowFormat::kInt8, .num_rows = 0, .dim = 1},
      {.name = "b", .row_format = RowFormat::kFloat16, .num_rows = 7, .dim = 9},
      {.name = "c", .row_format = RowFormat::kBfloat16, .num_rows = 1, .dim = 1},
      {.name = "user id",
       .row_format = RowFormat::kInt8,
       .num_rows = 40,
       .dim = 13,
       .default_row = 39},
      {.name = std::string(kMaxNameBytes, 'n'),
       .row_format = RowFormat::kInt4,
       .num_rows = 11,
       .dim = 7,
       .default_row = 0},
      {.name = "last", .row_format = RowFormat::kInt4, .num_rows = 0, .dim = 3},
  };
}

TEST(RowFileTest, TablesOfEveryFormatComeBackWithEveryBlockSize) {
  const std::string path = PathOf("every_format");
  for (const BlockOptions& options :
       {BlockOptions{}, kSmallBlocks, BlockOptions{.block_bytes = 4096},
        BlockOptions{.block_bytes = 128, .alignment = uint64_t{2} << 20}}) {
    Write(path, TablesOfEveryFormat(), options);
    const auto file = RowFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectHolds(**file, TablesOfEveryFormat());
  }
}

TEST(RowFileTest, AFileOfNothingButEmptyTablesOpens) {
  const std::string path = PathOf("empty");
  Write(path, {{.name = "a", .num_rows = 0, .dim = 4}});
  const auto file = RowFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->view().payload().empty());
  EXPECT_EQ((*file)->view().num_blocks(), 0);
}

TEST(RowFileTest, RowsAppendedInPiecesMakeTheSameFile) {
  // Longer than one write of 2 MiB, and pieces that end nowhere near a block.
  const std::vector<RowTable> tables = {
      {.name = "a", .row_format = RowFormat::kInt8, .num_rows = 20'011, .dim = 120},
      {.name = "b", .row_format = RowFormat::kInt8, .num_rows = 17'001, .dim = 120}};
  const std::string whole = PathOf("whole"), pieces = PathOf("pieces");
  Write(whole, tables);
  const auto writer = *RowFileWriter::Create(pieces, tables);
  for (size_t i = 0; i < tables.size(); ++i) {
    const std::string rows = RowsOf(tables[i], 1 + i);
    const size_t step = tables[i].RowBytes() * 997;
    for (size_t at = 0; at < rows.size(); at += step) {
      ASSERT_TRUE(writer->Append(i, absl::string_view(rows).substr(at, step)).ok());
    }
  }
  ASSERT_TRUE(writer->Commit().ok());
  std::ifstream a(whole, std::ios::binary), b(pieces, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(a), {}),
            std::string(std::istreambuf_iterator<char>(b), {}));
  ExpectHolds(**RowFile::Open(pieces), tables);
}

TEST(RowFileTest, AReplacedFileServesItsOldBytesAndANewOpenTheNewOnes) {
  const std::string path = PathOf("replaced");
  const std::vector<RowTable> tables = {{.name = "a", .num_rows = 2'000, .dim = 3}};
  Write(path, tables, {}, 1);
  const auto older = *RowFile::Open(path);
  Write(path, tables, {}, 2);
  const auto newer = *RowFile::Open(path);
  ExpectHolds(*older, tables, 1);
  ExpectHolds(*newer, tables, 2);
}

TEST(RowFileTest, TablesStartAtMultiplesOfTheAlignmentInMemoryToo) {
  const std::string path = PathOf("aligned");
  Write(path, TablesOfEveryFormat());
  const auto file = *RowFile::Open(path);
  for (size_t i = 0; i < file->view().tables().size(); ++i) {
    const char* rows = file->view().payload().data() + file->view().OffsetInPayload(i);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(rows) % 4096, 0) << i;
  }
}

TEST(RowFileTest, WhatIsNoFileIsNamed) {
  const std::string missing = PathOf("missing");
  const absl::Status status = RowFile::Open(missing).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find(missing), absl::string_view::npos) << status;
  EXPECT_EQ(RowFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kDataLoss);
  const std::string pipe = PathOf("pipe");
  unlink(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(RowFile::Open(pipe).status().code(), absl::StatusCode::kDataLoss);
  std::ofstream(PathOf("nothing")).flush();
  EXPECT_EQ(RowFile::Open(PathOf("nothing")).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(RowFileWriterTest, TablesOutOfLimitsAreRefusedAndNamed) {
  const RowTable good{.name = "a", .num_rows = 1, .dim = 1};
  const auto refused = [&](auto change, const char* reason) {
    RowTable table = good;
    change(table);
    const absl::Status status = CheckTables({good, table});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << reason;
    EXPECT_NE(status.message().find(reason), absl::string_view::npos) << status;
  };
  refused([](RowTable&) {}, "table 1 has the name of another one: a");
  refused([](RowTable& t) { t.name = ""; }, "table 1 has a name of 0 bytes");
  refused([](RowTable& t) { t.name = std::string(97, 'a'); }, "name of 97 bytes");
  refused([](RowTable& t) { t.name = "line\nend"; }, "printable");
  refused([](RowTable& t) { t.name = "b", t.dim = 0; }, "dim 0");
  refused([](RowTable& t) { t.name = "b", t.dim = kMaxDim + 1; }, "dim 16777217");
  refused([](RowTable& t) { t.name = "b", t.num_rows = ~uint64_t{0}; }, "rows");
  refused([](RowTable& t) { t.name = "b", t.num_rows = uint64_t{1} << 46; }, "beyond");
  refused([](RowTable& t) { t.name = "b", t.default_row = 1; }, "default row 1");
  refused([](RowTable& t) { t.name = "b", t.default_row = -2; }, "default row -2");
  refused([](RowTable& t) { t.name = "b", t.row_format = RowFormat{5}; }, "format 5");
  refused([](RowTable& t) { t.name = "b", t.row_format = RowFormat{-1}; }, "format -1");
  EXPECT_FALSE(CheckTables({}).ok());
}

TEST(RowFileWriterTest, BlockSizesThatAreNoPowerOfTwoInRangeAreRefused) {
  const std::vector<RowTable> tables = {{.name = "a", .num_rows = 1, .dim = 1}};
  for (const BlockOptions& options :
       {BlockOptions{.block_bytes = 0}, BlockOptions{.block_bytes = 32},
        BlockOptions{.block_bytes = 100},
        BlockOptions{.block_bytes = uint64_t{2} << 30}, BlockOptions{.alignment = 0},
        BlockOptions{.alignment = 4 << 20}}) {
    EXPECT_EQ(RowFileWriter::Create(PathOf("bad"), tables, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(RowFileWriterTest, RowsOutOfOrderOrOfTheWrongSizeAreRefused) {
  const std::string path = PathOf("order");
  const std::vector<RowTable> tables = {{.name = "a", .num_rows = 2, .dim = 1},
                                        {.name = "b", .num_rows = 1, .dim = 2}};
  const auto writer = *RowFileWriter::Create(path, tables);
  const std::string bytes(64, 'x');
  const auto code = [&](size_t table, size_t size) {
    return writer->Append(table, {bytes.data(), size}).code();
  };
  EXPECT_EQ(code(1, 8), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(0, 3), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, 12), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(2, 4), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, 4), absl::StatusCode::kOk);
  EXPECT_EQ(writer->Commit().message(), "table 0 (a) has 1 of its 2 rows");
  EXPECT_EQ(code(0, 4), absl::StatusCode::kOk);
  EXPECT_EQ(code(0, 4), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(1, 8), absl::StatusCode::kOk);
  EXPECT_FALSE(std::ifstream(path).good());
  EXPECT_TRUE(writer->Commit().ok());
  EXPECT_EQ(writer->Commit().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(1, 0), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(RowFile::Open(path).ok());
}

}  // namespace
}  // namespace stepwell::row_file
