// SPDX-License-Identifier: Apache-2.0
// The fault walk: the life cycle of an image, a pod and its containers with a crash at every step that
// changes the host or the disk, one step at a time. After each: a restart, the same pod again by the same
// metadata, removal, and `berth fsck` finds nothing. The points are those that the linker gathered in the
// programs.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <set>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

using testing::IsEmpty;
using Timeout = Client::Timeout;

bool StartsWith(const std::string& text, const std::string& beginning) {
  return text.rfind(beginning, 0) == 0;
}

// Passed by a repair, and by a start after records were lost: the second walk.
bool OfRepair(const std::string& point) {
  static const std::set<std::string> restoring{"runtime.container_restore", "runtime.pod_restore",
                                               "runtime.record_quarantine"};
  return StartsWith(point, "fsck.") || restoring.count(point) != 0;
}

// Where the life cycle cannot go, and why.
const std::map<std::string, std::string>& Unreachable() {
  static const std::map<std::string, std::string> points{
      {"cgroupfs.join", "programs are born into their cgroup"},
      {"cgroupfs.subtree_control", "cgroup v2 only"},
      {"cgroupfs.undo", "after the kernel refused a limit"},
      {"image.overlay.config", "more layers than mount(2) takes"},
      {"image.record.quarantine", "a record of an image that is damaged"},
      {"image.record.sweep", "a record that a crash left half-written"},
      {"image.rootfs.copied", "where overlayfs does not work"},
      {"image.rootfs.copy", "where overlayfs does not work"},
      {"monitor.kill_cgroup", "a container that leaves processes behind"},
      {"monitor.write_fallback_record", "when the disk refuses the exit record"},
      {"network.gc", "plugins of CNI 1.1"},
      {"network.template", "where no other network is in force"},
      {"runtime.monitor_continue", "a monitor that somebody stopped"},
      {"runtime.monitor_kill", "a monitor that does not shut down"},
      {"runtime.pin_target", "a container in another's PID namespace"},
      {"runtime.record_take_newer", "after a power loss"},
      {"runtime.container_undo", "after a power loss"},
      {"runtime.pod_undo", "after a power loss"},
      {"runtime.recover_pod", "a start with pods: only the starts after a crash"},
      {"runtime.silent_monitor_kill", "a monitor that does not answer"},
      {"runtime.stub_kill", "a record that cannot be read"},
      {"security.load_apparmor", "where the kernel has AppArmor"},
      {"security.relabel", "where the kernel has SELinux"},
      {"store.backed_up", "there is no second schema yet"},
      {"store.checkpoint", "after a thousand pages of log"},
      {"store.migrate", "there is no second schema yet"},
      {"store.quarantine", "a database that is none"},
      {"store.schema", "the first start of all, before the walk"},
  };
  return points;
}

std::set<std::string> CompiledIn() {
  std::set<std::string> points;
  for (const char* program : {"berthd", "berth-monitor", "berth-unpack"}) {
    const RunResult listed = RunProgram({"/usr/bin/env", "BERTH_FAULT_LIST=all", ProgramBeside(program)});
    if (listed.exit_code != 0) return {};
    for (const std::string& line : Lines(listed.output)) {
      if (line.find(' ') == std::string::npos && line.find('.') != std::string::npos) points.insert(line);
    }
  }
  return points;
}

class FaultWalk : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
#ifndef BERTH_FAULTS  // a release's programs know nothing of the list: they would just start
    GTEST_SKIP() << "needs a build with BERTH_FAULTS=ON (presets debug, asan)";
#endif
    points_ = CompiledIn();
    ASSERT_FALSE(points_.empty());
    Environment& environment = Environment::Get();
    environment.registry().Push("busybox", "walk:1");
    environment.registry().Push("volume", "walk-volume:1");
    user_namespaces_ = WhyNoUserNamespaces().empty();
    walk_ = std::make_unique<Daemon>(environment.AnotherDaemon("walk"));
    environment.Use(walk_.get());
    config_ = PodConfig();
    Namespaces(&config_)->set_pid(cri::POD);  // with a holder
    (*config_.mutable_linux()->mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "0";
    config_.mutable_linux()->clear_cgroup_parent();  // ours to choose, to make and to remove
    MakeDirs(config_.log_directory() + "/walk");
  }
  void TearDown() override {
    Environment::Get().Use(nullptr);
    walk_.reset();
  }
  const Client& Call() { return walk_->client(); }

  cri::ContainerConfig Container(const std::string& name, const std::vector<std::string>& arguments) {
    cri::ContainerConfig config;
    config.mutable_metadata()->set_name(name);
    config.mutable_image()->set_image(Registry::Name("walk:1"));
    config.set_log_path("walk/" + name + ".log");
    config.add_command("faults");
    for (const std::string& word : arguments) config.add_args(word);
    Resources(&config)->set_memory_limit_in_bytes(64 * kMiB);
    Security(&config)->mutable_namespace_options()->set_pid(cri::POD);
    return config;
  }

  std::string Begin(const std::string& pod, const std::string& name,
                    const std::vector<std::string>& arguments,
                    const std::function<void(cri::ContainerConfig*)>& adjust = nullptr) {
    cri::CreateContainerRequest create;
    create.set_pod_sandbox_id(pod);
    *create.mutable_config() = Container(name, arguments);
    if (adjust) adjust(create.mutable_config());
    *create.mutable_sandbox_config() = config_;
    const std::string id = Must(Call().CreateContainer(create, patience_)).container_id();
    Must(Call().StartContainer(WithContainer<cri::StartContainerRequest>(id), patience_));
    return id;
  }

  // The whole of it; throws at the first call that fails. A second one with the same metadata is a retry.
  void Live() {
    cri::PullImageRequest pull;
    pull.mutable_image()->set_image(Registry::Name("walk:1"));
    Must(Call().PullImage(pull, patience_));
    cri::RunPodSandboxRequest run;
    *run.mutable_config() = config_;
    const std::string pod = Must(Call().RunPodSandbox(run, patience_)).pod_sandbox_id();
    const std::string server = Begin(pod, "server", {"term", "5"});
    const std::string ends = Begin(pod, "ends", {"exit", "7"}), killed = Begin(pod, "killed", {"ignore"});
    // Waits for the signal handler, and so for the exec's end.
    cri::ExecSyncRequest exec;
    exec.set_container_id(server);
    exec.add_cmd("sh");
    exec.add_cmd("-c");
    exec.add_cmd("grep -q ready /proc/1/cmdline; exit 3");
    exec.set_timeout(10);
    EXPECT_EQ(Must(Call().ExecSync(exec, patience_)).exit_code(), 3);
    exec.clear_cmd();
    for (const char* word : {"faults", "ignore"}) exec.add_cmd(word);
    exec.set_timeout(1);  // killed
    if (const auto slow = Call().ExecSync(exec, patience_); !absl::IsDeadlineExceeded(slow.status()))
      throw TestError("an exec beyond its time: " + slow.status().ToString());
    cri::UpdateContainerResourcesRequest update;
    update.set_container_id(server);
    update.mutable_linux()->set_memory_limit_in_bytes(80 * kMiB);
    Must(Call().UpdateContainerResources(update, patience_));
    Must(Call().ReopenContainerLog(WithContainer<cri::ReopenContainerLogRequest>(server), patience_));
    ExpectExit(ends, 7);
    cri::StopContainerRequest stop;
    stop.set_container_id(server);
    stop.set_timeout(10);
    Must(Call().StopContainer(stop, patience_));
    ExpectExit(server, 5);
    Must(Call().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(server), patience_));
    Must(Call().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(killed), patience_));
    Must(Call().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod), patience_));
    Must(Call().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod), patience_));
    LoseAMonitor();
    pull.mutable_image()->set_image(Registry::Name("walk-volume:1"));
    Must(Call().PullImage(pull, patience_));
    HaveVolumes();
    cri::RemoveImageRequest remove;
    for (const char* image : {"walk:1", "walk-volume:1"}) {
      remove.mutable_image()->set_image(Registry::Name(image));
      Must(Call().RemoveImage(remove, patience_));
    }
    Import();
  }

  // hostUsers: false, with volumes of every kind: of the host, of the image, an image.
  void HaveVolumes() {
    const std::string source = Environment::Get().dir() + "/walk-volume";
    MakeDirs(source);
    cri::RunPodSandboxRequest run;
    *run.mutable_config() = config_;
    run.mutable_config()->mutable_metadata()->set_name("walk-volumes");
    if (user_namespaces_) GiveUserNamespace(run.mutable_config());
    const std::string pod = Must(Call().RunPodSandbox(run, patience_)).pod_sandbox_id();
    const std::string container = Begin(pod, "volumes", {"exit", "3"}, [&](cri::ContainerConfig* config) {
      config->mutable_image()->set_image(Registry::Name("walk-volume:1"));
      AddImage(config, Registry::Name("walk:1"), "/img");
      if (user_namespaces_) AddMapped(config, source, "/source");
    });
    ExpectExit(container, 3);
    Must(Call().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod), patience_));
    Must(Call().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod), patience_));
  }

  void LoseAMonitor() {
    cri::RunPodSandboxRequest run;
    *run.mutable_config() = config_;
    run.mutable_config()->mutable_metadata()->set_name("walk-lost");
    const std::string pod = Must(Call().RunPodSandbox(run, patience_)).pod_sandbox_id();
    const std::string container = Begin(pod, "lost", {"ignore"});
    KillMonitor(pod);
    ExpectExit(container, 137);
    Must(Call().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod), patience_));
    Must(Call().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod), patience_));
  }

  void KillMonitor(const std::string& pod) {
    const std::string pid = ReadFile(walk_->state() + "/pods/" + pod + "/monitor.pid");
    if (::kill(std::stoi(pid), SIGKILL) != 0) throw TestError("the monitor is gone already");
  }

  void ExpectExit(const std::string& id, int code) {
    cri::ContainerStatus status;
    WaitFor("the end of a container", [&] {
      status =
          Must(Call().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(id), patience_)).status();
      return status.state() == cri::CONTAINER_EXITED;
    });
    if (status.exit_code() != code)
      throw TestError("exit code " + std::to_string(status.exit_code()) + " instead of " +
                      std::to_string(code) + ": " + status.message());
  }

  void Import() {
    const RunResult imported =
        Berth({"import", GetOptions().images + "/plain.oci.tar", "--name", "walk.test/plain:1"});
    if (imported.exit_code != 0) throw TestError("import: " + imported.output);
    cri::RemoveImageRequest remove;
    remove.mutable_image()->set_image("walk.test/plain:1");
    Must(Call().RemoveImage(remove, patience_));
  }

  // As kubelet does after a restart of the runtime: what is listed is stopped and removed.
  void RemoveWhatIsListed() {
    const auto pods = Must(Call().ListPodSandbox({}, patience_));
    for (const cri::PodSandbox& pod : pods.items()) {
      absl::Status gone;
      for (int i = 0; i < 3;
           ++i) {  // kubelet tries for ever; a monitor with the fault in it may die once more
        gone = Call().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod.id()), patience_).status();
        if (gone.ok())
          gone = Call().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod.id()), patience_).status();
        if (gone.ok()) break;
      }
      Must(gone);
    }
  }

  void Start(const std::vector<std::string>& environment) {
    walk_->Kill9();
    // As after a reboot; busy while there are pods.
    ::umount2((walk_->state() + "/pods").c_str(), UMOUNT_NOFOLLOW);
    walk_->config().environment = environment;
    walk_->Start();
  }

  // The probes' results are kept by boot.
  void ProbeAgain() const { ::unlink((walk_->state() + "/handlers.json").c_str()); }

  // Crashes at the first passing of `point`; what fails is told, not thrown.
  std::string Walk(const std::string& point) {
    std::string crash = "nothing failed";
    try {
      patience_ = seconds(20);
      if (StartsWith(point, "oci.")) ProbeAgain();
      Start({"BERTH_FAULT=" + point + ":abort"});
      Live();
      if (walk_->Terminate() != 0) crash = "at its end";
    } catch (const std::exception& error) {
      crash = error.what();
    }
    try {
      patience_ = seconds(60);
      Start({});
      RemoveWhatIsListed();
      Live();
      RemoveWhatIsListed();
    } catch (const std::exception& error) {
      return point + ": after the crash (" + crash.substr(0, 300) + "): " + error.what();
    }
    FsckResult looked;
    // The collector of layers and the retried DEL have their own time.
    Eventually([&] { return (looked = Fsck()).exit_code == 0; }, seconds(20));
    if (looked.exit_code == 0) return "";
    return point + ": fsck found after the crash (" + crash.substr(0, 300) + "): " + looked.output;
  }

  std::set<std::string> Reached() {
    const std::string file = Environment::Get().dir() + "/passed";
    Start({});  // the socket of a dead daemon is in the way of the next
    ProbeAgain();
    Start({"BERTH_FAULT_LIST=" + file});
    Live();
    walk_->Terminate();
    const std::vector<std::string> lines = Lines(TryReadFile(file).value_or(""));
    return {lines.begin(), lines.end()};
  }

  std::set<std::string> points_;
  std::unique_ptr<Daemon> walk_;
  cri::PodSandboxConfig config_;
  Timeout patience_ = seconds(60);
  bool user_namespaces_ = false;
};

// Of the points, one in this many is walked in a run of CI, another one each day; all in a full run.
constexpr int kShare = 4;

TEST_F(FaultWalk, AfterACrashAtAnyStepTheRetryWorksAndNothingIsLeft) {
  const std::set<std::string> reached = Reached();
  std::vector<std::string> route;
  for (const std::string& point : points_) {
    // A worker that unpacks sees nothing of the host's files: it cannot say what it passed.
    if (reached.count(point) != 0 || StartsWith(point, "unpack.")) {
      route.push_back(point);
    } else if (OfRepair(point)) {
      continue;
    } else if (Unreachable().count(point) != 0) {
      std::cout << "not reached: " << point << " (" << Unreachable().at(point) << ")\n";
    } else {
      ADD_FAILURE() << "no step of the life cycle passes '" << point
                    << "': lead it there, or say in Unreachable() why not";
    }
  }
  const char* only = std::getenv("BERTH_FAULT_WALK");  // names, separated by commas
  const int day = static_cast<int>(::time(nullptr) / 86400) % kShare;
  int walked = 0;
  for (size_t i = 0; i < route.size(); ++i) {
    if (only != nullptr ? ("," + std::string(only) + ",").find("," + route[i] + ",") == std::string::npos
                        : !GetOptions().full && static_cast<int>(i) % kShare != day) {
      continue;
    }
    const auto begin = Clock::now();
    const std::string failure = Walk(route[i]);
    std::cout << "crash at " << route[i] << ": " << (failure.empty() ? "made up for" : "FAILED") << " in "
              << SecondsSince(begin) << " s" << std::endl;
    EXPECT_TRUE(failure.empty()) << failure;
    ++walked;
  }
  std::cout << points_.size() << " points, " << route.size() << " on the way, " << walked << " walked\n";
}

TEST_F(FaultWalk, ARepairAndTheMakingOfLostRecordsGoOnAfterACrashAtAnyStep) {
  int walked = 0;
  for (const std::string& point : points_) {
    if (!OfRepair(point)) continue;
    ++walked;
    Start({});
    cri::PullImageRequest pull;
    pull.mutable_image()->set_image(Registry::Name("walk:1"));
    Must(Call().PullImage(pull));
    cri::RunPodSandboxRequest run;
    *run.mutable_config() = config_;
    const std::string pod = Must(Call().RunPodSandbox(run)).pod_sandbox_id();
    const std::string container = Begin(pod, "server", {"term", "5"});
    const std::string database = walk_->root() + "/berth.db";
    if (StartsWith(point, "fsck.")) {
      // Without a record and without the file that it could be made of, all of the pod is garbage.
      walk_->Kill9();
      MustRun({"sqlite3", database, "DELETE FROM containers; DELETE FROM pods"});
      ::unlink((walk_->root() + "/pods/" + pod + "/pod.json").c_str());
      Start({"BERTH_FAULT=" + point + ":abort"});
      Fsck({"--repair"});  // where the daemon dies of it, berth goes on without one
      EXPECT_FALSE(walk_->Running()) << point;
      Start({});
      const FsckResult repaired = Fsck({"--repair"});
      EXPECT_EQ(repaired.exit_code, 0) << point << ": " << repaired.output;
      EXPECT_EQ(Must(Call().ListPodSandbox({})).items_size(), 0);
    } else {
      walk_->Kill9();
      MustRun({"sqlite3", database,
               point == "runtime.record_quarantine"
                   ? "UPDATE pods SET record='{'; UPDATE containers SET record=''"
                   : "DELETE FROM containers; DELETE FROM pods"});
      EXPECT_THROW(Start({"BERTH_FAULT=" + point + ":abort"}), TestError) << point;
      Start({});
      EXPECT_EQ(Must(Call().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(pod))).status().state(),
                cri::SANDBOX_READY)
          << point;
      cri::StopContainerRequest stop;
      stop.set_container_id(container);
      stop.set_timeout(10);
      Must(Call().StopContainer(stop));
      ExpectExit(container, 5);
      RemoveWhatIsListed();
    }
    FsckResult looked;
    EXPECT_TRUE(Eventually([&] { return (looked = Fsck()).exit_code == 0; }, seconds(20)))
        << point << ": " << looked.output;
  }
  EXPECT_GE(walked, 7);
}

}  // namespace
}  // namespace berth::e2e
