// SPDX-License-Identifier: Apache-2.0
// Disks of the daemon's root that are slow, stuck or failing: ends are exact, nobody's List waits for them.
#include "e2e/cri/harness/mapped_disk.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

// Containers in several pods that all end, each with a code of its own, when they are told to.
class Crowd {
 public:
  Crowd(const std::string& name, int size) : go_(Environment::Get().dir() + "/go-" + name) {
    MakeDirs(go_);
    for (int i = 0; i < kPods; ++i) pods_.push_back(std::make_unique<Pod>());
    for (int i = 0; i < size; ++i) {
      cri::ContainerConfig config = Faults({"wait", "/go/now", "--", "exit", std::to_string(Code(i))});
      AddMount(&config, go_, "/go");
      containers_.push_back(Container::Run(*pods_[static_cast<size_t>(i % kPods)], config));
    }
  }
  void End() const { WriteFile(go_ + "/now", ""); }
  size_t Exited() const {
    cri::ListContainersRequest request;
    request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_EXITED);
    return static_cast<size_t>(Must(Cri().ListContainers(request)).containers_size());
  }
  void WaitExited() const {
    WaitFor(
        "all ends to be told", [&] { return Exited() == containers_.size(); }, seconds(300));
  }
  void ExpectExact() const {
    for (size_t i = 0; i < containers_.size(); ++i) {
      const cri::ContainerStatus status = containers_[i].Status();
      const int code = Code(static_cast<int>(i));
      EXPECT_EQ(status.exit_code(), code) << "container " << i << ": " << status.message();
      EXPECT_EQ(status.reason(), code == 0 ? "Completed" : "Error") << "container " << i;
    }
  }

 private:
  static constexpr int kPods = 5;
  static int Code(int i) { return (i * 37) % 256; }
  const std::string go_;
  std::vector<std::unique_ptr<Pod>> pods_;
  std::vector<Container> containers_;
};

class MappedDisks : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    if (const std::string why = MappedDisk::Lacks(); !why.empty()) GTEST_SKIP() << why;
  }
  static DaemonConfig On(const MappedDisk& disk, const std::string& name) {
    DaemonConfig config = Environment::Get().AnotherDaemon(name);
    config.root = disk.path() + "/root";
    return config;
  }
  static int Wanted() { return GetOptions().full ? 500 : 20; }
  // What kubelet asks all the time.
  static double MedianOfLooks(int count) {
    std::vector<double> took;
    for (int i = 0; i < count; ++i) {
      const Clock::time_point begin = Clock::now();
      Must(Cri().ListContainers({}));
      Must(Cri().ListPodSandbox({}));
      Must(Cri().Status({}));
      took.push_back(SecondsSince(begin));
    }
    std::nth_element(took.begin(), took.begin() + count / 2, took.end());
    return took[static_cast<size_t>(count / 2)];
  }
};

TEST_F(MappedDisks, OnASlowDiskEveryEndIsExactAndOtherPodsStart) {
  const MappedDisk disk("slow", 256);
  const ScopedDaemon daemon(On(disk, "daemon-slow"));
  const Crowd crowd("slow", Wanted());
  const double before = MedianOfLooks(20);
  disk.Delay(100);
  crowd.End();
  const double during = MedianOfLooks(20);
  {
    const Pod another;
    EXPECT_EQ(OutputOf(another, Shell("echo fine")), "fine");
  }
  crowd.WaitExited();
  crowd.ExpectExact();
  std::cout << "looks took " << before * 1000 << " ms, on the slow disk " << during * 1000
            << " ms (medians of 20)\n";
  disk.Heal();
  Environment::Get().daemon().Restart();
  crowd.ExpectExact();
}

TEST_F(MappedDisks, WhileNothingCanBeReadOrWrittenAllIsSeenAndNoEndIsLost) {
  const MappedDisk disk("stuck", 256);
  const ScopedDaemon daemon(On(disk, "daemon-stuck"));
  const Crowd crowd("stuck", Wanted());
  disk.Hold();
  crowd.End();
  // Without an end: were one of these to wait for the disk, it would not come back.
  MedianOfLooks(20);
  disk.Release();
  crowd.WaitExited();
  crowd.ExpectExact();
}

TEST_F(MappedDisks, ADiskThatFailsLosesNoEndAndIsUsedAgainWhenItWorks) {
  const MappedDisk disk("failing", 256);
  const ScopedDaemon daemon(On(disk, "daemon-failing"));
  const Crowd crowd("failing", Wanted());
  disk.Fail();
  crowd.End();
  crowd.WaitExited();
  crowd.ExpectExact();
  MedianOfLooks(20);
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  const absl::Status refused = Cri().RunPodSandbox(request).status();
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), testing::ContainsRegex("I/O error|Input/output error"));
  disk.Heal();
  const Pod another;
  EXPECT_EQ(OutputOf(another, Shell("echo fine")), "fine");
  Environment::Get().daemon().Restart();
  crowd.ExpectExact();
}

}  // namespace
}  // namespace berth::e2e
