// Arrays of anonymous pages: zero, and not resident until they are touched.
#ifndef STEPWELL_CC_INDEX_PAGE_ARRAY_H_
#define STEPWELL_CC_INDEX_PAGE_ARRAY_H_

#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

namespace stepwell::index {

// Pages mapped for this process. Arrays of some megabytes ask for huge pages: a walk
// reads rows at random, and each would miss the translation buffer otherwise.
void* MapPages(size_t num_bytes);  // throws std::bad_alloc
void UnmapPages(void* pages, size_t num_bytes);

// A fixed number of zeroed elements, aligned to a page. The caller guards its content.
template <typename T>
class PageArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PageArray() = default;
  // Throws std::bad_alloc.
  explicit PageArray(size_t size) : size_(size) {
    if (size > std::numeric_limits<size_t>::max() / sizeof(T)) throw std::bad_alloc();
    if (size > 0) data_ = static_cast<T*>(MapPages(size * sizeof(T)));
  }
  PageArray(PageArray&& other) noexcept { *this = std::move(other); }
  PageArray& operator=(PageArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PageArray() {
    if (data_ != nullptr) UnmapPages(data_, size_ * sizeof(T));
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_PAGE_ARRAY_H_
