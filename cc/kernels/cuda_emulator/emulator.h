#ifndef CC_KERNELS_CUDA_EMULATOR_EMULATOR_H_
#define CC_KERNELS_CUDA_EMULATOR_EMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>

// Runs CUDA kernels on the CPU, for tests on machines without a GPU: the .cu files are
// compiled as C++ with the headers of include/ in place of CUDA's.
//
// A kernel's threads are fibers of one operating system thread; blocks run one after
// the other. A fiber runs until it waits (barrier, warp operation) or ends, so kernels
// run in one fixed order. What it checks: indices and values, barriers that not all
// threads reach, warp operations that the lanes of a warp do not reach together, copies
// to shared memory that nobody waited for, limits of launches and of shared memory,
// accesses past shared memory (under ASan past any memory). What it cannot check:
// races between threads, memory ordering, registers, speed, and whether the hardware
// agrees with tensor_core.h and include/ about what an instruction does.
//
// Concurrency: one launch at a time in a process; calls from several threads wait.
namespace stepwell::cuda_emulator {

struct Index3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

// The indices of the fiber that runs now, as a kernel reads them.
struct Position {
  Index3 thread;
  Index3 block;
  Index3 block_size;
  Index3 grid_size;
};
extern Position position;

struct LaunchSizes {
  Index3 grid;
  Index3 block;
  size_t shared_bytes = 0;
};

// Runs `kernel` for every thread of every block. Returns false when the sizes are not
// allowed on sm_90 or the kernel failed: a trap, a wait that never ends, a write past
// shared memory. The reason goes to stderr. `kernel_address` finds its limit below.
bool Run(const LaunchSizes& sizes, const void* kernel_address,
         const std::function<void()>& kernel);

// Allows a kernel more dynamic shared memory than 48 KiB, as cudaFuncSetAttribute does.
bool AllowSharedBytes(const void* kernel_address, int bytes);

// Within a kernel:

unsigned char* DynamicShared();
void SyncThreads();
[[noreturn]] void Trap();

// Waits until all 32 lanes of the warp came here with the same operation, then returns
// what each of them gave: 32 slots of `bytes` each, good until the next exchange.
// `operation` must be a string literal.
const unsigned char* WarpExchange(const char* operation, const void* mine,
                                  size_t bytes);

// Deferred copies to shared memory: done when their group is waited for, so that a
// missing wait shows.
void CopyAsync(void* to, const void* from, size_t bytes);
void CommitCopies();
void WaitForCopies(size_t groups_left);

}  // namespace stepwell::cuda_emulator

#endif  // CC_KERNELS_CUDA_EMULATOR_EMULATOR_H_
