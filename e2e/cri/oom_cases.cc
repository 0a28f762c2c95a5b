// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/oom_cases.h"

#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"

namespace berth::e2e {
namespace {

constexpr long long kLimit = 48 * kMiB;

// Kills that the kernel counted in this container's cgroup.
long KillCount(const std::string& cgroup) {
  const std::string text =
      TryReadFile(CgroupDir("memory", cgroup) + (CgroupV2() ? "/memory.events" : "/memory.oom_control"))
          .value_or("");
  for (const std::string& line : Lines(text)) {
    if (line.rfind("oom_kill ", 0) == 0) return std::stol(line.substr(9));
  }
  return 0;
}

}  // namespace

std::vector<OomCase> ExactnessCases(DaemonIs daemon) {
  const std::string hostile = "x) a,pid=1,uid=0";
  std::vector<OomCase> cases{
      {.name = "pid 1 killed at once", .command = {"faults", "eat", "256"}, .message = "out of memory"},
      {.name = "pid 1 killed after a while",
       .command = {"faults", "eat", "4", "25"},
       .message = "out of memory"},
      {.name = "child killed, pid 1 exits 0",
       .command = {"faults", "child", "exit", "0", "--", "eat", "8"},
       .exit_code = 0,
       .reason = "Completed",
       .message = "out of memory"},
      {.name = "child killed, pid 1 exits 7",
       .command = {"faults", "child", "exit", "7", "--", "eat", "8"},
       .exit_code = 7,
       .reason = "Error",
       .message = "out of memory"},
      {.name = "child killed, then stopped by SIGTERM",
       .command = {"faults", "child", "sleep", "--", "eat", "8"},
       .after = After::kStopTerm,
       .exit_code = 143,
       .reason = "Error"},
      {.name = "child killed, then stopped by SIGKILL",
       .command = {"faults", "child", "sleep", "--", "eat", "8"},
       .after = After::kStopKill,
       .reason = "Error",
       .message = "stopped by request"},
      {.name = "an exec'd process killed",
       .command = {"faults", "eat", "8"},
       .after = After::kStopTerm,
       .exit_code = 0,
       .reason = "Completed",
       .message = "out of memory",
       .by = By::kExec},
      {.name = "a process that an exec left behind killed",
       .command = {"faults", "eat", "8"},
       .after = After::kStopTerm,
       .exit_code = 0,
       .reason = "Completed",
       .message = "out of memory",
       .by = By::kLeftByExec},
      {.name = "a CLONE_VM child takes pid 1 with it",
       .command = {"faults", "sharemm", "--", "eat", "8"},
       .message = "out of memory"},
      {.name = "a vfork child takes pid 1 with it",
       .command = {"faults", "sharemm", "vfork", "--", "eat", "8"},
       .message = "out of memory"},
      {.name = "a hostile name, killed",
       .command = {"faults", "rename", hostile, "--", "eat", "8"},
       .message = "out of memory"},
      {.name = "a child with a hostile name killed",
       .command = {"faults", "child", "exit", "3", "--", "rename", hostile, "--", "eat", "8"},
       .exit_code = 3,
       .reason = "Error",
       .message = "out of memory"},
      {.name = "a shell that forks and exits 137 by itself",
       .command = {"sh", "-c", "faults eat 8 && echo never"},
       .reason = "Error",
       .message = "out of memory:"},
  };
  if (daemon == DaemonIs::kDead) std::erase_if(cases, [](const OomCase& c) { return c.by == By::kExec; });
  return cases;
}

std::vector<OomCase> PodLimitCases() {
  return {{.name = "the pod's limit is hit, the container's is larger",
           .command = {"faults", "eat", "4"},
           .message = "pod limit",
           .pod_limit = kLimit}};
}

OomTrial::OomTrial(const OomCase& oom_case, int number) : case_(oom_case), number_(number) {
  static std::atomic<int> next{0};
  trigger_dir_ = Environment::Get().dir() + "/triggers/" + std::to_string(next++);
  MakeDirs(trigger_dir_);
  cri::PodSandboxConfig pod_config = PodConfig();
  if (case_.pod_limit > 0) {
    pod_config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(case_.pod_limit);
  }
  pod_ = std::make_unique<Pod>(pod_config);
  // The shell becomes the command: what PID 1 is must not be a shell's business, but in the shell's own case.
  std::vector<std::string> argv{"sh", "-c", "until [ -e /trigger/go ]; do sleep 0.05; done; exec \"$@\"",
                                "sh"};
  argv.insert(argv.end(), case_.command.begin(), case_.command.end());
  cri::ContainerConfig config = case_.by == By::kContainer ? Command(argv) : Server();
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(trigger_dir_);
  mount->set_container_path("/trigger");
  config = WithMemory(config, case_.pod_limit > 0 ? 4 * case_.pod_limit : kLimit);
  container_ = std::make_unique<Container>(Container::Run(*pod_, config));
  if (case_.by == By::kContainer) return;
  container_->WaitLine("ready");
  if (case_.by == By::kLeftByExec) {
    argv[2] = "(" + argv[2] + ") >/dev/null 2>&1 &";
    EXPECT_EQ(container_->Exec(argv).exit_code(), 0);
  } else {
    exec_ = std::thread([id = container_->id(), argv] {
      cri::ExecSyncRequest request;
      request.set_container_id(id);
      for (const std::string& word : argv) request.add_cmd(word);
      const auto reply = Cri().ExecSync(request);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return;
      EXPECT_EQ(reply->exit_code(), 137) << "an exec'd process that was killed for memory";
    });
  }
  WaitFor("the exec", [&] { return container_->Pids().size() >= 2; });
}

OomTrial::~OomTrial() {
  if (exec_.joinable()) exec_.join();
}

void OomTrial::Pull() { WriteFile(trigger_dir_ + "/go", ""); }

bool OomTrial::Killed() const {
  if (case_.after == After::kNothing) return container_->Pids().empty();
  if (KillCount(container_->cgroup()) == 0) return false;
  if (case_.by != By::kContainer) return container_->Pids().size() == 1;
  return container_->Text().find("child ended 137") != std::string::npos;
}

void OomTrial::Settle() {
  if (exec_.joinable()) exec_.join();
  if (case_.after == After::kStopTerm) container_->Stop(20);
  if (case_.after == After::kStopKill) container_->Stop(0);
}

void OomTrial::Check() const {
  SCOPED_TRACE(Describe());
  const cri::ContainerStatus status = container_->WaitExit();
  EXPECT_EQ(status.exit_code(), case_.exit_code) << status.message();
  EXPECT_EQ(status.reason(), case_.reason) << status.message();
  EXPECT_GT(status.started_at(), 0);
  if (!OwnDaemon()) return;
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_THAT(status.message(), testing::HasSubstr(case_.message));
  if (case_.message == "out of memory:") {
    EXPECT_THAT(status.message(), testing::StartsWith("out of memory:"));
  }
  if (case_.reason == "OOMKilled") {
    EXPECT_THAT(status.message(), testing::HasSubstr("host pid"));
    EXPECT_THAT(status.message(), testing::HasSubstr("48.0 MiB"));
  }
}

}  // namespace berth::e2e
