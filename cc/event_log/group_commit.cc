#include "cc/event_log/group_commit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::event_log {
namespace {

// Signals are for the process's other threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

// Of this thread alone, as Linux has it; one that stands back further stays there. A
// system that refuses leaves it as it is.
void StandBack() {
  const auto thread = static_cast<id_t>(gettid());
  if (getpriority(PRIO_PROCESS, thread) >= GroupCommit::kNice) return;
  setpriority(PRIO_PROCESS, thread, GroupCommit::kNice);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupCommit>> GroupCommit::Start(
    Commit commit, const EventLogOptions& options) {
  std::unique_ptr<GroupCommit> group(new GroupCommit(std::move(commit), options));
  try {
    const SignalsBlocked blocked;
    group->thread_ = std::thread([running = group.get()] { running->Run(); });
  } catch (const std::system_error& error) {
    return absl::UnavailableError(
        absl::StrCat("no thread for an event log: ", error.what()));
  }
  return group;
}

absl::StatusOr<Receipt> GroupCommit::Append(Batch batch) {
  event_log::Append append;
  Pending pending{.batch = std::move(batch), .append = &append};
  STEPWELL_RETURN_IF_ERROR(queue_.Push(&pending));
  return board_.WaitFor(append);
}

absl::StatusOr<int64_t> GroupCommit::Submit(Batch batch) {
  const int64_t num_uncollected = board_.num_uncollected();
  if (num_uncollected >= options_.max_pending_events) {
    return absl::ResourceExhaustedError(
        absl::StrCat(num_uncollected, " batches have ended, and nobody collects them"));
  }
  const int64_t ticket = ++last_ticket_;
  Pending pending{.batch = std::move(batch), .ticket = ticket};
  STEPWELL_RETURN_IF_ERROR(queue_.Push(&pending));
  return ticket;
}

bool GroupCommit::Post(Record record) {
  Pending pending;
  pending.batch.push_back(std::move(record));
  return queue_.Push(&pending).ok();
}

void GroupCommit::Close() {
  std::call_once(closed_, [this] {
    queue_.Close();
    if (thread_.joinable()) thread_.join();
    board_.Close();
  });
}

void GroupCommit::Run() {
  pthread_setname_np(pthread_self(), "event-log");
  StandBack();
  while (true) {
    std::vector<Pending> group = queue_.TakeGroup();
    if (group.empty()) return;
    CommitGroup(std::move(group));
  }
}

void GroupCommit::CommitGroup(std::vector<Pending> group) {
  std::vector<Batch> batches;
  batches.reserve(group.size());
  for (Pending& pending : group) batches.push_back(std::move(pending.batch));
  absl::StatusOr<std::vector<Receipt>> receipts = commit_(batches);
  for (size_t i = 0; i < group.size(); ++i) group[i].batch = std::move(batches[i]);
  board_.Post(std::move(group), std::move(receipts));
}

}  // namespace stepwell::event_log
