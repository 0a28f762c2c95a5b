// SPDX-License-Identifier: Apache-2.0
// Pods outlive an upgrade and a downgrade: begun by the daemon and the monitors of one version, gone on with
// by those of another. The older versions are built by e2e/upgrade/build (BERTH_OLDER names its directory).
#include <gmock/gmock.h>

#include <cstdlib>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

std::vector<std::string> OlderVersions() {
  const char* place = std::getenv("BERTH_OLDER");
  std::vector<std::string> versions;
  if (place == nullptr) return versions;
  for (const std::string& name : ListDir(place)) versions.push_back(std::string(place) + "/" + name);
  return versions;
}

class Upgrade : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    if (OlderVersions().empty()) GTEST_SKIP() << "needs BERTH_OLDER, what e2e/upgrade/build wrote";
    for (const std::string& version : OlderVersions()) {
      if (const auto why = TryReadFile(version + "/skipped")) GTEST_SKIP() << Trim(*why);
    }
  }

  // What runs before the change of versions and what is true after it.
  void Change(const std::string& from, const std::string& to) {
    Environment& environment = Environment::Get();
    DaemonConfig config = environment.AnotherDaemon("upgrade-" + std::to_string(next_++));
    config.program = from;
    ScopedDaemon daemon(config);
    {
      cri::PodSandboxConfig shared_config = PodConfig();
      Namespaces(&shared_config)->set_pid(cri::POD);
      const Pod pod, shared(shared_config), stopped;
      stopped.Stop();
      const Container server = Container::Run(pod, Faults({"term", "5"}));
      const Container chatter = Container::Run(pod, Faults({"chatter", "100"}));
      const Container ended = Container::Run(pod, Faults({"exit", "9"})), created(pod, Server());
      const Container killed =
          Container::Run(pod, WithMemory(Faults({"after", "6000", "--", "eat", "8"}), 50 * kMiB));
      const Container later = Container::Run(shared, Faults({"after", "6000", "--", "exit", "42"}));
      ended.WaitExit();
      server.WaitLine("ready");
      const pid_t init = server.Pid();
      const std::string ip = pod.Ip();

      daemon->Kill9();
      daemon->config().program = to;
      daemon->Start();

      EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
      EXPECT_EQ(shared.Status().state(), cri::SANDBOX_READY);
      EXPECT_EQ(stopped.Status().state(), cri::SANDBOX_NOTREADY);
      EXPECT_EQ(pod.Ip(), ip);
      EXPECT_EQ(server.Pid(), init);
      EXPECT_EQ(ended.Status().exit_code(), 9);
      EXPECT_EQ(server.Sh("echo exec works"), "exec works");
      EXPECT_EQ(later.WaitExit().exit_code(), 42);
      const cri::ContainerStatus oom = killed.WaitExit();
      EXPECT_EQ(oom.reason(), "OOMKilled") << oom.message();
      EXPECT_THAT(oom.message(), HasSubstr("container limit of 50.0 MiB"));
      if (to == GetOptions().berthd) {
        const RunResult command = Berth({"exec", server.id(), "echo", "streams work"});
        EXPECT_EQ(command.exit_code, 0) << command.output;
        EXPECT_THAT(command.output, HasSubstr("streams work"));
        // An old monitor knows no attach: said in words, and nothing else comes of it.
        const RunResult attached = Berth({"attach", chatter.id()});
        EXPECT_EQ(attached.exit_code, 1);
        EXPECT_THAT(attached.output, HasSubstr("started by an older release"));
      }
      created.Start();
      EXPECT_EQ(created.Sh("echo started later"), "started later");
      ASSERT_EQ(::rename(chatter.log_path().c_str(), (chatter.log_path() + ".old").c_str()), 0);
      Must(Cri().ReopenContainerLog(WithContainer<cri::ReopenContainerLogRequest>(chatter.id())));
      chatter.WaitLine("line ");
      const Container fresh = Container::Run(pod, Shell("echo new in an old pod"));
      fresh.WaitExit();
      EXPECT_THAT(fresh.Text(), HasSubstr("new in an old pod"));
      server.Stop(10);
      EXPECT_EQ(server.Status().exit_code(), 5);
      const Pod another;
      EXPECT_EQ(OutputOf(another, Shell("echo a new pod")), "a new pod");
    }
    EXPECT_EQ(Must(Cri().ListPodSandbox({})).items_size(), 0);
    if (to == GetOptions().berthd) {
      EXPECT_THAT(Fsck().findings, testing::IsEmpty());
    }
  }

 private:
  static inline int next_ = 0;
};

TEST_F(Upgrade, PodsOfAnOlderVersionLiveOnUnderThisOne) {
  for (const std::string& version : OlderVersions()) Change(version + "/bin/berthd", GetOptions().berthd);
}

TEST_F(Upgrade, PodsOfThisVersionLiveOnUnderAnOlderOne) {
  for (const std::string& version : OlderVersions()) Change(GetOptions().berthd, version + "/bin/berthd");
}

}  // namespace
}  // namespace berth::e2e
