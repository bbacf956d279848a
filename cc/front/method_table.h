// Which method a path means.
#ifndef STEPWELL_CC_FRONT_METHOD_TABLE_H_
#define STEPWELL_CC_FRONT_METHOD_TABLE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cc/front/front_options.h"

namespace stepwell::front {

// Concurrency: const, so any number of threads.
class MethodTable {
 public:
  explicit MethodTable(std::vector<MethodOptions> methods)
      : methods_(std::move(methods)) {
    for (size_t i = 0; i < methods_.size(); ++i) {
      by_path_[methods_[i].path] = static_cast<int>(i);
    }
  }

  std::optional<int> Find(absl::string_view path) const {
    const auto found = by_path_.find(path);
    if (found == by_path_.end()) return std::nullopt;
    return found->second;
  }

  const MethodOptions& operator[](int method) const { return methods_[method]; }

 private:
  std::vector<MethodOptions> methods_;
  absl::flat_hash_map<std::string, int> by_path_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_METHOD_TABLE_H_
