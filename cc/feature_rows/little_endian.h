// Numbers in packed rows: little-endian, at any address.
#ifndef STEPWELL_CC_FEATURE_ROWS_LITTLE_ENDIAN_H_
#define STEPWELL_CC_FEATURE_ROWS_LITTLE_ENDIAN_H_

#include <cstring>

namespace stepwell::feature_rows {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <typename T>
T NumberAt(const char* memory) {
  T number;
  std::memcpy(&number, memory, sizeof(number));
  return number;
}

}  // namespace stepwell::feature_rows

#endif  // STEPWELL_CC_FEATURE_ROWS_LITTLE_ENDIAN_H_
