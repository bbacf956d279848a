// What an event costs the one who hands it over, and the committing thread, with an
// impression's size of payload. Durable writes are as fast as the disk says they are.
//   bazel run //cc/event_log:event_log_benchmark
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "cc/event_log/event_log.h"
#include "cc/event_log/event_store.h"

namespace stepwell::event_log {
namespace {

constexpr int64_t kPayloadBytes = 1'000;

// Ids of real events are random: each falls on a page of its own.
std::string IdOf(uint64_t number) {
  return "impression:" + std::to_string(number * 0x9e3779b97f4a7c15);
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / "event_log_benchmark") {
    std::filesystem::remove_all(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

// The caller's part alone; the log commits beside it, and what it has no room for is
// refused.
void BM_Post(benchmark::State& state) {
  const Folder folder;
  const auto log = *EventLog::Open(folder.path());
  const std::string payload(kPayloadBytes, 'x');
  uint64_t number = 0;
  int64_t num_refused = 0;
  for (auto _ : state) {
    num_refused += *log->Post({IdOf(++number), payload}) ? 0 : 1;
  }
  state.counters["refused"] =
      benchmark::Counter(static_cast<double>(num_refused) / number);
}
BENCHMARK(BM_Post)->Iterations(9'000);

// A commit of so many events.
void BM_CommitGroup(benchmark::State& state) {
  const Folder folder;
  const auto store = *EventStore::Open(folder.path(), {});
  uint64_t number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Batch> batches(state.range(0));
    for (Batch& batch : batches) {
      batch.push_back({IdOf(++number), std::string(kPayloadBytes, 'x')});
    }
    state.ResumeTiming();
    if (!store->Append(batches).ok()) std::abort();
  }
  state.SetItemsProcessed(static_cast<int64_t>(number));
}
BENCHMARK(BM_CommitGroup)->Arg(1)->Arg(16)->Arg(64)->Arg(256);

// A reader that wants one event of a thousand.
void BM_ReadExcept(benchmark::State& state) {
  const Folder folder;
  const auto store = *EventStore::Open(folder.path(), {});
  Batch batch;
  for (int i = 0; i < 1'000; ++i) {
    batch.push_back({i == 500 ? "event" : IdOf(i), std::string(kPayloadBytes, 'x')});
  }
  if (!store->Append({&batch, 1}).ok()) std::abort();
  for (auto _ : state) {
    benchmark::DoNotOptimize(store->ReadExcept("impression:", 0, 1'000));
  }
  state.SetItemsProcessed(state.iterations() * 1'000);
}
BENCHMARK(BM_ReadExcept);

}  // namespace
}  // namespace stepwell::event_log
