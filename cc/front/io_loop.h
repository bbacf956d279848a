// The one thread that reads and writes for all callers.
#ifndef STEPWELL_CC_FRONT_IO_LOOP_H_
#define STEPWELL_CC_FRONT_IO_LOOP_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/clock.h"
#include "cc/front/admission_queue.h"
#include "cc/front/descriptor.h"
#include "cc/front/http2_connection.h"
#include "cc/front/listener.h"
#include "cc/front/outbox.h"
#include "cc/front/peer.h"
#include "cc/front/siblings.h"
#include "cc/front/side_queue.h"

namespace stepwell::front {

// A turn: what has come is read, all replies are framed, then each peer that got some
// is written to once.
//
// Concurrency: Run is the I/O thread; Drain, WaitIdle, Stop, side and counters from
// any, Drain and WaitIdle only while Run runs. The rest before Run.
class IoLoop : private CallHandler {
 public:
  // Checked options; `siblings` of others on the port, nullptr without. Unavailable
  // when the process has no descriptors left.
  static absl::StatusOr<std::unique_ptr<IoLoop>> Open(
      const FrontOptions& options, std::vector<MethodOptions> methods,
      AdmissionQueue* queue, std::unique_ptr<Siblings> siblings);
  ~IoLoop() override;

  absl::Status Bind();  // nothing when it is bound
  absl::Status Listen();
  int port() const { return port_; }

  void Run();

  void Drain();
  bool WaitIdle(int64_t timeout_us);
  void Stop();

  SideQueue& side() { return side_; }
  FrontCounters counters() const { return context_.counters.Snapshot(); }

 private:
  IoLoop(const FrontOptions& options, std::vector<MethodOptions> methods,
         AdmissionQueue* queue, std::unique_ptr<Siblings> siblings);

  void OnCall(std::shared_ptr<Call> call) override;
  bool OnSide(SideEvent event) override { return side_.Push(std::move(event)); }
  void OnCancelled(const std::shared_ptr<Call>& call) override;

  int64_t NowUs() const;
  absl::Status Watch(int descriptor, uint64_t id);
  void Turn();
  int SleepMillis();
  void TakeEvent(uint64_t id);
  bool AcceptSome();
  bool AdoptSome();
  void Adopt(Descriptor socket);
  void KeepOrGive(Descriptor socket);
  Peer* Admit(Descriptor socket);
  Peer* Welcome(Descriptor socket);
  void WriteReplies();
  void TickAll(int64_t now_us);
  void FlushNoted();
  void FlushPeer(uint64_t id, int64_t now_us);
  void Note(uint64_t id, Peer& peer);
  void Remove(uint64_t id);
  void DrainIfAsked();
  void TellIdle();
  void LeaveSiblings();
  void BeginDrain();
  bool IsIdle() const;
  void EndAll();

  FrontContext context_;
  AdmissionQueue* const queue_;
  const std::shared_ptr<Outbox> outbox_;
  SideQueue side_;
  const std::unique_ptr<Siblings> siblings_;
  std::unique_ptr<Listener> listener_;
  int port_ = 0;
  const Descriptor epoll_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Peer>> peers_;
  uint64_t next_id_;
  int64_t next_tick_us_ = 0;
  std::vector<uint64_t> noted_;
  std::vector<Reply> replies_;
  std::string read_buffer_;
  std::string write_buffer_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // With the lock:
  bool drain_asked_ = false;
  bool is_drained_ = false;
  bool stop_asked_ = false;
  int num_waiting_ = 0;  // in WaitIdle
  bool is_idle_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_IO_LOOP_H_
