// SPDX-License-Identifier: Apache-2.0
// Stand-ins for what cri/ calls: they note what was asked and answer what the test says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/files.h"
#include "image/image.h"
#include "network/network.h"
#include "runtime/runtime.h"

namespace berth::cri {

class FakeImages final : public image::Images {
 public:
  std::function<absl::StatusOr<std::string>(const image::PullRequest&)> on_pull;
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string&, const std::string&)> on_import;
  std::vector<std::shared_ptr<const image::ImageRecord>> records;

  absl::StatusOr<std::string> Pull(const image::PullRequest& request) override { return on_pull(request); }
  absl::StatusOr<std::vector<std::string>> Import(const std::string& path, const std::string& hint) override {
    return on_import(path, hint);
  }
  std::shared_ptr<const image::ImageRecord> Find(const std::string& reference) const override {
    for (const auto& record : records) {
      if (record->id == reference) return record;
    }
    return nullptr;
  }
  std::vector<std::shared_ptr<const image::ImageRecord>> List() const override { return records; }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  image::FsUsage Usage() const override { return {1, "/", 0, 0}; }
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

class FakeNetwork final : public network::Network {
 public:
  network::NetworkState now{true, "", ""};
  std::string cidr;

  network::NetworkState state() const override { return now; }
  void OnChange(std::function<void()>) override {}
  absl::StatusOr<network::Attachment> Prepare(const network::PodNetwork&) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status Add(network::Attachment&, base::Deadline) override { return absl::UnimplementedError("fake"); }
  absl::Status Del(const network::Attachment&, base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status Check(const network::Attachment&, base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status Gc(const std::vector<network::Attachment>&, base::Deadline) override {
    return absl::UnimplementedError("fake");
  }
  absl::Status SetPodCidr(const std::string& pod_cidr) override {
    cidr = pod_cidr;
    return absl::OkStatus();
  }
};

class FakeRuntime final : public runtime::Runtime {
 public:
  runtime::Options given;
  std::shared_ptr<const runtime::Snapshot> shown = std::make_shared<runtime::Snapshot>();
  std::optional<std::string> not_ready;
  std::function<absl::StatusOr<std::string>(const runtime::PodConfig&, const std::string&,
                                            const runtime::Caller&)>
      on_run_pod;
  std::function<absl::StatusOr<std::string>(const runtime::ContainerConfig&, const runtime::Caller&)>
      on_create;
  std::function<absl::Status(const std::string&, std::int64_t)> on_stop;
  std::function<absl::StatusOr<runtime::ExecResult>(const runtime::Caller&)> on_exec;
  std::function<absl::Status(const std::string&, const cgroupfs::Resources&)> on_update;

  std::shared_ptr<const runtime::Snapshot> snapshot() const override { return shown; }
  absl::StatusOr<std::shared_ptr<const runtime::PodStatus>> FindPod(const std::string& id) const override {
    for (const auto& pod : shown->pods) {
      if (pod->id == id) return pod;
    }
    return absl::NotFoundError("no pod '" + id + "'");
  }
  absl::StatusOr<std::shared_ptr<const runtime::ContainerStatus>> FindContainer(
      const std::string& id) const override {
    for (const auto& container : shown->containers) {
      if (container->id == id) return container;
    }
    return absl::NotFoundError("no container '" + id + "'");
  }
  absl::StatusOr<std::string> RunPod(const runtime::PodConfig& config, const std::string& handler,
                                     const runtime::Caller& caller) override {
    return on_run_pod(config, handler, caller);
  }
  absl::Status StopPod(const std::string&, const runtime::Caller&) override { return absl::OkStatus(); }
  absl::Status RemovePod(const std::string&, const runtime::Caller&) override { return absl::OkStatus(); }
  absl::Status UpdatePodResources(const std::string&, const std::optional<cgroupfs::Resources>&,
                                  const std::optional<cgroupfs::Resources>&,
                                  const runtime::Caller&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> CreateContainer(const std::string&, const runtime::ContainerConfig& config,
                                              const runtime::Caller& caller) override {
    return on_create(config, caller);
  }
  absl::Status StartContainer(const std::string&, const runtime::Caller&) override {
    return absl::OkStatus();
  }
  absl::Status StopContainer(const std::string& id, std::int64_t grace_s, const runtime::Caller&) override {
    return on_stop(id, grace_s);
  }
  absl::Status RemoveContainer(const std::string&, const runtime::Caller&) override {
    return absl::OkStatus();
  }
  absl::Status UpdateContainerResources(const std::string& id, const cgroupfs::Resources& resources,
                                        const runtime::Caller&) override {
    return on_update(id, resources);
  }
  absl::Status ReopenLog(const std::string&, const runtime::Caller&) override { return absl::OkStatus(); }
  absl::StatusOr<runtime::ExecResult> ExecSync(const std::string&, const std::vector<std::string>&,
                                               std::int64_t, const runtime::Caller& caller) override {
    return on_exec(caller);
  }
  absl::StatusOr<std::unique_ptr<runtime::Stdio>> Exec(const std::string&, const runtime::StdioRequest&,
                                                       const runtime::Caller&) override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<std::unique_ptr<runtime::Stdio>> Attach(const std::string&, const runtime::StdioRequest&,
                                                         const runtime::Caller&) override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<base::UniqueFd> PodSocket(const std::string&, int) const override {
    return absl::UnimplementedError("fake");
  }
  absl::StatusOr<runtime::ContainerStatsView> Stats(const std::string& id) const override {
    const auto found = FindContainer(id);
    if (!found.ok()) return found.status();
    runtime::ContainerStatsView view;
    view.container = *found;
    return view;
  }
  std::vector<runtime::ContainerStatsView> AllStats(
      const std::function<bool(const runtime::ContainerStatus&)>& wanted) const override {
    std::vector<runtime::ContainerStatsView> all;
    for (const auto& container : shown->containers) {
      if (!wanted(*container)) continue;
      all.emplace_back();
      all.back().container = container;
    }
    return all;
  }
  absl::StatusOr<runtime::Explanation> Explain(const std::string& id) const override {
    return absl::NotFoundError("no container or pod '" + id + "'");
  }
  absl::StatusOr<runtime::fsck::Report> Fsck(bool) override { return runtime::fsck::Report(); }
  std::optional<std::string> NotReadyReason() const override { return not_ready; }
  const runtime::Options& options() const override { return given; }
};

// A directory below /tmp, gone with its owner.
class TestDirectory {
 public:
  TestDirectory() {
    char name[] = "/tmp/berth-test-cri-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TestDirectory() { static_cast<void>(base::RemoveTree(path_)); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace berth::cri
