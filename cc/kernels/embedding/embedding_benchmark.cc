#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/row_format.h"

// The forward pass alone, on one thread and in huge pages, for each row format.
namespace stepwell::kernels {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int kNumIndexSets = 8;  // so that no cache holds the rows of the next call

struct Sizes {
  int64_t num_tables;
  int64_t num_rows;
  int64_t dim;
  int64_t batch;
  int64_t length;
};

constexpr Sizes kLongBags = {8, 1'000'000, 128, 256, 20};
constexpr Sizes kUnitBags = {26, 100'000, 64, 256, 1};
constexpr Sizes kOneSample = {26, 100'000, 64, 1, 1};

// Tables side by side in memory that asks for huge pages, and random lookups in them.
class Lookups {
 public:
  Lookups(const Sizes& sizes, RowFormat format) : sizes_(sizes) {
    const int64_t table_bytes =
        (sizes.num_rows * RowBytes(format, sizes.dim) + 63) / 64 * 64;
    num_bytes_ = sizes.num_tables * table_bytes + kHugePage;
    memory_ = mmap(nullptr, num_bytes_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) return;
    madvise(memory_, num_bytes_, MADV_HUGEPAGE);
    // Touched, and harmless numbers in every format.
    std::memset(memory_, 1, num_bytes_);
    uint8_t* rows = static_cast<uint8_t*>(memory_);
    rows += -reinterpret_cast<uintptr_t>(rows) & (kHugePage - 1);
    for (int64_t t = 0; t < sizes.num_tables; ++t) {
      tables_.push_back({rows + t * table_bytes, sizes.num_rows, sizes.dim,
                         t * sizes.dim, format, -1});
    }
    FillIndices();
    output_.resize(sizes.batch * sizes.num_tables * sizes.dim);
  }
  Lookups(const Lookups&) = delete;
  Lookups& operator=(const Lookups&) = delete;
  ~Lookups() {
    if (memory_ != MAP_FAILED) munmap(memory_, num_bytes_);
  }

  bool has_memory() const { return memory_ != MAP_FAILED; }
  int64_t num_entries() const {
    return sizes_.num_tables * sizes_.batch * sizes_.length;
  }

  bool Run(int index_set) {
    const EmbeddingBags<int64_t> bags = {tables_.data(),
                                         sizes_.num_tables,
                                         indices_[index_set].data(),
                                         num_entries(),
                                         offsets_.data(),
                                         nullptr,
                                         sizes_.batch,
                                         sizes_.num_tables * sizes_.dim,
                                         Pooling::kSum,
                                         RowFormat::kFloat32};
    return EmbeddingBagForward(bags, 0, sizes_.num_tables * sizes_.batch,
                               output_.data())
        .ok();
  }

 private:
  void FillIndices() {
    std::mt19937_64 random(1);
    indices_.resize(kNumIndexSets);
    for (std::vector<int64_t>& set : indices_) {
      set.resize(num_entries());
      for (int64_t& index : set) {
        index = static_cast<int64_t>(random() % static_cast<uint64_t>(sizes_.num_rows));
      }
    }
    for (int64_t bag = 0; bag <= sizes_.num_tables * sizes_.batch; ++bag) {
      offsets_.push_back(bag * sizes_.length);
    }
  }

  Sizes sizes_;
  size_t num_bytes_ = 0;
  void* memory_ = MAP_FAILED;
  std::vector<EmbeddingTable> tables_;
  std::vector<std::vector<int64_t>> indices_;
  std::vector<int64_t> offsets_;
  std::vector<float> output_;
};

void Forward(benchmark::State& state, const Sizes& sizes) {
  const RowFormat format = static_cast<RowFormat>(state.range(0));
  Lookups lookups(sizes, format);
  if (!lookups.has_memory()) {
    state.SkipWithError("not enough memory");
    return;
  }
  int turn = 0;
  for (auto _ : state) {
    if (!lookups.Run(turn++ % kNumIndexSets)) state.SkipWithError("a fault");
  }
  state.SetLabel(RowFormatName(format));
  state.SetItemsProcessed(state.iterations() * lookups.num_entries());
  state.SetBytesProcessed(state.iterations() * lookups.num_entries() *
                          RowBytes(format, sizes.dim));
}

void LongBags(benchmark::State& state) { Forward(state, kLongBags); }
void UnitBags(benchmark::State& state) { Forward(state, kUnitBags); }
void OneSample(benchmark::State& state) { Forward(state, kOneSample); }

BENCHMARK(LongBags)->DenseRange(0, kNumRowFormats - 1)->Unit(benchmark::kMicrosecond);
BENCHMARK(UnitBags)->DenseRange(0, kNumRowFormats - 1)->Unit(benchmark::kMicrosecond);
BENCHMARK(OneSample)->DenseRange(0, kNumRowFormats - 1)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace stepwell::kernels
