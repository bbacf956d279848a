// What a call costs the I/O thread and a worker in the queue, one thread alone.
//   bazel run //cc/front:admission_queue_benchmark
#include <cstdint>
#include <memory>
#include <string>

#include "benchmark/benchmark.h"
#include "cc/front/admission_queue.h"
#include "cc/front/protobuf_peek.h"
#include "cc/front/refusal.h"

namespace stepwell::front {
namespace {

constexpr AdmissionTerms kRoomy{
    .budget_us = 600'000'000, .popular_mean_us = 0, .standing_us = 600'000'000};

std::shared_ptr<Call> MakeCall(uint64_t key_hash, int priority = 0) {
  return std::make_shared<Call>(
      CallFields{
          .message = {}, .priority = priority, .key_hash = key_hash, .metadata = {}},
      nullptr);
}

void BM_OfferAndTake(benchmark::State& state) {
  AdmissionQueue queue(512);
  queue.SetTerms(kRoomy);
  const auto call = MakeCall(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(queue.Offer(call));
    benchmark::DoNotOptimize(queue.TryTake());
  }
}
BENCHMARK(BM_OfferAndTake);

// The newcomer gives way to all who wait, and is told so.
void BM_RefuseFromAFullQueue(benchmark::State& state) {
  AdmissionQueue queue(state.range(0));
  queue.SetTerms(kRoomy);
  for (int64_t i = 0; i < state.range(0); ++i) queue.Offer(MakeCall(1));
  const auto call = MakeCall(2);
  for (auto _ : state) benchmark::DoNotOptimize(StatusOf(*queue.Offer(call)));
}
BENCHMARK(BM_RefuseFromAFullQueue)->Arg(512)->Arg(4096);

// The rule refuses before anybody looks for a place.
void BM_RefuseByTheRule(benchmark::State& state) {
  AdmissionQueue queue(512);
  queue.SetTerms({.budget_us = 1, .popular_p95_us = 0, .standing_us = 0});
  const auto call = MakeCall(2);
  for (auto _ : state) benchmark::DoNotOptimize(StatusOf(*queue.Offer(call)));
}
BENCHMARK(BM_RefuseByTheRule);

// A RankRequest: a user, so many candidates, then the numbers.
void BM_Peek(benchmark::State& state) {
  std::string message = "\x0a\x06user-7";
  for (int64_t i = 0; i < state.range(0); ++i) message += "\x12\x08item-123";
  message += "\x28\xac\x02\x30\x02";
  constexpr EntryLimit kLimits[] = {{2, 2'000}};
  const PeekFields fields{.priority_field = 6,
                          .deadline_ms_field = 5,
                          .key_field = 1,
                          .entry_limits = kLimits};
  for (auto _ : state) {
    const Peeked found = Peek(message, fields);
    benchmark::DoNotOptimize(found.priority + static_cast<int64_t>(KeyHash(found.key)));
  }
}
BENCHMARK(BM_Peek)->Arg(0)->Arg(100)->Arg(2000);

// As many entries as the largest message has room for.
void BM_PeekIntoAnExcess(benchmark::State& state) {
  std::string message;
  for (int i = 0; i < (256 << 10) / 2; ++i) message.append("\x12\x00", 2);
  constexpr EntryLimit kLimits[] = {{2, 2'000}};
  const PeekFields fields{.key_field = 1, .entry_limits = kLimits};
  for (auto _ : state) {
    benchmark::DoNotOptimize(Peek(message, fields).excess.num_entries);
  }
}
BENCHMARK(BM_PeekIntoAnExcess);

}  // namespace
}  // namespace stepwell::front
