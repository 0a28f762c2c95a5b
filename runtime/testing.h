// SPDX-License-Identifier: Apache-2.0
// Stand-ins for what runtime/ works on: monitors, cgroups, images, the network. The database is a real one in
// a directory of the test's own.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/status.h"
#include "runtime/managers.h"

namespace berth::runtime {

// One pod's monitor. Thread safe; what it answers is set before or while it is asked.
class FakeMonitor {
 public:
  // "" answers; "refuses" (nobody listens), "silent" (connects, and then nothing until the deadline).
  void Be(const std::string& how) {
    Locked([&] { how_ = how; });
  }
  void Lists(monitor::Listed listed) {
    Locked([&] { listed_ = std::move(listed); });
  }
  void StartsWith(std::function<absl::StatusOr<monitor::Started>(const monitor::StartRequest&)> start) {
    Locked([&] { start_ = std::move(start); });
  }
  void KillsWith(std::function<void(const std::string& container)> kill) {
    Locked([&] { kill_ = std::move(kill); });
  }
  // What the newest connection is told.
  monitor::ClientEvents events() {
    monitor::ClientEvents events;
    Locked([&] { events = events_; });
    return events;
  }
  int connections() {
    int count = 0;
    Locked([&] { count = connections_; });
    return count;
  }
  std::set<std::string> asked() {
    std::set<std::string> asked;
    Locked([&] { asked = asked_; });
    return asked;
  }

 private:
  friend class FakeHub;
  friend class FakeClient;
  template <typename Work>
  void Locked(const Work& work) {
    const std::lock_guard lock(mutex_);
    work();
    changed_.notify_all();
  }
  // Waits while it is silent.
  absl::Status Answer(const std::string& what, base::Deadline deadline) {
    std::unique_lock lock(mutex_);
    asked_.insert(what);
    while (how_ == "silent") {
      if (deadline.Passed()) return absl::DeadlineExceededError("the fake monitor is silent");
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return how_ == "refuses" ? absl::UnavailableError("connection refused") : absl::OkStatus();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string how_;
  monitor::Listed listed_;
  std::function<absl::StatusOr<monitor::Started>(const monitor::StartRequest&)> start_;
  std::function<void(const std::string&)> kill_;
  monitor::ClientEvents events_;
  int connections_ = 0;
  std::set<std::string> asked_;
};

class FakeClient final : public monitor::Client {
 public:
  explicit FakeClient(std::shared_ptr<FakeMonitor> monitor) : monitor_(std::move(monitor)) {}
  absl::StatusOr<base::ProcessIdentity> Holder(const monitor::HolderRequest&, base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<monitor::Started> Start(const monitor::StartRequest& request,
                                         base::Deadline deadline) override {
    BERTH_RETURN_IF_ERROR(monitor_->Answer("start", deadline));
    std::function<absl::StatusOr<monitor::Started>(const monitor::StartRequest&)> start;
    monitor_->Locked([&] { start = monitor_->start_; });
    return start(request);
  }
  absl::Status Signal(const monitor::SignalRequest&, base::Deadline deadline) override {
    return monitor_->Answer("signal", deadline);
  }
  absl::Status Kill(const monitor::KillRequest& request, base::Deadline deadline) override {
    BERTH_RETURN_IF_ERROR(monitor_->Answer("kill", deadline));
    std::function<void(const std::string&)> kill;
    monitor_->Locked([&] { kill = monitor_->kill_; });
    if (kill) kill(request.container_id);
    return absl::OkStatus();
  }
  absl::StatusOr<base::UniqueFd> Exec(const monitor::ExecRequest&, const std::vector<int>&,
                                      base::Deadline deadline,
                                      const std::shared_ptr<base::Cancellation>&) override {
    BERTH_RETURN_IF_ERROR(monitor_->Answer("exec", deadline));
    return base::UniqueFd();
  }
  absl::Status ExecKill(const std::string&, base::Deadline deadline) override {
    return monitor_->Answer("exec_kill", deadline);
  }
  absl::StatusOr<base::UniqueFd> Attach(const monitor::AttachRequest&, const std::vector<int>&,
                                        base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status AttachInputLast(const monitor::AttachInputLastRequest&, base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status ReopenLog(const std::string&, base::Deadline deadline) override {
    return monitor_->Answer("reopen_log", deadline);
  }
  absl::Status Update(const std::string&, std::optional<std::int64_t>, base::Deadline deadline) override {
    return monitor_->Answer("update", deadline);
  }
  absl::StatusOr<monitor::Listed> List(base::Deadline deadline) override {
    BERTH_RETURN_IF_ERROR(monitor_->Answer("list", deadline));
    monitor::Listed listed;
    monitor_->Locked([&] { listed = monitor_->listed_; });
    return listed;
  }
  absl::Status Forget(const std::string&, base::Deadline deadline) override {
    return monitor_->Answer("forget", deadline);
  }
  absl::Status Shutdown(base::Deadline deadline) override { return monitor_->Answer("shutdown", deadline); }
  int version() const override { return 1; }
  pid_t monitor_pid() const override { return 0; }

 private:
  const std::shared_ptr<FakeMonitor> monitor_;
};

class FakeHub final : public monitor::Hub {
 public:
  // By the pod's state directory.
  std::shared_ptr<FakeMonitor> Of(const std::string& pod_dir) {
    const std::lock_guard lock(mutex_);
    auto& monitor = monitors_[pod_dir];
    if (monitor == nullptr) monitor = std::make_shared<FakeMonitor>();
    return monitor;
  }
  absl::StatusOr<std::unique_ptr<monitor::Client>> Connect(const std::string& pod_dir,
                                                           monitor::ClientEvents events,
                                                           base::Deadline deadline) override {
    const auto monitor = Of(pod_dir);
    monitor->Locked([&] { ++monitor->connections_; });
    BERTH_RETURN_IF_ERROR(monitor->Answer("connect", deadline));
    monitor->Locked([&] { monitor->events_ = std::move(events); });
    return std::make_unique<FakeClient>(monitor);
  }
  absl::StatusOr<base::ProcessIdentity> Launch(const monitor::LaunchOptions& options,
                                               base::Deadline) override {
    const std::lock_guard lock(mutex_);
    ++launched[options.pod_id];
    return base::ToStatusOr(base::IdentifyProcess(::getpid()));
  }
  std::map<std::string, int> launched;

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FakeMonitor>> monitors_;
};

// Cgroups without processes; notes which were killed.
class FakeCgroups final : public cgroupfs::Host {
 public:
  cgroupfs::Version version() const override { return cgroupfs::Version::kV2; }
  base::Result<std::unique_ptr<cgroupfs::Cgroup>> At(const std::string& path) const override {
    return std::unique_ptr<cgroupfs::Cgroup>(std::make_unique<Group>(this, path));
  }
  bool HasController(const std::string&) const override { return false; }
  std::vector<std::string> HugepageSizes() const override { return {}; }
  std::string UnifiedMountToHide() const override { return ""; }
  std::string MemoryDir(const std::string& path) const override { return path; }
  bool Killed(const std::string& path) const {
    const std::lock_guard lock(mutex_);
    return killed_.count(path) > 0;
  }

 private:
  class Group final : public cgroupfs::Cgroup {
   public:
    Group(const FakeCgroups* host, std::string path) : host_(host), path_(std::move(path)) {}
    const std::string& path() const override { return path_; }
    bool Exists() const override { return false; }
    base::Result<bool> Create() override { return true; }
    base::Result<void> Apply(const cgroupfs::Resources&) override { return {}; }
    std::vector<std::string> ProcsFiles() const override { return {}; }
    base::Result<void> Join(pid_t) override { return {}; }
    base::Result<std::vector<pid_t>> Processes() const override { return std::vector<pid_t>(); }
    base::Result<void> KillAll(base::Deadline) override {
      const std::lock_guard lock(host_->mutex_);
      host_->killed_.insert(path_);
      return {};
    }
    base::Result<void> Remove() override { return {}; }
    base::Result<void> Freeze(base::Deadline) override { return {}; }
    base::Result<void> Thaw() override { return {}; }
    base::Result<cgroupfs::Stats> ReadStats() const override { return cgroupfs::Stats(); }
    base::Result<cgroupfs::OomCounters> ReadOomCounters() const override { return cgroupfs::OomCounters(); }
    base::Result<cgroupfs::Resources> ReadLimits() const override { return cgroupfs::Resources(); }

   private:
    const FakeCgroups* const host_;
    const std::string path_;
  };
  mutable std::mutex mutex_;
  mutable std::set<std::string> killed_;
};

class NoImages final : public image::Images {
 public:
  absl::StatusOr<std::string> Pull(const image::PullRequest&) override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<std::vector<std::string>> Import(const std::string&, const std::string&) override {
    return absl::UnimplementedError("fake");
  }
  std::shared_ptr<const image::ImageRecord> Find(const std::string&) const override { return nullptr; }
  std::vector<std::shared_ptr<const image::ImageRecord>> List() const override { return {}; }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  image::FsUsage Usage() const override { return {}; }
  absl::StatusOr<image::Rootfs> PrepareRootfs(const std::string&, const std::string&,
                                              const std::optional<image::IdShift>&) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status RemoveRootfs(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<image::FsUsage> WritableUsage(const std::string&) const override {
    return absl::UnimplementedError("fake");
  }
  bool overlay_works(std::string*) const override { return true; }
};

// Notes each DEL; fails the first `refused` of them.
class FakeNetwork final : public network::Network {
 public:
  network::NetworkState state() const override { return {true, "", ""}; }
  void OnChange(std::function<void()>) override {}
  absl::StatusOr<network::Attachment> Prepare(const network::PodNetwork&) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status Add(network::Attachment&, base::Deadline) override { return absl::UnimplementedError("fake"); }
  absl::Status Del(const network::Attachment& attachment, base::Deadline) override {
    const std::lock_guard lock(mutex_);
    dels_.push_back(attachment);
    return refused-- > 0 ? absl::UnknownError("the fake plugin keeps it") : absl::OkStatus();
  }
  absl::Status Check(const network::Attachment&, base::Deadline) override { return absl::OkStatus(); }
  absl::Status Gc(const std::vector<network::Attachment>&, base::Deadline) override {
    return absl::OkStatus();
  }
  absl::Status SetPodCidr(const std::string&) override { return absl::OkStatus(); }
  std::vector<network::Attachment> dels() {
    const std::lock_guard lock(mutex_);
    return dels_;
  }
  int refused = 0;

 private:
  std::mutex mutex_;
  std::vector<network::Attachment> dels_;
};

// A database whose disk can be filled.
class FullableStore final : public store::Store {
 public:
  explicit FullableStore(const std::string& path) : store_(*store::Store::Open(path)) {}
  absl::Status Write(std::function<absl::Status(store::Transaction&)> work, store::Durability how) override {
    return full ? absl::ResourceExhaustedError("database or disk is full")
                : store_->Write(std::move(work), how);
  }
  absl::StatusOr<std::vector<store::PodRow>> Pods() override { return store_->Pods(); }
  absl::StatusOr<std::vector<store::ContainerRow>> Containers() override { return store_->Containers(); }
  absl::StatusOr<std::vector<store::ImageRow>> Images() override { return store_->Images(); }
  absl::StatusOr<std::vector<store::ImageNameRow>> ImageNames() override { return store_->ImageNames(); }
  absl::StatusOr<std::vector<store::LayerRow>> Layers() override { return store_->Layers(); }
  absl::StatusOr<std::vector<store::NetworkRow>> Networks() override { return store_->Networks(); }
  absl::StatusOr<std::optional<store::NetworkRow>> Network(const std::string& id) override {
    return store_->Network(id);
  }
  std::string quarantined() const override { return ""; }
  std::atomic<bool> full{false};

 private:
  const std::unique_ptr<store::Store> store_;
};

// A directory below /tmp, gone with its owner.
class TestDirectory {
 public:
  TestDirectory() {
    char name[] = "/tmp/berth-test-runtime-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TestDirectory() { (void)base::RemoveTree(path_); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace berth::runtime
