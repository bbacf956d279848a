// Bytes a second of the checksum, for a block in cache and one far larger.
#include <string>

#include "benchmark/benchmark.h"
#include "cc/base/crc32c.h"

namespace stepwell {
namespace {

void BM_Crc32c(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(ExtendCrc32c(0, bytes.data(), bytes.size()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Crc32c)->Arg(4 << 10)->Arg(256 << 10)->Arg(256 << 20);

}  // namespace
}  // namespace stepwell
