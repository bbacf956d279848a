// The files that a fuzzer starts from or has found, for an ordinary test.
//
// Such a test is linked with the fuzzer's own source file, so that every input runs in
// every build: without clang, and with the kernels that clang leaves out.
#ifndef STEPWELL_CC_BASE_CORPUS_FIXTURE_H_
#define STEPWELL_CC_BASE_CORPUS_FIXTURE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace stepwell {

struct CorpusFile {
  std::string name;
  std::string bytes;
};

// Returns the files of `folder` by name. What a fuzzer has found is called otherwise
// than `good_*`, which is whole.
inline std::vector<CorpusFile> ReadCorpus(const std::filesystem::path& folder,
                                          const std::string& prefix = "") {
  std::vector<CorpusFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    files.push_back({name, {std::istreambuf_iterator<char>(stream), {}}});
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

inline std::vector<CorpusFile> ReadGoodFiles(const std::filesystem::path& folder) {
  return ReadCorpus(folder, "good_");
}

// Hands every file of `folder` to the fuzzer of this program; an input that breaks it
// ends the program. Fewer files than `min_files` fail the test: a folder that is not
// where it was would otherwise pass it.
inline void FuzzCorpus(const std::filesystem::path& folder, size_t min_files) {
  const std::vector<CorpusFile> files = ReadCorpus(folder);
  EXPECT_GE(files.size(), min_files);
  for (const CorpusFile& file : files) {
    SCOPED_TRACE(file.name);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(file.bytes.data()),
                           file.bytes.size());
  }
}

}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_CORPUS_FIXTURE_H_
