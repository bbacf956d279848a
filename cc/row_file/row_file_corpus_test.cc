// The fuzzer's inputs as an ordinary test: no file of the corpus breaks the reader.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cc/row_file/row_file_view.h"
#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace stepwell::row_file {
namespace {

std::vector<std::filesystem::path> Corpus() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator("tests/fuzz/row_file_corpus")) {
    files.push_back(entry.path());
  }
  return files;
}

std::string BytesOf(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(RowFileCorpusTest, NoInputBreaksTheReader) {
  for (const auto& file : Corpus()) {
    SCOPED_TRACE(file);
    const std::string bytes = BytesOf(file);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                           bytes.size());
  }
}

// Otherwise a change of the format would leave the fuzzer with nothing to start from.
TEST(RowFileCorpusTest, WhatIsNamedGoodIsAcceptedWhole) {
  int num_good = 0;
  for (const auto& file : Corpus()) {
    if (file.filename().string().rfind("good_", 0) != 0) continue;
    SCOPED_TRACE(file);
    const std::string bytes = BytesOf(file);
    const auto view = RowFileView::Parse(bytes);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_TRUE(view->CheckBlocks().ok());
    ++num_good;
  }
  EXPECT_GE(num_good, 3);
}

}  // namespace
}  // namespace stepwell::row_file
