// The fuzzer's inputs as an ordinary test: none of the corpus breaks a connection.
#include "cc/base/corpus_fixture.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

TEST(Http2CorpusTest, NoInputBreaksTheConnection) {
  FuzzCorpus("tests/fuzz/front_connection_corpus", 10);
}

}  // namespace
}  // namespace stepwell::front
