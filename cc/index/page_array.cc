#include "cc/index/page_array.h"

#include <sys/mman.h>

namespace stepwell::index {
namespace {

// Smaller arrays would round up to more than they hold.
constexpr size_t kHugePagesFromBytes = size_t{4} << 20;

}  // namespace

void* MapPages(size_t num_bytes) {
  void* pages = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  // Advice only: a kernel without huge pages refuses it and nothing is lost.
  if (num_bytes >= kHugePagesFromBytes) madvise(pages, num_bytes, MADV_HUGEPAGE);
  return pages;
}

void UnmapPages(void* pages, size_t num_bytes) { munmap(pages, num_bytes); }

}  // namespace stepwell::index
