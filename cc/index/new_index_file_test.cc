#include "cc/index/new_index_file.h"

#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "cc/index/index_file_sample.h"
#include "cc/index/index_file_view.h"
#include "cc/index/mapped_file.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

class NewIndexFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/new_index_file_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::remove(path_.c_str()); }

  // Writes the sections of a sample in pieces of so many bytes.
  absl::Status Rewrite(const std::string& sample, size_t piece_bytes) {
    const auto view = *IndexFileView::Parse(sample);
    auto file = *NewIndexFile::Create(path_, view.header());
    for (size_t i = 0; i < kNumIndexSections; ++i) {
      const auto section = static_cast<IndexSection>(i);
      absl::Span<const char> bytes = view.bytes(section);
      while (!bytes.empty()) {
        const absl::Span<const char> piece = bytes.subspan(0, piece_bytes);
        absl::Status status = file->Append(section, piece);
        if (!status.ok()) return status;
        bytes.remove_prefix(piece.size());
      }
    }
    return file->Commit();
  }

  std::string Written() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string path_;
};

TEST_F(NewIndexFileTest, BytesDoNotDependOnThePieces) {
  for (const SampleOptions& options :
       {SampleOptions{}, {.kind = IndexFileKind::kFlat, .dim = 1}, {.num_nodes = 0}}) {
    const std::string sample = SampleIndexFile(options);
    for (size_t piece : {size_t{1}, size_t{100}, size_t{256}, size_t{1} << 20}) {
      const absl::Status status = Rewrite(sample, piece);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(Written(), sample);
    }
  }
}

TEST_F(NewIndexFileTest, AFileOfManyHugePagesIsWhole) {
  SampleOptions options{.num_nodes = 12'000, .dim = 64, .block_bytes = 4096};
  const std::string sample = SampleIndexFile(options);
  ASSERT_GT(sample.size(), size_t{4} << 20);
  ASSERT_TRUE(Rewrite(sample, 10'000).ok());
  const auto mapped = *MappedFile::Open(path_);
  const auto view = *IndexFileView::Parse(mapped->bytes());
  const absl::Status status = CheckIndexFileContent(view, 2);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Written(), sample);
}

TEST_F(NewIndexFileTest, ASectionThatIsIncompleteOrTooLongIsNeverPublished) {
  const IndexFileHeader header = SampleHeader({});
  const std::string labels(header.num_nodes * 8, '\0');
  {
    auto file = *NewIndexFile::Create(path_, header);
    ASSERT_TRUE(file->Append(IndexSection::kLabels, labels).ok());
    EXPECT_EQ(file->Commit().code(), absl::StatusCode::kInternal);
    EXPECT_EQ(file->Append(IndexSection::kLabels, "x").code(),
              absl::StatusCode::kInternal);
    EXPECT_EQ(file->Append(IndexSection::kVectors, "x").code(),
              absl::StatusCode::kInternal);
  }
  EXPECT_FALSE(std::ifstream(path_).good());
}

TEST_F(NewIndexFileTest, AHeaderThatNoReaderTakesIsRefused) {
  IndexFileHeader header = SampleHeader({});
  header.m = 1;
  EXPECT_EQ(NewIndexFile::Create(path_, header).status().code(),
            absl::StatusCode::kInternal);
}

TEST_F(NewIndexFileTest, WhatCannotBeMappedIsNamed) {
  const absl::Status none = MappedFile::Open(path_).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(none.message().find(path_), absl::string_view::npos);
  EXPECT_EQ(MappedFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kDataLoss);
  std::ofstream(path_).flush();
  EXPECT_EQ(MappedFile::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  std::remove(path_.c_str());
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(NewIndexFileTest, AMappedFileKeepsItsBytesWhenAnotherTakesTheName) {
  const std::string sample = SampleIndexFile({});
  ASSERT_TRUE(Rewrite(sample, 1000).ok());
  const auto mapped = *MappedFile::Open(path_);
  ASSERT_TRUE(Rewrite(SampleIndexFile({.dim = 9}), 1000).ok());
  EXPECT_EQ(absl::string_view(mapped->bytes().data(), mapped->bytes().size()), sample);
}

}  // namespace
}  // namespace stepwell::index
