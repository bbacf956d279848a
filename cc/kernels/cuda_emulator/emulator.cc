#include "cc/kernels/cuda_emulator/emulator.h"

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cc/kernels/cuda_emulator/fiber_stack.h"

namespace stepwell::cuda_emulator {

Position position;

namespace {

constexpr size_t kLanes = 32;
constexpr size_t kSlotBytes = 64;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xA5;
// What a block finds in shared memory: as floats these are NaN.
constexpr unsigned char kUninitialised = 0xFF;
constexpr size_t kFreeSharedBytes = 48 * 1024;
constexpr int kMaxSharedBytes = 227 * 1024;
constexpr unsigned kMaxThreads = 1024;

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

// A place where fibers wait for each other: the last one to come opens it.
struct Gate {
  size_t arrived = 0;
  uint64_t opened = 0;
};

struct Warp {
  Gate gate;
  const char* operation = nullptr;
  // Two sets of slots in turn: a lane may be an exchange ahead of a slow reader.
  alignas(16) unsigned char slots[2][kLanes * kSlotBytes];
};

struct Fiber {
  ucontext_t context;
  FiberStack stack;
  unsigned number = 0;
  bool ended = false;
  const Gate* waits_for = nullptr;
  uint64_t until = 0;
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;

  bool ready() const {
    return !ended && (waits_for == nullptr || waits_for->opened >= until);
  }
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<std::unique_ptr<Warp>> warps;
  Gate gate;
  size_t alive = 0;
  unsigned char* shared = nullptr;
  const std::function<void()>* kernel = nullptr;
  const char* failure = nullptr;
  ucontext_t scheduler;
  FiberStack scheduler_stack;
};

std::mutex launch_mutex;
std::map<const void*, int> allowed_shared_bytes;
// Of the launch that runs; set while `launch_mutex` is held.
Block* block = nullptr;
Fiber* running = nullptr;

Index3 ThreadIndex(unsigned number, const Index3& size) {
  return {number % size.x, number / size.x % size.y, number / (size.x * size.y)};
}

void BackToScheduler() {
  running->stack.SwitchTo(block->scheduler_stack, running->context, block->scheduler);
}

void WaitAt(Gate& gate, uint64_t until) {
  running->waits_for = &gate;
  running->until = until;
  BackToScheduler();
  running->waits_for = nullptr;
}

void Open(Gate& gate) {
  gate.arrived = 0;
  ++gate.opened;
}

void FiberMain() {
  running->stack.Entered();
  (*block->kernel)();
  running->ended = true;
  --block->alive;
  // Threads that have ended do not hold up a barrier.
  if (block->alive > 0 && block->gate.arrived == block->alive) Open(block->gate);
  BackToScheduler();
}

void Resume(Fiber& fiber) {
  running = &fiber;
  position.thread = ThreadIndex(fiber.number, position.block_size);
  block->scheduler_stack.SwitchTo(fiber.stack, block->scheduler, fiber.context);
}

void RunFibers() {
  while (block->alive > 0 && block->failure == nullptr) {
    bool progress = false;
    for (const auto& fiber : block->fibers) {
      if (!fiber->ready()) continue;
      progress = true;
      Resume(*fiber);
      if (block->failure != nullptr) return;
    }
    if (!progress) {
      block->failure = "threads wait at a barrier or warp operation without the rest";
    }
  }
}

// Shared memory of one block, with guard bytes behind it.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) : bytes_(bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 128, bytes + kGuardBytes) != 0) std::abort();
    data_ = static_cast<unsigned char*>(memory);
    std::memset(data_, kUninitialised, bytes);
    std::memset(data_ + bytes, kGuard, kGuardBytes);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { std::free(data_); }

  unsigned char* data() const { return data_; }
  bool GuardIsWhole() const {
    for (size_t k = 0; k < kGuardBytes; ++k) {
      if (data_[bytes_ + k] != kGuard) return false;
    }
    return true;
  }

 private:
  size_t bytes_;
  unsigned char* data_;
};

void StartFiber(Fiber& fiber, unsigned number) {
  fiber.number = number;
  fiber.ended = false;
  fiber.waits_for = nullptr;
  fiber.open_copies.clear();
  fiber.copy_groups.clear();
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = fiber.stack.size();
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, FiberMain, 0);
}

const char* RunBlock(size_t num_threads, size_t shared_bytes) {
  const SharedMemory shared(shared_bytes);
  block->shared = shared.data();
  block->gate = {};
  block->alive = num_threads;
  for (const auto& warp : block->warps) warp->gate = {};
  for (size_t k = 0; k < num_threads; ++k) {
    StartFiber(*block->fibers[k], static_cast<unsigned>(k));
  }
  RunFibers();
  if (block->failure == nullptr && !shared.GuardIsWhole()) {
    block->failure = "write past the block's shared memory";
  }
  return block->failure;
}

const char* WrongSizes(const LaunchSizes& sizes, const void* kernel_address) {
  const Index3& grid = sizes.grid;
  const Index3& size = sizes.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "empty grid";
  if (grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535) return "grid too large";
  const size_t threads = size_t{size.x} * size.y * size.z;
  if (threads == 0 || threads > kMaxThreads) return "threads not in [1, 1024]";
  if (threads % kLanes != 0) return "threads are no multiple of a warp";
  const auto allowed = allowed_shared_bytes.find(kernel_address);
  const size_t limit = allowed == allowed_shared_bytes.end()
                           ? kFreeSharedBytes
                           : static_cast<size_t>(allowed->second);
  return sizes.shared_bytes > limit ? "more shared memory than allowed" : nullptr;
}

const char* RunGrid(const LaunchSizes& sizes, const std::function<void()>& kernel) {
  Block storage;
  block = &storage;
  block->kernel = &kernel;
  const Index3& size = sizes.block;
  const size_t num_threads = size_t{size.x} * size.y * size.z;
  for (size_t k = 0; k < num_threads; ++k) {
    block->fibers.push_back(std::make_unique<Fiber>());
    block->fibers.back()->stack.Allocate();
  }
  for (size_t k = 0; k < num_threads / kLanes; ++k) {
    block->warps.push_back(std::make_unique<Warp>());
  }
  position.block_size = sizes.block;
  position.grid_size = sizes.grid;
  const char* failure = nullptr;
  for (unsigned z = 0; z < sizes.grid.z && failure == nullptr; ++z) {
    for (unsigned y = 0; y < sizes.grid.y && failure == nullptr; ++y) {
      for (unsigned x = 0; x < sizes.grid.x && failure == nullptr; ++x) {
        position.block = {x, y, z};
        failure = RunBlock(num_threads, sizes.shared_bytes);
      }
    }
  }
  block = nullptr;
  return failure;
}

}  // namespace

bool Run(const LaunchSizes& sizes, const void* kernel_address,
         const std::function<void()>& kernel) {
  const std::lock_guard<std::mutex> lock(launch_mutex);
  const char* failure = WrongSizes(sizes, kernel_address);
  if (failure == nullptr) failure = RunGrid(sizes, kernel);
  if (failure == nullptr) return true;
  std::fflush(stdout);
  std::fprintf(stderr, "cuda_emulator: %s\n", failure);
  return false;
}

bool AllowSharedBytes(const void* kernel_address, int bytes) {
  const std::lock_guard<std::mutex> lock(launch_mutex);
  if (bytes < 0 || bytes > kMaxSharedBytes) return false;
  allowed_shared_bytes[kernel_address] = bytes;
  return true;
}

unsigned char* DynamicShared() { return block->shared; }

void SyncThreads() {
  Gate& gate = block->gate;
  const uint64_t until = gate.opened + 1;
  if (++gate.arrived == block->alive) {
    Open(gate);
  } else {
    WaitAt(gate, until);
  }
}

void Trap() {
  block->failure = "the kernel trapped";
  BackToScheduler();
  std::abort();  // not reached: a failed block's fibers are never resumed
}

const unsigned char* WarpExchange(const char* operation, const void* mine,
                                  size_t bytes) {
  Warp& warp = *block->warps[running->number / kLanes];
  if (bytes > kSlotBytes) std::abort();
  if (warp.gate.arrived == 0) warp.operation = operation;
  if (std::strcmp(warp.operation, operation) != 0) {
    block->failure = "lanes of one warp are in different warp operations";
    BackToScheduler();
  }
  const uint64_t until = warp.gate.opened + 1;
  unsigned char* slots = warp.slots[warp.gate.opened % 2];
  if (bytes > 0) std::memcpy(slots + running->number % kLanes * bytes, mine, bytes);
  if (++warp.gate.arrived == kLanes) {
    Open(warp.gate);
  } else {
    WaitAt(warp.gate, until);
  }
  return slots;
}

void CopyAsync(void* to, const void* from, size_t bytes) {
  running->open_copies.push_back({to, from, bytes});
}

void CommitCopies() {
  running->copy_groups.push_back(std::move(running->open_copies));
  running->open_copies.clear();
}

void WaitForCopies(size_t groups_left) {
  while (running->copy_groups.size() > groups_left) {
    for (const Copy& copy : running->copy_groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
    running->copy_groups.pop_front();
  }
}

}  // namespace stepwell::cuda_emulator
