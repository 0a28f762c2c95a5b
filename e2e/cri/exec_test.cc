// SPDX-License-Identifier: Apache-2.0
// ExecSync: probes and hooks. Its exit code, its output, its end.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

cri::ExecSyncRequest Request(const std::string& id, const std::vector<std::string>& argv, int64_t timeout) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const std::string& word : argv) request.add_cmd(word);
  request.set_timeout(timeout);
  return request;
}

// Host processes whose command line contains `text`.
int ProcessesWith(const std::string& text) {
  int count = 0;
  for (const std::string& pid : ListDir("/proc")) {
    std::string command = TryReadFile("/proc/" + pid + "/cmdline").value_or("");
    std::replace(command.begin(), command.end(), '\0', ' ');
    if (command.find(text) != std::string::npos) ++count;
  }
  return count;
}

TEST(Exec, GivesOutputErrorsAndExitCode) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const cri::ExecSyncResponse reply = container.Exec({"sh", "-c", "echo out; echo err >&2; exit 5"});
  EXPECT_EQ(reply.stdout(), "out\n");
  EXPECT_EQ(reply.stderr(), "err\n");
  EXPECT_EQ(reply.exit_code(), 5);
  EXPECT_EQ(container.Exec({"true"}).exit_code(), 0);
}

TEST(Exec, WithoutTimeoutItTakesAsLongAsItTakes) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(Must(Cri().ExecSync(Request(container.id(), {"sh", "-c", "sleep 2; echo done"}, 0))).stdout(),
            "done\n");
}

TEST(Exec, ADeathBySignalIs128PlusItsNumber) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(container.Exec({"sh", "-c", "kill -9 $$"}).exit_code(), 137);
  EXPECT_EQ(container.Exec({"sh", "-c", "kill -15 $$"}).exit_code(), 143);
}

TEST(Exec, ATimeoutIsDeadlineExceededAndTheWholeTreeIsGone) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const Clock::time_point start = Clock::now();
  const auto reply = Cri().ExecSync(
      Request(container.id(), {"sh", "-c", "trap '' TERM; sleep 31337 & sleep 31337; sleep 31337"}, 1));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kDeadlineExceeded) << reply.status();
  EXPECT_LT(SecondsSince(start), Patient(8));
  if (OwnDaemon()) {
    EXPECT_EQ(ProcessesWith("sleep 31337"), 0);
  } else {  // a peer may kill its children a little later, or only its first process
    WaitFor("the shell to be gone", [] { return ProcessesWith("trap '' TERM") == 0; });
  }
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
}

TEST(Exec, ReturnsWhenItsProcessEndsThoughAGrandchildHoldsThePipe) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const Clock::time_point start = Clock::now();
  const cri::ExecSyncResponse reply =
      container.Exec({"faults", "grandchild", std::to_string(Patient(30))}, Patient(20));
  EXPECT_LT(SecondsSince(start), Patient(5));
  EXPECT_EQ(reply.stdout(), "left\n");
  EXPECT_EQ(reply.exit_code(), 0);
}

TEST(Exec, OutputIsCappedBelowTheClientsLimitAndDrained) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const cri::ExecSyncResponse reply = container.Exec({"faults", "spew", "20000000"}, Patient(60));
  EXPECT_EQ(reply.exit_code(), 0) << "the process must not block on a full pipe";
  EXPECT_LE(reply.stdout().size() + reply.stderr().size(), 16U * 1024 * 1024 - 64 * 1024);
  EXPECT_GE(reply.stdout().size(), 8U * 1024 * 1024);
}

TEST(Exec, ManyMegabytesArriveWhole) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(container.Exec({"faults", "spew", "3000000"}, 60).stdout().size(), 3000000U);
  EXPECT_EQ(container.Exec({"faults", "spew", "1000000", "err"}, 60).stderr().size(), 1000000U);
}

TEST(Exec, OfACommandThatIsNotThereSaysSo) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const auto reply = Cri().ExecSync(Request(container.id(), {"/no/such/program"}, 10));
  // Either way kubelet learns it: as an error, or as the shell's 126/127.
  if (reply.ok()) {
    EXPECT_THAT(reply->exit_code(), testing::AnyOf(126, 127));
  } else {
    EXPECT_THAT(std::string(reply.status().message()), testing::HasSubstr("/no/such/program"));
  }
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
}

TEST(Exec, NeedsARunningContainer) {
  const Pod pod;
  const Container created(pod, Server());
  EXPECT_FALSE(Cri().ExecSync(Request(created.id(), {"true"}, 5)).ok());
  const Container ended = Container::Run(pod, Faults({"exit", "0"}));
  ended.WaitExit();
  EXPECT_FALSE(Cri().ExecSync(Request(ended.id(), {"true"}, 5)).ok());
  EXPECT_FALSE(Cri().ExecSync(Request("0123456789abcdef", {"true"}, 5)).ok());
  const Container running = Container::Run(pod, Server());
  EXPECT_FALSE(Cri().ExecSync(Request(running.id(), {}, 5)).ok());
}

TEST(Exec, RunsAsTheContainersUserWithItsEnvironmentAndDirectory) {
  const Pod pod;
  cri::ContainerConfig config = Command({"faults", "term", "0"}, "config");
  Security(&config)->mutable_run_as_user()->set_value(1001);
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(container.Sh("id -u; pwd; echo $FROM_IMAGE; id -G | tr ' ' '\\n' | grep 50000"),
            "1001\n/made/by/image\nimage\n50000");
}

TEST(Exec, IsBoundByTheContainersSeccompCapabilitiesAndCgroup) {
  const Pod pod;
  cri::ContainerConfig config = Server();
  Security(&config)->mutable_capabilities()->add_drop_capabilities("ALL");
  const Container container = Container::Run(pod, WithMemory(config, 64 * kMiB));
  const std::string status = container.Sh("grep -E 'Seccomp:|CapEff|CapBnd' /proc/self/status");
  EXPECT_THAT(status, testing::ContainsRegex("Seccomp:\t2"));
  EXPECT_THAT(status, testing::ContainsRegex("CapEff:\t0000000000000000"));
  EXPECT_THAT(status, testing::ContainsRegex("CapBnd:\t0000000000000000"));
  EXPECT_EQ(container.Exec({"faults", "eat", "8"}, 30).exit_code(), 137)
      << "memory of an exec is the container's";
}

TEST(Exec, TwentyAtOnceEachGetTheirOwnAnswer) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const auto reply = Cri().ExecSync(Request(
          container.id(), {"sh", "-c", "echo " + std::to_string(i) + "; exit " + std::to_string(i)}, 30));
      if (!reply.ok()) {
        ADD_FAILURE() << reply.status();
        return;
      }
      EXPECT_EQ(reply->stdout(), std::to_string(i) + "\n");
      EXPECT_EQ(reply->exit_code(), i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Exec, EndsWithTheContainer) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  std::thread stopper([&] {
    Eventually([] { return ProcessesWith("sleep 27182") > 0; }, seconds(10));
    container.Stop(1);
  });
  const Clock::time_point start = Clock::now();
  const auto reply = Cri().ExecSync(Request(container.id(), {"sleep", "27182"}, Patient(40)));
  stopper.join();
  EXPECT_LT(SecondsSince(start), Patient(20));
  if (reply.ok()) {
    EXPECT_EQ(reply->exit_code(), 137);
  }
}

}  // namespace
}  // namespace berth::e2e
