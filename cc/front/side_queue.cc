#include "cc/front/side_queue.h"

#include <utility>

namespace stepwell::front {

bool SideQueue::Push(SideEvent event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (events_.size() >= max_size_ && event.kind != SideEvent::kCancelled) return false;
  events_.push_back(std::move(event));
  if (events_.size() == 1) signal_.Raise();
  return true;
}

std::vector<SideEvent> SideQueue::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!events_.empty()) signal_.Clear();
  return std::exchange(events_, {});
}

}  // namespace stepwell::front
