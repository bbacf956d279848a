// The files that a fuzzer starts from, for an ordinary test.
#ifndef STEPWELL_CC_INDEX_FUZZ_CORPUS_H_
#define STEPWELL_CC_INDEX_FUZZ_CORPUS_H_

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace stepwell::index {

struct CorpusFile {
  std::string name;
  std::string bytes;
  // Whole, and not what a fuzzer has found.
  bool is_good() const { return name.rfind("good_", 0) == 0; }
};

inline std::vector<CorpusFile> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<CorpusFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream stream(entry.path(), std::ios::binary);
    files.push_back({entry.path().filename().string(),
                     {std::istreambuf_iterator<char>(stream), {}}});
  }
  return files;
}

inline void Fuzz(const CorpusFile& file) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(file.bytes.data()),
                         file.bytes.size());
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_FUZZ_CORPUS_H_
