#include "cc/kernels/candidates/item_lines.h"

#include <cmath>
#include <cstring>

namespace stepwell::kernels {
namespace {

constexpr int64_t kWordBytes = 4;

}  // namespace

ItemLines::ItemLines(const ItemColumns& columns)
    : num_items_(columns.num_items),
      num_numbers_(columns.num_numbers),
      num_affinities_(static_cast<int64_t>(columns.affinity_codes.size())),
      num_embedded_(static_cast<int64_t>(columns.embedded_codes.size())),
      interval_(columns.interval) {
  const int64_t words = kHead + num_numbers_ + 2 * num_affinities_ + num_embedded_;
  // Whole eights: the head of every line is aligned.
  line_bytes_ = (words * kWordBytes + 7) / 8 * 8;
  bytes_.resize(static_cast<size_t>(num_items_ * line_bytes_));
  for (int64_t row = 0; row < num_items_; ++row) {
    char* at = bytes_.data() + row * line_bytes_;
    const auto append = [&](const void* from, int64_t size) {
      std::memcpy(at, from, static_cast<size_t>(size));
      at += size;
    };
    const float* numbers = columns.numbers + row * num_numbers_;
    const Head head{
        columns.first_seen[row], columns.last_seen[row],
        std::log(static_cast<double>(numbers[columns.price] + kPriceOffset))};
    append(&head, sizeof(head));
    append(numbers, num_numbers_ * kWordBytes);
    for (const float* shares : columns.affinity_shares)
      append(shares + row, kWordBytes);
    for (const int32_t* codes : columns.affinity_codes) append(codes + row, kWordBytes);
    for (const int32_t* codes : columns.embedded_codes) append(codes + row, kWordBytes);
  }
}

}  // namespace stepwell::kernels
