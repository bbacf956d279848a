// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the reader.
#include <vector>

#include "cc/base/corpus_fixture.h"
#include "cc/row_file/row_file_view.h"
#include "gtest/gtest.h"

namespace stepwell::row_file {
namespace {

constexpr char kFolder[] = "tests/fuzz/row_file_corpus";

TEST(RowFileCorpusTest, NoInputBreaksTheReader) { FuzzCorpus(kFolder, 3); }

// Otherwise a change of the format would leave the fuzzer with nothing to start from.
TEST(RowFileCorpusTest, WhatIsNamedGoodIsAcceptedWhole) {
  const std::vector<CorpusFile> files = ReadGoodFiles(kFolder);
  EXPECT_GE(files.size(), 3u);
  for (const CorpusFile& file : files) {
    SCOPED_TRACE(file.name);
    const auto view = RowFileView::Parse(file.bytes);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_TRUE(view->CheckBlocks().ok());
  }
}

}  // namespace
}  // namespace stepwell::row_file
