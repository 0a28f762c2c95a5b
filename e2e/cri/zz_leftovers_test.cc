// SPDX-License-Identifier: Apache-2.0
// The last test: after pods of every kind, nothing of them is on the host. (Each run of the suite also looks
// at its end, in Environment::TearDown, and fails over what its own tests left.)
#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

TEST(Leftovers, NothingOfAPodStays) {
  BERTH_NEEDS_OWN_DAEMON();
  { const Pod warm; }  // the bridge and the first directories may appear
  for (int kind = 0; kind < 4; ++kind) {
    cri::PodSandboxConfig config = PodConfig();
    if (kind == 1) Namespaces(&config)->set_pid(cri::POD);
    if (kind == 2) Namespaces(&config)->set_network(cri::NODE), config.clear_hostname();
    const Pod pod(config);
    const Container killed = Container::Run(pod, WithMemory(Faults({"eat", "8"}), 48 * kMiB));
    const Container ended = Container::Run(pod, Faults({"exit", "1"}));
    const Container created(pod, Server());
    const Container failed(pod, Command({"/no/such/program"}));
    static_cast<void>(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(failed.id())));
    const Container running = Container::Run(pod, Faults({"term", "0"}));
    killed.WaitExit();
    running.Exec({"faults", "grandchild", "1000"});
    if (kind == 3) Environment::Get().daemon().Restart();
  }
  EXPECT_THAT(Environment::Get().Leftovers(), testing::IsEmpty());
}

TEST(Leftovers, AnEmptyDaemonThatIsStoppedLeavesNoProcess) {
  BERTH_NEEDS_OWN_DAEMON();
  EXPECT_EQ(Environment::Get().daemon().Terminate(), 0);
  const auto others = [] {
    std::vector<pid_t> pids = Descendants();
    std::erase(pids, Environment::Get().registry().pid());
    return pids;
  };
  EXPECT_TRUE(Eventually([&] { return others().empty(); }, seconds(10)))
      << others().size() << " processes are left";
  EXPECT_THAT(CgroupPids(Environment::Get().cgroup_root()), testing::IsEmpty());
  Environment::Get().daemon().Start();
}

}  // namespace
}  // namespace berth::e2e
