// Reads a few fields of a serialised protobuf message without parsing it: what the
// queue must know of a request before anybody has the time to look at it.
#ifndef STEPWELL_CC_FRONT_PROTOBUF_PEEK_H_
#define STEPWELL_CC_FRONT_PROTOBUF_PEEK_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace stepwell::front {

// How many entries a repeated field of strings, bytes or messages may have.
struct EntryLimit {
  int field = 0;
  int64_t max_entries = 0;
};

// Of one message; each is counted for itself.
inline constexpr size_t kMostEntryLimits = 4;

// Field numbers of the message; 0: it has no such field.
struct PeekFields {
  int priority_field = 0;                          // an enum or int32
  int deadline_ms_field = 0;                       // int32
  int key_field = 0;                               // a string or bytes
  int forced_field = 0;                            // an enum
  absl::Span<const EntryLimit> entry_limits = {};  // the first kMostEntryLimits count
};

// A repeated field with more entries than it may have; field 0: there is none.
struct Excess {
  int field = 0;
  int64_t num_entries = 0;
};

struct Peeked {
  int64_t priority = 0;
  int64_t deadline_ms = 0;
  int64_t forced = 0;
  // Points into the message.
  absl::string_view key;
  // Of several the one whose limit comes first. All of its entries are counted.
  Excess excess = {};
};

// Of a field that comes several times the last one counts, as for a parser. Of a
// message that is none it is what was found before; the parser will report it. Fields
// in groups and of another wire type are passed over.
//
// Concurrency: a pure function. Cost: about 3 ns a field, of which a message has one in
// two bytes at most; a field's length costs nothing. No field asked for: nothing.
// Source: protobuf.dev, "Encoding".
Peeked Peek(absl::string_view message, const PeekFields& fields);

// Of a key no more counts; none that is answered is longer.
inline constexpr size_t kHashedKeyBytes = 256;

// Uniform over keys, the same in every process and for ever; no secret. Cost: about 1
// ns a byte.
uint64_t KeyHash(absl::string_view key);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_PROTOBUF_PEEK_H_
