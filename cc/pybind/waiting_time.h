// Python's seconds as waiting times of C++.
#ifndef STEPWELL_CC_PYBIND_WAITING_TIME_H_
#define STEPWELL_CC_PYBIND_WAITING_TIME_H_

#include <cstdint>
#include <limits>

namespace stepwell::python {

// Below zero is no time, more than thirty years (infinity, no number) is for ever.
inline int64_t WaitingUs(double seconds) {
  if (!(seconds < 1e9)) return std::numeric_limits<int64_t>::max();
  return seconds > 0.0 ? static_cast<int64_t>(seconds * 1e6) : 0;
}

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_WAITING_TIME_H_
