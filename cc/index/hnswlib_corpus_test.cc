// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the import.
#include "cc/index/fuzz_corpus.h"
#include "cc/index/hnswlib_import.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr char kFolder[] = "tests/fuzz/hnswlib_corpus";

TEST(HnswlibCorpusTest, NoInputBreaksTheImport) {
  for (const CorpusFile& file : ReadCorpus(kFolder)) {
    SCOPED_TRACE(file.name);
    Fuzz(file);
  }
}

TEST(HnswlibCorpusTest, WhatIsNamedGoodIsTakenOver) {
  int num_good = 0;
  for (const CorpusFile& file : ReadCorpus(kFolder)) {
    if (!file.is_good()) continue;
    SCOPED_TRACE(file.name);
    const auto graph = ReadHnswlibGraph(file.bytes, {.dim = 3, .metric = Metric::kL2});
    EXPECT_TRUE(graph.ok()) << graph.status();
    ++num_good;
  }
  EXPECT_GE(num_good, 3);
}

}  // namespace
}  // namespace stepwell::index
