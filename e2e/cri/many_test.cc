// SPDX-License-Identifier: Apache-2.0
// Many containers at once: every exit code right, nothing left.
#include <gmock/gmock.h>

#include <atomic>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

TEST(Many, ExitCodesOfContainersEndedInParallel) {
  const int wanted = GetOptions().full ? 500 : 60, at_once = GetOptions().full ? 50 : 12;
  constexpr int kPods = 6;
  std::vector<std::unique_ptr<Pod>> pods;
  for (int i = 0; i < kPods; ++i) pods.push_back(std::make_unique<Pod>());
  const std::vector<std::string> before = CgroupTree(Environment::Get().cgroup_root());
  std::atomic<int> next{0}, right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < at_once; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < wanted; i = next++) {
        try {
          const int code = wanted >= 256 ? i % 256 : (i * 37) % 256;
          const Container container =
              Container::Run(*pods[static_cast<size_t>(i % kPods)], Faults({"exit", std::to_string(code)}));
          const cri::ContainerStatus status = container.WaitExit(seconds(60));
          EXPECT_EQ(status.exit_code(), code)
              << "container " << i << ": " << status.reason() << " " << status.message();
          EXPECT_EQ(status.reason(), code == 0 ? "Completed" : "Error");
          if (OwnDaemon()) {
            EXPECT_GE(status.finished_at(), status.started_at());
          }
          right += status.exit_code() == code;
        } catch (const std::exception& error) {
          ADD_FAILURE() << "container " << i << ": " << error.what();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, wanted);
  for (const auto& pod : pods) {
    cri::ListContainersRequest request;
    request.mutable_filter()->set_pod_sandbox_id(pod->id());
    EXPECT_EQ(Must(Cri().ListContainers(request)).containers_size(), 0);
  }
  EXPECT_EQ(CgroupTree(Environment::Get().cgroup_root()), before);
}

TEST(Many, ContainersOfOnePodCreatedStartedAndStoppedAtOnce) {
  const Pod pod;
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&, i] {
      try {
        const Container container = Container::Run(pod, Faults({"term", std::to_string(i)}));
        container.WaitLine("ready");
        container.Stop(20);
        EXPECT_EQ(container.Status().exit_code(), i);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Many, ListsStayQuickWhileAContainerIsSlowToStop) {
  const Pod pod;
  const Container slow = Container::Run(pod, Faults({"ignore"}));
  slow.WaitLine("ready");
  std::thread stopper([&] { slow.Stop(4); });
  Clock::duration longest{};
  const Clock::time_point end = Clock::now() + seconds(3);
  while (Clock::now() < end) {
    const Clock::time_point start = Clock::now();
    Must(Cri().ListContainers({}));
    Must(Cri().ListPodSandbox({}));
    slow.Status();
    longest = std::max(longest, Clock::now() - start);
  }
  stopper.join();
  EXPECT_LT(longest, Patient(milliseconds(500)));
}

}  // namespace
}  // namespace berth::e2e
