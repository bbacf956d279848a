// Numbers in packed memory: little-endian, at any address.
#ifndef STEPWELL_CC_BASE_LITTLE_ENDIAN_H_
#define STEPWELL_CC_BASE_LITTLE_ENDIAN_H_

#include <cstring>

namespace stepwell {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <typename T>
T NumberAt(const char* memory) {
  T number;
  std::memcpy(&number, memory, sizeof(number));
  return number;
}

}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_LITTLE_ENDIAN_H_
