// How long opening a file of 1,000,000 x 64 int8 with float32 vectors takes, M = 16, in
// the page cache: mapping it, checking all of it with one thread and more, the whole
// HnswIndex::Open; and what of its memory two processes share.
//
//   bazel run -c opt //cc/index:index_file_benchmark
//
// The links are random: what a check of them costs does not depend on where they lead.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/index_file_view.h"
#include "cc/index/mapped_file.h"
#include "cc/index/new_index_file.h"

namespace stepwell::index {
namespace {

constexpr int64_t kNodes = 1'000'000, kDim = 64, kLinks = 16;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

class IndexFile {
 public:
  IndexFile() : path_("index_file_benchmark.idx") {
    std::vector<uint8_t> levels(kNodes);
    for (uint8_t& level : levels) {
      while (level < kMaxLevel && random_() % kLinks == 0) ++level;
    }
    IndexFileHeader header{.kind = IndexFileKind::kHnsw,
                           .metric = Metric::kCosine,
                           .dim = kDim,
                           .m = kLinks,
                           .ef_construction = 200,
                           .codes = CodeKind::kInt8,
                           .code_stride = kDim,
                           .num_nodes = kNodes,
                           .num_items = kNodes};
    header.num_upper_lists = std::accumulate(levels.begin(), levels.end(), int64_t{0});
    header.entry_node = 0;
    header.max_level = levels[0];
    auto file = *NewIndexFile::Create(path_, header);
    std::vector<int64_t> labels(kNodes);
    std::iota(labels.begin(), labels.end(), 0);
    Append(*file, IndexSection::kLabels, labels);
    Append(*file, IndexSection::kLevels, levels);
    Append(*file, IndexSection::kNodesByLabel,
           std::vector<uint32_t>(labels.begin(), labels.end()));
    AppendRandomLinks(*file, levels);
    Append(*file, IndexSection::kCodes, std::vector<char>(kNodes * kDim, 'c'));
    Append(*file, IndexSection::kVectors, std::vector<float>(kNodes * kDim, 0.125f));
    Check(file->Commit());
  }
  ~IndexFile() { std::remove(path_.c_str()); }

  const std::string& path() const { return path_; }

 private:
  template <typename T>
  void Append(NewIndexFile& file, IndexSection section, const std::vector<T>& values) {
    Check(file.AppendValues(section, absl::MakeConstSpan(values)));
  }

  void AppendRandomLinks(NewIndexFile& file, const std::vector<uint8_t>& levels) {
    std::vector<uint32_t> list(2 * kLinks);
    for (uint32_t node = 0; node < kNodes; ++node) {
      for (uint32_t& link : list) link = LinkFrom(node, 0, levels);
      Append(file, IndexSection::kBaseLinks, list);
    }
    list.resize(kLinks);
    for (uint32_t node = 0; node < kNodes; ++node) {
      for (int level = 1; level <= levels[node]; ++level) {
        for (uint32_t& link : list) link = LinkFrom(node, level, levels);
        Append(file, IndexSection::kUpperLinks, list);
      }
    }
  }

  // kNoNode where few nodes reach that level.
  uint32_t LinkFrom(uint32_t node, int level, const std::vector<uint8_t>& levels) {
    for (int attempt = 0; level < 4 && attempt < 100'000; ++attempt) {
      const auto to = static_cast<uint32_t>(random_() % kNodes);
      if (to != node && levels[to] >= level) return to;
    }
    return kNoNode;
  }

  std::mt19937 random_{1};
  const std::string path_;
};

const IndexFile& TheFile() {
  static const IndexFile kFile;
  return kFile;
}

void BM_CheckIndexFile(benchmark::State& state) {
  TheFile();
  int64_t bytes = 0;
  for (auto _ : state) {
    const auto mapped = *MappedFile::Open(TheFile().path());
    const auto view = *IndexFileView::Parse(mapped->bytes());
    if (state.range(0) > 0) {
      Check(CheckIndexFileContent(view, static_cast<int>(state.range(0))));
    }
    bytes += static_cast<int64_t>(mapped->bytes().size());
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_CheckIndexFile)
    ->ArgName("threads")
    ->Arg(0)
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

std::unique_ptr<HnswIndex> Opened() {
  HnswOpenOptions options;
  options.background = false;
  auto index = HnswIndex::Open(TheFile().path(), nullptr, options);
  Check(index.status());
  return *std::move(index);
}

void BM_OpenHnswIndex(benchmark::State& state) {
  TheFile();
  for (auto _ : state) benchmark::DoNotOptimize(Opened());
}
BENCHMARK(BM_OpenHnswIndex)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

// Of the mapped file, in MiB: `key` is Rss (pages in use) or Pss (those divided by the
// number of processes that use them).
double MappedMebibytes(const std::string& key) {
  std::ifstream maps("/proc/self/smaps");
  bool is_file = false;
  for (std::string word; maps >> word;) {
    if (word.find("index_file_benchmark.idx") != std::string::npos) is_file = true;
    if (!is_file || word != key + ":") continue;
    double kibibytes = 0;
    maps >> kibibytes;
    return kibibytes / 1024;
  }
  return 0;
}

// Another process has the file open meanwhile.
void BM_SharedWithAnotherProcess(benchmark::State& state) {
  int opened[2], done[2];
  TheFile();
  if (pipe(opened) != 0 || pipe(done) != 0) return state.SkipWithError("no pipe");
  const pid_t child = fork();
  char byte = 0;
  if (child == 0) {
    const auto index = Opened();
    const bool told = write(opened[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1;
    _exit(told ? 0 : 1);
  }
  const bool told = read(opened[0], &byte, 1) == 1;
  for (auto _ : state) {
    const auto index = Opened();
    state.counters["rss_MiB"] = MappedMebibytes("Rss");
    state.counters["pss_MiB"] = MappedMebibytes("Pss");
  }
  if (!told || write(done[1], &byte, 1) != 1) state.SkipWithError("no other process");
  waitpid(child, nullptr, 0);
}
BENCHMARK(BM_SharedWithAnotherProcess)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace stepwell::index
