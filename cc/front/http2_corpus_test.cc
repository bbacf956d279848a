// The fuzzer's inputs as an ordinary test: none of the corpus breaks a connection.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace stepwell::front {
namespace {

TEST(Http2CorpusTest, NoInputBreaksTheConnection) {
  int num_files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("tests/fuzz/front_connection_corpus")) {
    SCOPED_TRACE(entry.path());
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                           bytes.size());
    ++num_files;
  }
  EXPECT_GE(num_files, 10);
}

}  // namespace
}  // namespace stepwell::front
