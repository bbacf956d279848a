// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the reader.
#include "cc/index/fuzz_corpus.h"
#include "cc/index/fuzzed_graph.h"
#include "cc/index/index_file_view.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr char kFolder[] = "tests/fuzz/index_file_corpus";

TEST(IndexFileCorpusTest, NoInputBreaksTheReader) {
  for (const CorpusFile& file : ReadCorpus(kFolder)) {
    SCOPED_TRACE(file.name);
    Fuzz(file);
  }
}

// Otherwise a change of the format would leave the fuzzer with nothing to start from.
TEST(IndexFileCorpusTest, WhatIsNamedGoodIsAcceptedWhole) {
  int num_good = 0;
  for (const CorpusFile& file : ReadCorpus(kFolder)) {
    if (!file.is_good()) continue;
    SCOPED_TRACE(file.name);
    const AlignedCopy copy(file.bytes);
    const auto view = IndexFileView::Parse(copy.bytes());
    ASSERT_TRUE(view.ok()) << view.status();
    const absl::Status status = CheckIndexFileContent(*view, 1);
    EXPECT_TRUE(status.ok()) << status;
    ++num_good;
  }
  EXPECT_GE(num_good, 7);
}

}  // namespace
}  // namespace stepwell::index
