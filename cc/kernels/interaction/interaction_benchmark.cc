#include <benchmark/benchmark.h>

#include <cstdint>
#include <type_traits>
#include <vector>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/simd/isa.h"

// The interaction kernels at the sizes of a DLRM with 26 sparse features: one thread,
// everything in the caches. The argument is the instruction set; 3 means kAvx512 with
// dots of bfloat16 pairs. Sets that this machine has not are skipped.
namespace stepwell::kernels {
namespace {

constexpr int64_t kNumSamples = 256;
constexpr InteractionShape kShape = {26, 64};
constexpr RequestShape kRequest = {13, 14, 64};
constexpr int64_t kBfloat16Dots = 3;

struct Path {
  Isa isa;
  bool bfloat16_dots;
};

// Returns whether the benchmark can run; marks it as skipped otherwise.
bool UsePath(benchmark::State& state, Path& path) {
  const int64_t number = state.range(0);
  path.bfloat16_dots = number == kBfloat16Dots;
  path.isa = path.bfloat16_dots ? Isa::kAvx512 : static_cast<Isa>(number);
  const bool usable =
      path.isa <= BestIsa() && (!path.bfloat16_dots || HasBfloat16Dots());
  if (!usable) state.SkipWithError("this machine lacks the instructions");
  return usable;
}

// Elements that start a cache line, as torch's tensors do.
template <typename Element>
class Numbers {
 public:
  explicit Numbers(int64_t count) : lines_(count * sizeof(Element) / kLineBytes + 1) {
    for (int64_t i = 0; i < count; ++i) data()[i] = Number(i);
  }

  Element* data() { return reinterpret_cast<Element*>(lines_.data()); }

 private:
  static constexpr int64_t kLineBytes = 64;
  struct alignas(kLineBytes) Line {
    char bytes[kLineBytes];
  };

  // Of ordinary size; the time does not depend on them.
  static Element Number(int64_t i) {
    if constexpr (std::is_same_v<Element, float>) {
      return 0.001f * static_cast<float>(i % 997);
    } else {
      return {static_cast<uint16_t>(0x3F00 + i % 127)};
    }
  }

  std::vector<Line> lines_;
};

void SetRate(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kNumSamples);
}

template <typename Element>
void BM_DotForward(benchmark::State& state) {
  Path path;
  if (!UsePath(state, path)) return;
  Numbers<Element> dense(kNumSamples * kShape.dim);
  Numbers<Element> sparse(kNumSamples * kShape.num_sparse * kShape.dim);
  Numbers<Element> output(kNumSamples * kShape.output_dim());
  for (auto _ : state) {
    DotInteractionForward<Element>(kShape, kNumSamples, dense.data(), sparse.data(),
                                   output.data(), path.isa, path.bfloat16_dots);
    benchmark::ClobberMemory();
  }
  SetRate(state);
}

template <typename Element>
void BM_RequestForward(benchmark::State& state) {
  Path path;
  if (!UsePath(state, path)) return;
  Numbers<Element> user(kRequest.num_user * kRequest.dim);
  Numbers<Element> items(kNumSamples * kRequest.num_items * kRequest.dim);
  Numbers<Element> output(kNumSamples * kRequest.output_dim());
  for (auto _ : state) {
    RequestInteractionForward<Element>(kRequest, kNumSamples, user.data(), items.data(),
                                       output.data(), path.isa, path.bfloat16_dots);
    benchmark::ClobberMemory();
  }
  SetRate(state);
}

template <typename Element>
void BM_DotBackward(benchmark::State& state) {
  Path path;
  if (!UsePath(state, path)) return;
  Numbers<Element> grad(kNumSamples * kShape.output_dim());
  Numbers<Element> dense(kNumSamples * kShape.dim);
  Numbers<Element> sparse(kNumSamples * kShape.num_sparse * kShape.dim);
  Numbers<Element> dense_grad(kNumSamples * kShape.dim);
  Numbers<Element> sparse_grad(kNumSamples * kShape.num_sparse * kShape.dim);
  for (auto _ : state) {
    DotInteractionBackward<Element>(kShape, kNumSamples, grad.data(), dense.data(),
                                    sparse.data(), dense_grad.data(),
                                    sparse_grad.data(), path.isa);
    benchmark::ClobberMemory();
  }
  SetRate(state);
}

BENCHMARK(BM_DotForward<float>)->DenseRange(0, 2);
BENCHMARK(BM_DotForward<Bfloat16>)->DenseRange(0, 3);
BENCHMARK(BM_RequestForward<float>)->DenseRange(0, 2);
BENCHMARK(BM_RequestForward<Bfloat16>)->DenseRange(0, 3);
BENCHMARK(BM_DotBackward<float>)->DenseRange(0, 2);
BENCHMARK(BM_DotBackward<Bfloat16>)->DenseRange(0, 2);

}  // namespace
}  // namespace stepwell::kernels
