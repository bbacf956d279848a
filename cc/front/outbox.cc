#include "cc/front/outbox.h"

#include <utility>

namespace stepwell::front {

void Outbox::Post(Reply reply) {
  bool wakes = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    replies_.push_back(std::move(reply));
    wakes = std::exchange(sleeps_, false);
  }
  if (wakes) signal_.Raise();
}

bool Outbox::BeginSleep() {
  const std::lock_guard<std::mutex> lock(mutex_);
  sleeps_ = replies_.empty();
  return sleeps_;
}

void Outbox::TakeAll(std::vector<Reply>* replies) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sleeps_ = false;
  replies->swap(replies_);
}

void Outbox::Close() {
  std::vector<Reply> dropped;
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  dropped.swap(replies_);
}

}  // namespace stepwell::front
