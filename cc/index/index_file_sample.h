// Small index files for tests and for the fuzzer, whole ones and mended ones.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_SAMPLE_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_SAMPLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/index/index_file_format.h"

namespace stepwell::index {

// A graph that a reader takes, in small blocks. Node i has level i % 3; labels descend.
// With `has_free_nodes` every seventh node is a free place, the one before it dead.
struct SampleOptions {
  IndexFileKind kind = IndexFileKind::kHnsw;
  Metric metric = Metric::kCosine;
  CodeKind codes = CodeKind::kInt8;
  bool keep_vectors = true;
  bool has_free_nodes = false;
  int64_t num_nodes = 40;
  int64_t dim = 5;
  int64_t m = 3;
  uint32_t block_bytes = 256;
};

IndexFileHeader SampleHeader(const SampleOptions& options);

// The bytes of such a file.
std::string SampleIndexFile(const SampleOptions& options);

// Makes every checksum right that the header gives a place to, and the size in the
// header: what stays wrong is the content.
void MendIndexFile(std::string& file);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_SAMPLE_H_
