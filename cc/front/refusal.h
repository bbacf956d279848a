// One whom the admission queue did not take, and what to tell it.
#ifndef STEPWELL_CC_FRONT_REFUSAL_H_
#define STEPWELL_CC_FRONT_REFUSAL_H_

#include <cstdint>
#include <memory>

#include "cc/front/call.h"

namespace stepwell::front {

struct Refusal {
  enum Why {
    kOverload,  // too many are ahead of it; later there may be fewer
    kTooLate,   // nobody is ahead, and its deadline leaves no time for any answer
    kClosed,    // the server is going; another one may take it
  };
  std::shared_ptr<Call> call = nullptr;
  Why why = kOverload;
  int64_t num_ahead = 0;
  int64_t pushback_ms = 0;  // of kOverload
  int64_t left_us = 0;      // of the deadline, for kTooLate
};

// The status that ends the call. Cost: about 1 us.
CallStatus StatusOf(const Refusal& refusal);

// Of an overloaded server: google.rpc details with RetryInfo, and gRPC's own push-back.
Metadata RefusalTrailers(int64_t num_ahead, int64_t pushback_ms);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_REFUSAL_H_
