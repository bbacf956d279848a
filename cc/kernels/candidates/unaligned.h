#ifndef CC_KERNELS_CANDIDATES_UNALIGNED_H_
#define CC_KERNELS_CANDIDATES_UNALIGNED_H_

#include <cstdint>
#include <cstring>

namespace stepwell::kernels {

// Numbers in a row at any address, such as a column inside a stored blob.
template <typename T>
class Unaligned {
 public:
  Unaligned() = default;
  // Without `explicit`: an array of T is one of them.
  Unaligned(const void* first)  // NOLINT(google-explicit-constructor)
      : bytes_(static_cast<const char*>(first)) {}

  T operator[](int64_t i) const {
    T value;
    std::memcpy(&value, bytes_ + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }

 private:
  const char* bytes_ = nullptr;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_UNALIGNED_H_
