#include "cc/front/io_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "cc/base/status_macros.h"
#include "cc/front/refusal.h"

namespace stepwell::front {
namespace {

constexpr uint64_t kListenerId = 1;
constexpr uint64_t kOutboxId = 2;
constexpr uint64_t kSiblingsId = 3;
constexpr uint64_t kFirstPeerId = 4;

constexpr int kMostEvents = 128;
constexpr int kMostAccepts = 64;
constexpr int64_t kTickUs = 100'000;
constexpr int64_t kUsPerMs = 1'000;

// A wait that is asked to be longer is one for ever.
constexpr int64_t kLongestWaitUs = int64_t{1} << 50;

// SETTINGS without entries, then GOAWAY with ENHANCE_YOUR_CALM: for a peer too many.
constexpr char kTooManyPeers[] =
    "\0\0\0\4\0\0\0\0\0"
    "\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

// Which tick a long sleep may miss: none while there are peers.
int MillisUntil(int64_t then_us, int64_t now_us) {
  return static_cast<int>(std::max<int64_t>(0, (then_us - now_us) / kUsPerMs + 1));
}

}  // namespace

IoLoop::IoLoop(const FrontOptions& options, std::vector<MethodOptions> methods,
               AdmissionQueue* queue, std::unique_ptr<Siblings> siblings)
    : context_{options, MethodTable(std::move(methods)), this, nullptr, {}, 0},
      queue_(queue),
      outbox_(std::make_shared<Outbox>()),
      side_(static_cast<size_t>(options.max_side_events)),
      siblings_(std::move(siblings)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      next_id_(kFirstPeerId),
      read_buffer_(Peer::kReadBytes, '\0') {
  context_.sink = outbox_;
}

absl::StatusOr<std::unique_ptr<IoLoop>> IoLoop::Open(
    const FrontOptions& options, std::vector<MethodOptions> methods,
    AdmissionQueue* queue, std::unique_ptr<Siblings> siblings) {
  std::unique_ptr<IoLoop> loop(
      new IoLoop(options, std::move(methods), queue, std::move(siblings)));
  if (!loop->outbox_->is_open() || !loop->side_.is_open() || !loop->epoll_.is_open()) {
    return absl::UnavailableError("no file descriptor is left for the front");
  }
  STEPWELL_RETURN_IF_ERROR(loop->Watch(loop->outbox_->fd(), kOutboxId));
  return loop;
}

IoLoop::~IoLoop() { outbox_->Close(); }

absl::Status IoLoop::Watch(int descriptor, uint64_t id) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("epoll takes no more descriptors");
}

absl::Status IoLoop::Bind() {
  if (listener_ != nullptr) return absl::OkStatus();
  const FrontOptions& options = context_.options;
  STEPWELL_ASSIGN_OR_RETURN(
      listener_, Listener::Bind(options.host, options.port, options.shared_port));
  port_ = listener_->port();
  return absl::OkStatus();
}

absl::Status IoLoop::Listen() {
  STEPWELL_RETURN_IF_ERROR(listener_->Listen());
  if (siblings_ != nullptr) {
    STEPWELL_RETURN_IF_ERROR(Watch(siblings_->inbox(), kSiblingsId));
    siblings_->Open();
  }
  return Watch(listener_->fd(), kListenerId);
}

int64_t IoLoop::NowUs() const { return Clock::Steady().NowNanos() / kUsPerMs; }

void IoLoop::Run() {
  while (true) {
    Turn();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stop_asked_) break;
  }
  EndAll();
}

void IoLoop::Turn() {
  // The kernel fills what is read of it.
  std::array<epoll_event, kMostEvents> events;  // NOLINT(*-member-init)
  const int num_events =
      epoll_wait(epoll_.get(), events.data(), kMostEvents, SleepMillis());
  for (int i = 0; i < num_events; ++i) TakeEvent(events[i].data.u64);
  const int64_t now_us = NowUs();
  if (now_us >= next_tick_us_) TickAll(now_us);
  DrainIfAsked();
  WriteReplies();
  FlushNoted();
  TellIdle();
}

// 0 while something waits; else until the next tick, or for ever without peers.
int IoLoop::SleepMillis() {
  if (!outbox_->BeginSleep()) return 0;
  return peers_.empty() ? -1 : MillisUntil(next_tick_us_, NowUs());
}

void IoLoop::TakeEvent(uint64_t id) {
  if (id == kListenerId) {
    if (listener_ != nullptr) AcceptSome();
    return;
  }
  if (id == kOutboxId) return outbox_->ClearSignal();
  if (id == kSiblingsId) {
    AdoptSome();
    return;
  }
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  found->second->Read(read_buffer_.data(), Clock::Steady());
  Note(id, *found->second);
}

// False when nobody waits any more.
bool IoLoop::AcceptSome() {
  for (int i = 0; i < kMostAccepts; ++i) {
    Descriptor socket = listener_->Accept();
    if (!socket.is_open()) return false;
    KeepOrGive(std::move(socket));
  }
  return true;
}

void IoLoop::KeepOrGive(Descriptor socket) {
  if (siblings_ != nullptr) {
    if (siblings_->Give(socket)) return context_.counters.num_given.Add(1);
    siblings_->Add();
  }
  Admit(std::move(socket));
}

// False when no sibling's gift waits any more.
bool IoLoop::AdoptSome() {
  for (int i = 0; i < kMostAccepts; ++i) {
    Arrival arrival = siblings_->Take();
    if (arrival.kind == Arrival::kNothing) return false;
    if (arrival.kind == Arrival::kConnection) {
      Adopt(std::move(arrival.connection));
    } else {
      context_.counters.num_unusable.Add(1);
    }
  }
  return true;
}

// Who came to a front that drains goes on to a sibling, or is asked to go as all are.
void IoLoop::Adopt(Descriptor socket) {
  LiveCounters& counters = context_.counters;
  const bool drains = !siblings_->is_open();
  if (drains && siblings_->Give(socket)) return counters.num_given.Add(1);
  counters.num_adopted.Add(1);
  Peer* const peer = Admit(std::move(socket));
  if (drains && peer != nullptr) peer->connection().Drain(NowUs());
}

// A connection that is counted among the siblings' as ours.
Peer* IoLoop::Admit(Descriptor socket) {
  Peer* const peer = Welcome(std::move(socket));
  if (peer == nullptr && siblings_ != nullptr) siblings_->Remove();
  return peer;
}

// nullptr when it may not come in.
Peer* IoLoop::Welcome(Descriptor socket) {
  LiveCounters& counters = context_.counters;
  if (static_cast<int64_t>(peers_.size()) >= context_.options.max_connections) {
    counters.num_rejected.Add(1);
    [[maybe_unused]] const ssize_t size =
        send(socket.get(), kTooManyPeers, sizeof(kTooManyPeers) - 1, MSG_NOSIGNAL);
    return nullptr;
  }
  const uint64_t id = next_id_++;
  if (!Watch(socket.get(), id).ok()) return nullptr;
  auto peer = std::make_unique<Peer>(id, NewSocketTransport(std::move(socket)),
                                     &context_, NowUs());
  peer->events = EPOLLIN;
  counters.num_accepted.Add(1);
  counters.num_connections.Add(1);
  Note(id, *peer);
  return peers_.emplace(id, std::move(peer)).first->second.get();
}

void IoLoop::Note(uint64_t id, Peer& peer) {
  if (peer.is_noted) return;
  peer.is_noted = true;
  noted_.push_back(id);
}

void IoLoop::WriteReplies() {
  outbox_->TakeAll(&replies_);
  for (Reply& reply : replies_) {
    const uint64_t id = reply.call->connection();
    const auto found = peers_.find(id);
    if (found == peers_.end()) continue;
    found->second->connection().Write(std::move(reply));
    Note(id, *found->second);
  }
  replies_.clear();
}

void IoLoop::TickAll(int64_t now_us) {
  next_tick_us_ = now_us + kTickUs;
  for (const auto& [id, peer] : peers_) {
    peer->connection().Tick(now_us);
    Note(id, *peer);
  }
}

void IoLoop::FlushNoted() {
  const int64_t now_us = NowUs();
  for (const uint64_t id : noted_) FlushPeer(id, now_us);
  noted_.clear();
}

void IoLoop::FlushPeer(uint64_t id, int64_t now_us) {
  Peer& peer = *peers_.find(id)->second;
  peer.is_noted = false;
  peer.Flush(&write_buffer_, now_us);
  if (peer.is_over(now_us)) return Remove(id);
  const uint32_t wanted =
      (peer.wants_read() ? EPOLLIN : 0U) | (peer.wants_write() ? EPOLLOUT : 0U);
  if (wanted == peer.events) return;
  peer.events = wanted;
  epoll_event event = {};
  event.events = wanted;
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, peer.fd(), &event);
}

void IoLoop::Remove(uint64_t id) {
  peers_.erase(id);  // its calls are cancelled
  context_.counters.num_connections.Add(-1);
  if (siblings_ != nullptr) siblings_->Remove();
}

void IoLoop::OnCall(std::shared_ptr<Call> call) {
  const std::optional<Refusal> refusal = queue_->Offer(std::move(call));
  if (!refusal.has_value()) return;
  LiveCounters& counters = context_.counters;
  if (refusal->why == Refusal::kOverload) {
    counters.num_refused_overload[refusal->call->priority()].Add(1);
  } else if (refusal->why == Refusal::kTooLate) {
    counters.num_refused_late.Add(1);
  }
  refusal->call->Fail(StatusOf(*refusal));
}

void IoLoop::OnCancelled(const std::shared_ptr<Call>& call) {
  if (context_.methods[call->method()].queued) {
    queue_->Abandon(*call);
  } else {
    side_.Push({call, SideEvent::kCancelled, ""});
  }
}

void IoLoop::DrainIfAsked() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!drain_asked_ || is_drained_) return;
  BeginDrain();
  is_drained_ = true;
  changed_.notify_all();
}

void IoLoop::TellIdle() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (num_waiting_ == 0) return;
  is_idle_ = IsIdle();
  if (is_idle_) changed_.notify_all();
}

// What has come by now goes on to others, if there are any.
void IoLoop::LeaveSiblings() {
  if (siblings_ == nullptr) return;
  siblings_->Close();
  for (int i = 0; i < kMostAccepts && AdoptSome(); ++i) {
  }
}

// Who waits for Accept is welcome; then the port is free for others.
void IoLoop::BeginDrain() {
  LeaveSiblings();
  if (listener_ != nullptr) {
    for (int i = 0; i < kMostAccepts && AcceptSome(); ++i) {
    }
    listener_.reset();
  }
  const int64_t now_us = NowUs();
  for (const auto& [id, peer] : peers_) {
    peer->connection().Drain(now_us);
    Note(id, *peer);
  }
}

bool IoLoop::IsIdle() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [](const auto& entry) { return entry.second->is_quiet(); });
}

void IoLoop::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  drain_asked_ = true;
  outbox_->Wake();
  changed_.wait(lock, [this] { return is_drained_ || stop_asked_; });
}

bool IoLoop::WaitIdle(int64_t timeout_us) {
  std::unique_lock<std::mutex> lock(mutex_);
  is_idle_ = false;
  ++num_waiting_;
  outbox_->Wake();
  const auto is_over = [this] { return is_idle_ || stop_asked_; };
  if (timeout_us > kLongestWaitUs) {
    changed_.wait(lock, is_over);
  } else {
    changed_.wait_for(lock, std::chrono::microseconds(timeout_us), is_over);
  }
  --num_waiting_;
  return is_idle_;
}

void IoLoop::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stop_asked_ = true;
  outbox_->Wake();
  changed_.notify_all();
}

void IoLoop::EndAll() {
  LeaveSiblings();
  WriteReplies();
  const int64_t now_us = NowUs();
  for (const auto& [id, peer] : peers_) {
    peer->connection().EndAll({kCodeUnavailable, "the server is going", {}}, now_us);
    peer->Flush(&write_buffer_, now_us);
    peer->Read(read_buffer_.data(), Clock::Steady());
  }
  peers_.clear();
  context_.counters.num_connections.Add(-context_.counters.num_connections.value());
  listener_.reset();
  outbox_->Close();
}

}  // namespace stepwell::front
