// SPDX-License-Identifier: Apache-2.0
// StopContainer: signals, grace, impatience, and what the record says about a stop that we did ourselves.
#include <gmock/gmock.h>
#include <signal.h>

#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

TEST(Stop, SigtermFirstAndTheApplicationsOwnCode) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"term", "42"}));
  container.WaitLine("ready");
  const Clock::time_point start = Clock::now();
  container.Stop(Patient(20));
  EXPECT_LT(SecondsSince(start), Patient(5)) << "it must not wait for the whole grace";
  const cri::ContainerStatus status = container.Status();
  EXPECT_EQ(status.exit_code(), 42);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_THAT(container.Text(), HasSubstr("signal 15"));
}

TEST(Stop, AProcessThatIgnoresItIsKilledAfterTheGraceAndTheMessageSaysSo) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  container.WaitLine("ready");
  const Clock::time_point start = Clock::now();
  container.Stop(2);
  EXPECT_GE(SecondsSince(start), 1.9);
  EXPECT_LT(SecondsSince(start), Patient(8));
  const cri::ContainerStatus status = container.Status();
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
  if (OwnDaemon()) {
    EXPECT_THAT(status.message(), HasSubstr("stopped by request, killed after 2 s grace"));
  }
}

TEST(Stop, ZeroKillsAtOnce) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"term", "0"}));
  container.WaitLine("ready");
  const Clock::time_point start = Clock::now();
  container.Stop(0);
  EXPECT_LT(SecondsSince(start), Patient(3));
  EXPECT_EQ(container.Status().exit_code(), 137);
  EXPECT_THAT(container.Text(), testing::Not(HasSubstr("signal")));
}

TEST(Stop, ALaterShorterTimeoutTakesEffect) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  container.WaitLine("ready");
  const Clock::time_point start = Clock::now();
  std::thread patient([&] { container.Stop(Patient(40)); });
  std::this_thread::sleep_for(milliseconds(500));
  container.Stop(1);
  patient.join();
  EXPECT_LT(SecondsSince(start), Patient(10));
  EXPECT_EQ(container.Status().exit_code(), 137);
}

TEST(Stop, ManyAtOnceAllReturnAndSeeTheExit) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"term", "3", "500"}));
  container.WaitLine("ready");
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      try {
        container.Stop(10);
        EXPECT_EQ(container.Status().exit_code(), 3);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Stop, TheImagesSignalIsUsedWhenItIsANumber) {
  const Pod pod;
  const Container container = Container::Run(pod, ImageDefault("stop-number"));  // StopSignal 10: SIGUSR1
  container.WaitLine("ready");
  container.Stop(10);
  EXPECT_THAT(container.Text(), HasSubstr("signal 10"));
  EXPECT_EQ(container.Status().exit_code(), 7);
}

TEST(Stop, TheRequestsSignalWinsOverTheImages) {
  BERTH_NEEDS_OWN_DAEMON();  // a field that older peers lack
  const Pod pod;
  cri::ContainerConfig config = ImageDefault("stop-number");
  config.set_stop_signal(cri::SIGNAL_SIGINT);
  const Container container = Container::Run(pod, config);
  container.WaitLine("ready");
  EXPECT_EQ(container.Status().stop_signal(), cri::SIGNAL_SIGINT);
  container.Stop(10);
  EXPECT_THAT(container.Text(), HasSubstr("signal 2"));
}

TEST(Stop, TakesEveryProcessOfTheContainer) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"child", "exit", "0", "--", "ignore"}));
  container.WaitLine("ready");
  container.Stop(0);
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST(Stop, AChildThatDoublesForkedDiesWithPid1) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"grandchild", "100"}));
  container.WaitExit();
  WaitFor("the grandchild to be gone", [&] { return container.Pids().empty(); });
}

TEST(Stop, AKillFromOutsideIsAnErrorWithoutAStory) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  container.WaitLine("ready");
  ::kill(container.Pid(), SIGKILL);
  const cri::ContainerStatus status = container.WaitExit();
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_THAT(status.message(), testing::Not(HasSubstr("out of memory")));
  EXPECT_THAT(status.message(), testing::Not(HasSubstr("stopped by request")));
}

}  // namespace
}  // namespace berth::e2e
