// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the import.
#include <vector>

#include "cc/base/corpus_fixture.h"
#include "cc/index/hnswlib_import.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr char kFolder[] = "tests/fuzz/hnswlib_corpus";

TEST(HnswlibCorpusTest, NoInputBreaksTheImport) { FuzzCorpus(kFolder, 3); }

TEST(HnswlibCorpusTest, WhatIsNamedGoodIsTakenOver) {
  const std::vector<CorpusFile> files = ReadGoodFiles(kFolder);
  EXPECT_GE(files.size(), 3u);
  for (const CorpusFile& file : files) {
    SCOPED_TRACE(file.name);
    const auto graph = ReadHnswlibGraph(file.bytes, {.dim = 3, .metric = Metric::kL2});
    EXPECT_TRUE(graph.ok()) << graph.status();
  }
}

}  // namespace
}  // namespace stepwell::index
