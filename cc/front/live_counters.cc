#include "cc/front/live_counters.h"

namespace stepwell::front {

FrontCounters LiveCounters::Snapshot() const {
  FrontCounters counters;
  counters.num_calls = num_calls.value();
  counters.num_open = num_open.value();
  counters.num_connections = num_connections.value();
  counters.num_accepted = num_accepted.value();
  counters.num_rejected = num_rejected.value();
  for (size_t i = 0; i < num_refused_overload.size(); ++i) {
    counters.num_refused_overload[i] = num_refused_overload[i].value();
  }
  counters.num_refused_late = num_refused_late.value();
  counters.num_expired = num_expired.value();
  counters.num_too_large = num_too_large.value();
  counters.num_metadata_too_large = num_metadata_too_large.value();
  counters.num_unknown_method = num_unknown_method.value();
  counters.num_malformed = num_malformed.value();
  counters.num_cancelled = num_cancelled.value();
  counters.bytes_in = bytes_in.value();
  counters.bytes_out = bytes_out.value();
  counters.num_given = num_given.value();
  counters.num_adopted = num_adopted.value();
  counters.num_unusable = num_unusable.value();
  return counters;
}

}  // namespace stepwell::front
