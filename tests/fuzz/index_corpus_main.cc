// Writes the good files of the fuzzers of index files and of the import from hnswlib.
//
//   bazel run //tests/fuzz:index_corpus_main -- $PWD/tests/fuzz
//
// Run it after a change of the file format. What the fuzzers found is not made by this
// program; it stays in the folders as it is.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "cc/index/index_file_sample.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "hnswlib/hnswlib.h"
#pragma GCC diagnostic pop

namespace stepwell::index {
namespace {

// Few nodes and small blocks: the fuzzer is fast on short inputs only.
SampleOptions Small() {
  SampleOptions options;
  options.num_nodes = 6;
  options.dim = 3;
  options.m = 2;
  options.block_bytes = 128;
  return options;
}

void WriteIndexFiles(const std::string& folder) {
  SampleOptions flat = Small(), floats = Small(), halves = Small(), norms = Small();
  SampleOptions gaps = Small(), empty = Small();
  flat.kind = IndexFileKind::kFlat;
  floats.codes = CodeKind::kFloat32;
  halves.codes = CodeKind::kBfloat16;
  halves.keep_vectors = false;
  norms.metric = Metric::kL2;
  gaps.has_free_nodes = true;
  gaps.num_nodes = 14;
  empty.num_nodes = 0;
  const std::pair<const char*, SampleOptions> files[] = {
      {"flat", flat},   {"float32", floats}, {"bfloat16", halves}, {"int8", Small()},
      {"norms", norms}, {"gaps", gaps},      {"empty", empty}};
  for (const auto& [name, options] : files) {
    std::ofstream(folder + "/good_" + name, std::ios::binary)
        << SampleIndexFile(options);
  }
}

void WriteHnswlibFiles(const std::string& folder) {
  hnswlib::L2Space space(3);
  hnswlib::HierarchicalNSW<float>(&space, 4, 2, 10).saveIndex(folder + "/good_empty");
  hnswlib::HierarchicalNSW<float> graph(&space, 12, 2, 10);
  for (size_t label = 0; label < 12; ++label) {
    const auto x = static_cast<float>(label);
    const float vector[3] = {x, 1.0f, x * x / 8};
    graph.addPoint(vector, label);
  }
  graph.saveIndex(folder + "/good_levels");
  graph.markDelete(5);
  graph.saveIndex(folder + "/good_deleted");
}

}  // namespace
}  // namespace stepwell::index

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  stepwell::index::WriteIndexFiles(folder + "/index_file_corpus");
  stepwell::index::WriteHnswlibFiles(folder + "/hnswlib_corpus");
  return 0;
}
