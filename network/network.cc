// SPDX-License-Identifier: Apache-2.0
#include "network/network.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "network/capabilities.h"
#include "network/chain.h"
#include "network/dir_watch.h"
#include "network/gate.h"
#include "network/judge.h"
#include "network/readiness.h"
#include "network/result.h"
#include "network/template.h"

namespace berth::network {
namespace {

constexpr std::int64_t kUndoBudget = 30 * base::kSecondNs;
constexpr std::int64_t kStatusBudget = 10 * base::kSecondNs;
constexpr int kQuietMs = 50;  // a writer is done when it has been quiet for so long
constexpr std::int64_t kBurstNs = 500 * base::kMillisecondNs;   // but a chatty directory is looked at anyway
constexpr std::int64_t kSettleNs = 200 * base::kMillisecondNs;  // between looks at what seems half-written
constexpr std::int64_t kFirstLookNs = base::kSecondNs;          // how long Open waits
constexpr char kRenderedName[] = "10-berth.conflist";

class NetworkImpl final : public Network {
 public:
  explicit NetworkImpl(Options options) : options_(std::move(options)) {
    state_ = {false, kNotReady,
              absl::StrCat("CNI configuration in '", options_.conf_dir, "' has not been read yet")};
  }
  ~NetworkImpl() override;
  void Start();

  NetworkState state() const override {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  void OnChange(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    callback_ = std::move(callback);
  }
  absl::StatusOr<Attachment> Prepare(const PodNetwork& pod) override;
  absl::Status Add(Attachment& attachment, base::Deadline deadline) override;
  absl::Status Del(const Attachment& attachment, base::Deadline deadline) override;
  absl::Status Check(const Attachment& attachment, base::Deadline deadline) override;
  absl::Status Gc(const std::vector<Attachment>& live, base::Deadline deadline) override;
  absl::Status SetPodCidr(const std::string& pod_cidr) override;

 private:
  // On the thread of this class only:
  void Run();
  void Look();
  bool Hold(const ConfDirContents& contents, const Verdict& verdict);
  void AskPlugins();
  void Publish();
  std::int64_t NextLookNs() const;

  std::shared_ptr<const InForce> in_force() const {
    const std::lock_guard lock(mutex_);
    return in_force_;
  }

  const Options options_;
  Gate gate_;
  VersionCache versions_;
  DirWatch watch_;
  std::thread thread_;

  mutable std::mutex mutex_;  // of what follows; never held while anything blocks
  std::condition_variable looked_;
  bool looked_once_ = false;
  bool stopping_ = false;
  std::shared_ptr<const InForce> in_force_;  // what Prepare hands out; null unless state_.ready
  NetworkState state_;
  std::function<void()> callback_;

  // Of the thread:
  Verdict verdict_;
  Readiness readiness_;
  std::string status_words_;
  std::string judged_text_;
  std::int64_t status_due_ns_ = 0;
  std::int64_t hold_since_ns_ = 0;
  std::set<std::string> bad_signatures_;
  bool holding_ = false;
};

NetworkImpl::~NetworkImpl() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  watch_.Wake();
  if (thread_.joinable()) thread_.join();
}

void NetworkImpl::Start() {
  if (!watch_.works()) {
    base::LogWarning("inotify is not to be had; the CNI directory is polled instead",
                     {{"dir", options_.conf_dir}});
  }
  thread_ = std::thread([this] { Run(); });
  std::unique_lock lock(mutex_);
  looked_.wait_for(lock, std::chrono::nanoseconds(kFirstLookNs), [this] { return looked_once_; });
}

void NetworkImpl::Run() {
  for (;;) {
    std::vector<std::string> dirs{options_.conf_dir};
    if (verdict_.in_force) dirs.push_back(absl::StrCat(options_.conf_dir, "/", verdict_.in_force->list.name));
    dirs.insert(dirs.end(), options_.bin_dirs.begin(), options_.bin_dirs.end());
    watch_.Watch(dirs);
    Look();
    const base::Deadline next = base::Deadline::After(NextLookNs());
    if (watch_.Wait(next.PollMs()) == DirWatch::Event::kChanged) {
      const base::Deadline enough = base::Deadline::After(kBurstNs);
      while (!enough.Passed() && watch_.Wait(kQuietMs) == DirWatch::Event::kChanged) {
      }
    }
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

std::int64_t NetworkImpl::NextLookNs() const {
  if (holding_) return std::min(kSettleNs, options_.grace_ns);
  const bool steady =
      verdict_.state.ready && (!readiness_.known() || (readiness_.ready() && readiness_.steady()));
  return steady ? options_.status_poll_ns : options_.status_retry_ns;
}

void NetworkImpl::Look() {
  const ConfDirContents contents = LoadConfDir(options_.conf_dir);
  Verdict verdict = Judge(contents, options_.conf_dir, options_.bin_dirs, versions_);
  holding_ = Hold(contents, verdict);
  if (!holding_) verdict_ = std::move(verdict);
  AskPlugins();
  Publish();
}

// While a CNI is upgraded its file is gone or half-written for a moment: the network that worked stays in
// force until what is there has settled, or the grace is over.
bool NetworkImpl::Hold(const ConfDirContents& contents, const Verdict& verdict) {
  std::set<std::string> signatures;
  bool fresh = false;
  for (const auto& bad : contents.bad) {
    signatures.insert(bad.path + ":" + bad.signature);
    fresh = fresh || !bad_signatures_.contains(bad.path + ":" + bad.signature);
  }
  bad_signatures_ = std::move(signatures);
  const bool other =
      verdict.in_force && verdict_.in_force && verdict.in_force->text != verdict_.in_force->text;
  const bool worse = verdict_.state.ready && (!verdict.state.ready || (other && fresh));
  const std::int64_t now = base::MonotonicNs();
  if (!worse) {
    hold_since_ns_ = 0;
    return false;
  }
  if (hold_since_ns_ == 0) hold_since_ns_ = now;
  return now - hold_since_ns_ < options_.grace_ns;
}

void NetworkImpl::AskPlugins() {
  if (!verdict_.in_force || verdict_.in_force->list.version < kStatusSince) {
    readiness_.Reset();
    judged_text_.clear();
    return;
  }
  const std::int64_t now = base::MonotonicNs();
  if (verdict_.in_force->text != judged_text_) {
    judged_text_ = verdict_.in_force->text;
    readiness_.Reset();
    status_due_ns_ = now;
  }
  if (now < status_due_ns_) return;
  const absl::Status status =
      AskStatus(verdict_.in_force->list, options_.bin_dirs, base::Deadline::After(kStatusBudget));
  if (!status.ok()) status_words_ = std::string(status.message());
  (void)readiness_.Observe(status.ok());
  const bool calm = readiness_.ready() && readiness_.steady();
  // Slightly less than the pause until the next look, which must find it due.
  status_due_ns_ = base::MonotonicNs() + (calm ? options_.status_poll_ns : options_.status_retry_ns) * 9 / 10;
}

void NetworkImpl::Publish() {
  NetworkState state = verdict_.state;
  if (state.ready && readiness_.known() && !readiness_.ready()) {
    state = {false, kNotReady,
             absl::StrCat("CNI configuration '", verdict_.in_force->path, "': ", status_words_)};
  }
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    const bool changed =
        state.ready != state_.ready || state.reason != state_.reason || state.message != state_.message;
    in_force_ = state.ready ? verdict_.in_force : nullptr;
    if (changed) {
      const base::Field why("why", state.message);
      const base::Field file("file", in_force_ ? in_force_->path : std::string());
      if (!state.ready) {
        base::LogWarning("network is not ready", {why});
      } else if (state.message.empty()) {
        base::LogInfo("network is ready", {file});
      } else {
        base::LogWarning("network is ready, but a file was passed over", {file, why});
      }
      callback = callback_;
      state_ = std::move(state);
    }
    looked_once_ = true;
  }
  looked_.notify_all();
  if (callback) callback();
}

absl::StatusOr<Attachment> NetworkImpl::Prepare(const PodNetwork& pod) {
  BERTH_RETURN_IF_ERROR(CapabilityArgs(pod).status());
  BERTH_RETURN_IF_ERROR(CniArgs(pod).status());
  const std::lock_guard lock(mutex_);
  if (!in_force_)
    return absl::FailedPreconditionError(absl::StrCat("network is not ready: ", state_.message));
  Attachment attachment;
  attachment.pod = pod;
  attachment.conflist = in_force_->text;
  return attachment;
}

absl::Status NetworkImpl::Add(Attachment& attachment, base::Deadline deadline) {
  BERTH_ASSIGN_OR_RETURN(const Chain chain, Chain::For(attachment, options_.bin_dirs));
  if (!gate_.Enter(deadline))
    return absl::DeadlineExceededError("CNI ADD waited for a CNI GC that did not end");
  Chain::Added added;
  absl::Status status = chain.Add(deadline, added);
  if (status.ok()) {
    gate_.Leave();
    attachment.result = ToText(added.result);
    attachment.ips = PodIps(added.result, kInterface);
    return status;
  }
  const absl::Status undone = chain.Del(base::Deadline::After(kUndoBudget), added.result, added.started);
  gate_.Leave();
  if (undone.ok()) return status;
  return absl::UnavailableError(
      absl::StrCat(std::string(status.message()),
                   "; undoing it failed and must be tried again: ", std::string(undone.message())));
}

absl::Status NetworkImpl::Del(const Attachment& attachment, base::Deadline deadline) {
  BERTH_ASSIGN_OR_RETURN(const Chain chain, Chain::For(attachment, options_.bin_dirs));
  // A cached result that cannot be read is no reason to keep the address: plugins must cope without one.
  auto result =
      attachment.result.empty() ? absl::StatusOr<Json>(Json(nullptr)) : ParseJsonObject(attachment.result);
  if (!gate_.Enter(deadline))
    return absl::DeadlineExceededError("CNI DEL waited for a CNI GC that did not end");
  absl::Status status = chain.Del(deadline, result.ok() ? *result : Json(nullptr));
  gate_.Leave();
  return status;
}

absl::Status NetworkImpl::Check(const Attachment& attachment, base::Deadline deadline) {
  BERTH_ASSIGN_OR_RETURN(const Chain chain, Chain::For(attachment, options_.bin_dirs));
  if (attachment.result.empty())
    return absl::FailedPreconditionError(
        absl::StrCat("pod '", attachment.pod.pod_id, "' has not been added to its network"));
  const auto result = ParseJsonObject(attachment.result);
  if (!result.ok()) return base::WithCode(absl::StatusCode::kDataLoss, result.status(), "stored CNI result");
  if (!gate_.Enter(deadline))
    return absl::DeadlineExceededError("CNI CHECK waited for a CNI GC that did not end");
  absl::Status status = chain.Check(deadline, *result);
  gate_.Leave();
  return status;
}

absl::Status NetworkImpl::Gc(const std::vector<Attachment>& live, base::Deadline deadline) {
  const auto network = in_force();
  if (!network || network->list.version < kStatusSince || network->list.disable_gc) return absl::OkStatus();
  std::vector<std::string> pods;
  for (const auto& attachment : live) {
    const auto list = ParseConflist(attachment.conflist);
    // One that cannot be read might be of this network: then it is safer to call it alive.
    if (!list.ok() || list->name == network->list.name) pods.push_back(attachment.pod.pod_id);
  }
  if (!gate_.EnterAlone(deadline))
    return absl::DeadlineExceededError("CNI GC found no moment without an ADD or DEL under way");
  absl::Status status = CollectGarbage(network->list, options_.bin_dirs, pods, deadline);
  gate_.LeaveAlone();
  return status;
}

absl::Status NetworkImpl::SetPodCidr(const std::string& pod_cidr) {
  if (options_.conf_template.empty() || pod_cidr.empty()) return absl::OkStatus();
  BERTH_ASSIGN_OR_RETURN(const auto cidrs, ParsePodCidrs(pod_cidr));
  const std::string path = absl::StrCat(options_.conf_dir, "/", kRenderedName);
  if (const auto network = in_force(); network && network->path != path) {
    base::LogInfo("CNI template not rendered: another network is in force", {{"file", network->path}});
    return absl::OkStatus();
  }
  const auto text = base::ReadFile(options_.conf_template);
  if (!text.ok())
    return base::WithCode(absl::StatusCode::kInternal, base::ToStatus(text.error()), "CNI template");
  auto rendered = RenderTemplate(*text, cidrs);
  if (!rendered.ok())
    return base::WithCode(absl::StatusCode::kFailedPrecondition, rendered.status(),
                          absl::StrCat("CNI template '", options_.conf_template, "'"));
  if (const auto old = base::ReadFile(path); old.ok() && *old == *rendered) return absl::OkStatus();
  BERTH_FAULT_POINT("network.template");
  if (const auto made = base::MakeDirs(options_.conf_dir, 0755); !made.ok())
    return base::ToStatus(made.error());
  if (const auto written = base::WriteFileDurable(path, *rendered, 0644); !written.ok())
    return base::ToStatus(written.error());
  base::LogInfo("CNI configuration rendered", {{"file", path}, {"pod_cidr", pod_cidr}});
  watch_.Wake();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Open(Options options) {
  if (options.conf_dir.empty() || options.conf_dir[0] != '/')
    return absl::InvalidArgumentError(
        absl::StrCat("CNI conf_dir '", options.conf_dir, "' is no absolute path"));
  if (options.bin_dirs.empty()) return absl::InvalidArgumentError("CNI bin_dirs is empty");
  for (const auto& dir : options.bin_dirs) {
    if (dir.empty() || dir[0] != '/')
      return absl::InvalidArgumentError(absl::StrCat("CNI bin_dirs: '", dir, "' is no absolute path"));
  }
  auto network = std::make_unique<NetworkImpl>(std::move(options));
  network->Start();
  return network;
}

}  // namespace berth::network
