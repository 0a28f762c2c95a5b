// SPDX-License-Identifier: Apache-2.0
// The node gives berthd no further descriptor or thread: errors that say so, no crash, and all is well again
// when there is room, without a restart.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

class Limits : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
  Daemon& daemon() { return Environment::Get().daemon(); }

  static bool RuntimeReady() {
    const cri::StatusResponse status = Must(Cri().Status({}, seconds(10)));
    for (const cri::RuntimeCondition& condition : status.status().conditions()) {
      if (condition.type() == "RuntimeReady") return condition.status();
    }
    return false;
  }
  // What pods, containers and execs answer now; "" for those that work.
  static std::vector<std::string> TryEverything(const Container& running) {
    std::vector<std::string> answers;
    cri::RunPodSandboxRequest run;
    *run.mutable_config() = PodConfig();
    MakeDirs(run.config().log_directory());
    const auto pod = Cri().RunPodSandbox(run, seconds(30));
    answers.emplace_back(pod.status().message());
    if (pod.ok()) Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod->pod_sandbox_id())));
    auto exec = WithContainer<cri::ExecSyncRequest>(running.id());
    exec.add_cmd("true");
    answers.emplace_back(Cri().ExecSync(exec, seconds(30)).status().message());
    return answers;
  }
};

TEST_F(Limits, WithoutDescriptorsItSaysSoAndGoesOnWhenThereAreSome) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UBSan looks at memory through a pipe: without descriptors it finds fault with every object";
#endif
  const Pod pod;
  const Container running = Container::Run(pod, Server());
  Must(Cri().ListContainers({}));  // the connection is made
  const auto open = static_cast<rlim_t>(ListDir("/proc/" + std::to_string(daemon().pid()) + "/fd").size());
  rlimit before{};
  ASSERT_EQ(::prlimit(daemon().pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit few{open, before.rlim_max};  // a hard limit that was lowered could not be raised again
  ASSERT_EQ(::prlimit(daemon().pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  // More than there are descriptors for: those that cannot be taken now are taken later.
  std::vector<std::unique_ptr<Client>> late;
  for (int i = 0; i < 4; ++i) {
    late.push_back(std::make_unique<Client>(daemon().endpoint()));
    (void)late.back()->Version({}, seconds(1));
  }
  EXPECT_TRUE(RuntimeReady());
  for (const std::string& answer : TryEverything(running))
    EXPECT_THAT(answer, testing::ContainsRegex("[Tt]oo many open files|descriptor"));
  EXPECT_EQ(running.Status().state(), cri::CONTAINER_RUNNING) << "and nobody was taken for dead";
  EXPECT_TRUE(RuntimeReady());
  ASSERT_EQ(::prlimit(daemon().pid(), RLIMIT_NOFILE, &before, nullptr), 0);
  EXPECT_THAT(TryEverything(running), testing::Each(""));
  for (const auto& client : late) Must(client->Version({}, seconds(60)));
  Must(Client(daemon().endpoint()).Version({}, seconds(60)));
  EXPECT_TRUE(daemon().Running());
}

// The pids controller counts threads too; limits of users do not hold for root.
class PidsCgroup {
 public:
  PidsCgroup(const std::string& name, pid_t pid)
      : dir_(Base() + Environment::Get().cgroup_root() + "/" + name), pid_(pid) {
    old_ = OfProcess(pid);
    MakeDirs(dir_);
    WriteFile(dir_ + "/cgroup.procs", std::to_string(pid));
  }
  ~PidsCgroup() {
    WriteFile(Base() + old_ + "/cgroup.procs", std::to_string(pid_));
    ::rmdir(dir_.c_str());
  }
  static std::string Base() {
    return Exists("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
  }
  void Limit(const std::string& most) const { WriteFile(dir_ + "/pids.max", most); }
  int Current() const { return std::stoi(ReadFile(dir_ + "/pids.current")); }

 private:
  static std::string OfProcess(pid_t pid) {
    for (const std::string& line : Lines(ReadFile("/proc/" + std::to_string(pid) + "/cgroup"))) {
      const size_t at = line.find(":pids:");
      if (at != std::string::npos) return line.substr(at + 6);
      if (line.rfind("0::", 0) == 0 && !Exists("/sys/fs/cgroup/pids")) return line.substr(3);
    }
    return "/";
  }
  const std::string dir_;
  const pid_t pid_;
  std::string old_;
};

TEST_F(Limits, WithoutThreadsItSaysSoAndGoesOnWhenThereAreSome) {
  const Pod pod;
  const Container running = Container::Run(pod, Server());
  const Container ends = Container::Run(pod, Faults({"term", "6"}));
  ends.WaitLine("ready");
  const PidsCgroup cgroup("few-threads", daemon().pid());
  Must(Cri().ListContainers({}));
  cgroup.Limit(std::to_string(cgroup.Current()));
  EXPECT_TRUE(RuntimeReady());
  // Many at once, so that those threads that are there do not do; none may end berthd.
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<std::string> refused;
  const int more_than_it_has = cgroup.Current() + 8;
  for (int i = 0; i < more_than_it_has; ++i) {
    threads.emplace_back([&] {
      auto exec = WithContainer<cri::ExecSyncRequest>(running.id());
      for (const char* word : {"sleep", "2"}) exec.add_cmd(word);
      const absl::Status status = Cri().ExecSync(exec, seconds(30)).status();
      const std::lock_guard lock(mutex);
      if (!status.ok()) refused.emplace_back(status.message());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(refused, testing::Not(testing::IsEmpty()));
  for (const std::string& answer : refused)
    EXPECT_THAT(answer, testing::ContainsRegex("gives no further thread|temporarily unavailable"));
  cri::RunPodSandboxRequest run;
  *run.mutable_config() = PodConfig();
  MakeDirs(run.config().log_directory());
  const absl::Status no_pod = Cri().RunPodSandbox(run, seconds(30)).status();
  // Whoever was the first to need one: berthd, a program that it starts, or a CNI plugin within itself.
  EXPECT_THAT(std::string(no_pod.message()),
              testing::ContainsRegex("gives no further thread|temporarily unavailable|CNI ADD by plugin"));
  // What was begun is ended all the same, and told: the stop does not wait for its grace.
  cri::StopContainerRequest stop;
  stop.set_container_id(ends.id());
  stop.set_timeout(3600);
  Must(Cri().StopContainer(stop, seconds(60)));
  EXPECT_EQ(ends.Status().exit_code(), 6);
  EXPECT_TRUE(RuntimeReady());
  cgroup.Limit("max");
  EXPECT_EQ(running.Sh("echo fine"), "fine");
  const Pod after;
  EXPECT_EQ(OutputOf(after, Shell("echo fine")), "fine");
  EXPECT_TRUE(daemon().Running());
}

}  // namespace
}  // namespace berth::e2e
