#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/index/vector_codec.h"

// Distances of D coordinates, 32 rows a call as a walk asks for them: rows that stay
// in the first cache (Near), and rows drawn from 256 MiB (Far). Arguments: code kind,
// D. items_per_second are distances.
namespace stepwell::index {
namespace {

constexpr size_t kBatch = 32;

struct Rows {
  Rows(CodeKind kind, int64_t dim, size_t bytes)
      : codec(kind, Metric::kCosine, dim, 1),
        count(bytes / codec.code_stride()),
        codes((count + 2) * codec.code_stride()),
        query(codec.query_bytes() + 64) {
    std::mt19937 random(1);
    for (char& byte : query) byte = static_cast<char>(random());
    for (size_t i = 0; i < codes.size(); i += 4) codes[i] = static_cast<char>(random());
    std::vector<float> values(static_cast<size_t>(dim), 0.5f);
    codec.EncodeQuery(values.data(), coded_query());
    nodes.resize(size_t{1} << 16);
    for (uint32_t& node : nodes) node = static_cast<uint32_t>(random() % count);
  }

  static char* Aligned(std::vector<char>& bytes) {
    const auto at = reinterpret_cast<uintptr_t>(bytes.data());
    return bytes.data() + (64 - at % 64) % 64;
  }
  char* coded_query() { return Aligned(query); }
  RowBlock block() { return {Aligned(codes), codec.code_stride()}; }

  VectorCodec codec;
  size_t count;
  std::vector<char> codes;
  std::vector<char> query;
  std::vector<uint32_t> nodes;
};

void RunGather(benchmark::State& state, size_t bytes) {
  Rows rows(static_cast<CodeKind>(state.range(0)), state.range(1), bytes);
  state.SetLabel(std::string(CodeKindName(rows.codec.kind())) + " " +
                 std::string(rows.codec.instructions()));
  float out[kBatch];
  size_t at = 0;
  for (auto _ : state) {
    rows.codec.Gather(rows.coded_query(), rows.block(), &rows.nodes[at], kBatch, out);
    benchmark::DoNotOptimize(out);
    at = (at + kBatch) % rows.nodes.size();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void BM_GatherNear(benchmark::State& state) { RunGather(state, 16 << 10); }
void BM_GatherFar(benchmark::State& state) { RunGather(state, 256 << 20); }

void BM_ScanFar(benchmark::State& state) {
  Rows rows(static_cast<CodeKind>(state.range(0)), state.range(1), 256 << 20);
  constexpr size_t kRows = 1024;
  std::vector<float> out(kRows);
  size_t at = 0;
  for (auto _ : state) {
    rows.codec.Scan(rows.coded_query(), rows.block(), static_cast<int64_t>(at), kRows,
                    out.data());
    benchmark::DoNotOptimize(out.data());
    at = at + 2 * kRows <= rows.count ? at + kRows : 0;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRows));
}

void BM_Pair(benchmark::State& state) {
  Rows rows(static_cast<CodeKind>(state.range(0)), state.range(1), 16 << 10);
  const RowBlock block = rows.block();
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        rows.codec.Pair(block.base, block.base + rows.nodes[at] * block.stride_bytes));
    at = (at + 1) % rows.nodes.size();
  }
  state.SetItemsProcessed(state.iterations());
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"kind", "D"});
  for (int64_t dim : {64, 100, 768}) {
    for (CodeKind kind : {CodeKind::kFloat32, CodeKind::kBfloat16, CodeKind::kInt8}) {
      benchmark->Args({static_cast<int64_t>(kind), dim});
    }
  }
}

BENCHMARK(BM_GatherNear)->Apply(Arguments);
BENCHMARK(BM_GatherFar)->Apply(Arguments);
BENCHMARK(BM_ScanFar)->Apply(Arguments);
BENCHMARK(BM_Pair)->Apply(Arguments);

}  // namespace
}  // namespace stepwell::index
