// What a store has under a key: bytes, or nothing.
#ifndef STEPWELL_CC_ONLINE_STORE_BLOB_H_
#define STEPWELL_CC_ONLINE_STORE_BLOB_H_

#include <cstdint>
#include <optional>
#include <string>

namespace stepwell::online_store {

inline constexpr int64_t kMaxBlobBytes = 1 << 20;

using Blob = std::optional<std::string>;

}  // namespace stepwell::online_store

#endif  // STEPWELL_CC_ONLINE_STORE_BLOB_H_
