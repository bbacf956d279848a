// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the reader.
#include <vector>

#include "cc/base/corpus_fixture.h"
#include "cc/index/fuzzed_graph.h"
#include "cc/index/index_file_view.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr char kFolder[] = "tests/fuzz/index_file_corpus";

TEST(IndexFileCorpusTest, NoInputBreaksTheReader) { FuzzCorpus(kFolder, 7); }

// Otherwise a change of the format would leave the fuzzer with nothing to start from.
TEST(IndexFileCorpusTest, WhatIsNamedGoodIsAcceptedWhole) {
  const std::vector<CorpusFile> files = ReadGoodFiles(kFolder);
  EXPECT_GE(files.size(), 7u);
  for (const CorpusFile& file : files) {
    SCOPED_TRACE(file.name);
    const AlignedCopy copy(file.bytes);
    const auto view = IndexFileView::Parse(copy.bytes());
    ASSERT_TRUE(view.ok()) << view.status();
    const absl::Status status = CheckIndexFileContent(*view, 1);
    EXPECT_TRUE(status.ok()) << status;
  }
}

}  // namespace
}  // namespace stepwell::index
