#ifndef CC_KERNELS_CANDIDATES_ITEM_LINES_H_
#define CC_KERNELS_CANDIDATES_ITEM_LINES_H_

#include <cstdint>
#include <vector>

namespace stepwell::kernels {

// What a release knows of num_items items, a column at a time. `price` and `interval`
// are the places of those two among the numbers.
struct ItemColumns {
  int64_t num_items = 0;
  int64_t num_numbers = 0;
  const float* numbers = nullptr;  // [num_items, num_numbers]
  int64_t price = 0;
  int64_t interval = 0;
  const int64_t* first_seen = nullptr;  // [num_items], unix seconds
  const int64_t* last_seen = nullptr;
  // The columns whose share of the user's history is a feature, and the item's share of
  // its value there; and the columns that models embed. Codes are >= 0.
  std::vector<const int32_t*> affinity_codes;
  std::vector<const float*> affinity_shares;
  std::vector<const int32_t*> embedded_codes;
};

// Added to prices before their logarithm is taken.
constexpr float kPriceOffset = 0.1f;

// The same, an item at a time: what one candidate needs lies side by side. A copy.
// Concurrency: immutable.
class ItemLines {
 public:
  explicit ItemLines(const ItemColumns& columns);

  int64_t num_items() const { return num_items_; }
  int64_t num_numbers() const { return num_numbers_; }
  int64_t num_affinities() const { return num_affinities_; }
  int64_t num_embedded() const { return num_embedded_; }

  // Each of one item, 0 <= row < num_items().
  const float* Numbers(int64_t row) const { return Line(row)->floats(kHead); }
  float Interval(int64_t row) const { return Numbers(row)[interval_]; }
  const float* AffinityShares(int64_t row) const {
    return Line(row)->floats(kHead + num_numbers_);
  }
  const int32_t* AffinityCodes(int64_t row) const {
    return Line(row)->codes(kHead + num_numbers_ + num_affinities_);
  }
  const int32_t* EmbeddedCodes(int64_t row) const {
    return Line(row)->codes(kHead + num_numbers_ + 2 * num_affinities_);
  }
  int64_t FirstSeen(int64_t row) const { return Line(row)->first_seen; }
  int64_t LastSeen(int64_t row) const { return Line(row)->last_seen; }
  // log(price + kPriceOffset)
  double LogPrice(int64_t row) const { return Line(row)->log_price; }

  void Prefetch(int64_t row) const {
    constexpr int64_t kCacheLineBytes = 64;
    const char* line = bytes_.data() + row * line_bytes_;
    for (int64_t at = 0; at < line_bytes_; at += kCacheLineBytes) {
      __builtin_prefetch(line + at);
    }
  }

 private:
  // A word is a float or a code; the head takes kHead of them.
  struct Head {
    int64_t first_seen;
    int64_t last_seen;
    double log_price;

    const float* floats(int64_t word) const {
      return reinterpret_cast<const float*>(this) + word;
    }
    const int32_t* codes(int64_t word) const {
      return reinterpret_cast<const int32_t*>(this) + word;
    }
  };
  static constexpr int64_t kHead = 6;
  static_assert(sizeof(Head) == kHead * 4);

  const Head* Line(int64_t row) const {
    return reinterpret_cast<const Head*>(bytes_.data() + row * line_bytes_);
  }

  int64_t num_items_;
  int64_t num_numbers_;
  int64_t num_affinities_;
  int64_t num_embedded_;
  int64_t interval_;
  int64_t line_bytes_;
  std::vector<char> bytes_;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_ITEM_LINES_H_
