// The fuzzer's inputs as an ordinary test: none of the corpus breaks what reads them.
#include "cc/base/corpus_fixture.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

TEST(WireCorpusTest, NoInputBreaksWhatReadsIt) {
  FuzzCorpus("tests/fuzz/front_wire_corpus", 5);
}

}  // namespace
}  // namespace stepwell::front
