#ifndef CC_KERNELS_CUDA_EMULATOR_FIBER_STACK_H_
#define CC_KERNELS_CUDA_EMULATOR_FIBER_STACK_H_

#include <ucontext.h>

#include <cstddef>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace stepwell::cuda_emulator {

// The stack of a fiber, and switches between fibers that ASan is told about. A
// FiberStack without Allocate() stands for the stack of the thread itself.
class FiberStack {
 public:
  void Allocate() { memory_ = std::make_unique_for_overwrite<unsigned char[]>(kBytes); }
  void* data() const { return memory_.get(); }
  static constexpr size_t size() { return kBytes; }

  // Leaves this stack, saved in `from`, for the one of `target`.
  void SwitchTo(const FiberStack& target, ucontext_t& from, const ucontext_t& to) {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom = target.memory_ ? target.memory_.get() : target.thread_bottom_;
    const size_t size = target.memory_ ? kBytes : target.thread_size_;
    __sanitizer_start_switch_fiber(&fake_stack_, bottom, size);
#else
    (void)target;
#endif
    swapcontext(&from, &to);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
  }

  // Called first on a fresh stack.
  void Entered() const {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &thread_bottom_, &thread_size_);
#endif
  }

 private:
  static constexpr size_t kBytes = size_t{128} * 1024;

  std::unique_ptr<unsigned char[]> memory_;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack_ = nullptr;
  // Of the thread that resumes fibers; a fiber learns them when it is entered.
  static inline const void* thread_bottom_ = nullptr;
  static inline size_t thread_size_ = 0;
#endif
};

}  // namespace stepwell::cuda_emulator

#endif  // CC_KERNELS_CUDA_EMULATOR_FIBER_STACK_H_
