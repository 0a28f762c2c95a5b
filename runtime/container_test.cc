// SPDX-License-Identifier: Apache-2.0
#include "runtime/container.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <future>
#include <thread>

#include "base/files.h"
#include "runtime/pod.h"

namespace berth::runtime {
namespace {

// Every update waits for the gate, and fails as the test says.
class GatedStore : public store::Store, private store::Transaction {
 public:
  absl::Status Write(std::function<absl::Status(store::Transaction&)> work, store::Durability) override {
    gate.opened.wait();
    return work(*this);
  }
  absl::StatusOr<std::vector<store::PodRow>> Pods() override { return std::vector<store::PodRow>(); }
  absl::StatusOr<std::vector<store::ContainerRow>> Containers() override {
    return std::vector<store::ContainerRow>();
  }
  absl::StatusOr<std::vector<store::ImageRow>> Images() override { return std::vector<store::ImageRow>(); }
  absl::StatusOr<std::vector<store::ImageNameRow>> ImageNames() override {
    return std::vector<store::ImageNameRow>();
  }
  absl::StatusOr<std::vector<store::LayerRow>> Layers() override { return std::vector<store::LayerRow>(); }
  absl::StatusOr<std::vector<store::NetworkRow>> Networks() override {
    return std::vector<store::NetworkRow>();
  }
  absl::StatusOr<std::optional<store::NetworkRow>> Network(const std::string&) override {
    return std::nullopt;
  }
  std::string quarantined() const override { return ""; }

  struct Gate {
    std::promise<void> promise;
    std::shared_future<void> opened = promise.get_future().share();
  } gate;
  absl::Status update = absl::OkStatus();

 private:
  absl::Status InsertPod(const store::PodRow&) override { return update; }
  absl::Status UpdatePod(const std::string&, const std::string&) override { return update; }
  absl::Status DeletePod(const std::string&) override { return update; }
  absl::Status InsertContainer(const store::ContainerRow&) override { return update; }
  absl::Status UpdateContainer(const std::string&, const std::string&) override { return update; }
  absl::Status DeleteContainer(const std::string&) override { return update; }
  absl::Status PutImage(const store::ImageRow&) override { return update; }
  absl::Status DeleteImage(const std::string&) override { return update; }
  absl::Status PutImageName(const store::ImageNameRow&) override { return update; }
  absl::Status DeleteImageName(const std::string&) override { return update; }
  absl::Status PutLayer(const store::LayerRow&) override { return update; }
  absl::Status DeleteLayer(const std::string&) override { return update; }
  absl::Status PutNetwork(const store::NetworkRow&) override { return update; }
  absl::Status DeleteNetwork(const std::string&) override { return update; }
};

class ContainerTest : public testing::Test {
 protected:
  ContainerTest() : core_(GiveOptions()), pod_(std::make_shared<Pod>(core_, PodOf())) {}
  ~ContainerTest() override { (void)base::RemoveTree(dir_); }

  Options GiveOptions() {
    char name[] = "/tmp/berth-test-container-XXXXXX";
    dir_ = ::mkdtemp(name);
    Options options;
    options.root = dir_ + "/root";
    options.state = dir_ + "/state";
    options.store = &store_;
    return options;
  }
  static PodRecord PodOf() {
    PodRecord record;
    record.status.id = "pod";
    return record;
  }
  std::shared_ptr<Container> Running(std::int64_t started_at = 1) {
    ContainerRecord record;
    record.status.id = "container";
    record.status.pod_id = "pod";
    record.status.state = ContainerState::kRunning;
    record.status.started_at = started_at;
    record.stage = ContainerStage::kRunning;
    record.boot_id = "an earlier boot";
    return std::make_shared<Container>(core_, pod_, record);
  }
  static monitor::ExitRecord Exit(int code) {
    monitor::ExitRecord record;
    record.container_id = "container";
    record.exit_code = code;
    record.reason = "Error";
    record.started_at = 1;
    record.finished_at = 2;
    return record;
  }
  static Container::LostEnd Lost(const std::string& message) {
    Container::LostEnd lost;
    lost.message = message;
    return lost;
  }
  void OpenGate() { store_.gate.promise.set_value(); }
  ContainerState Seen() { return (*core_.table.FindContainer("container"))->state; }

  std::string dir_;
  GatedStore store_;
  Core core_;
  std::shared_ptr<Pod> pod_;
};

TEST_F(ContainerTest, IsSeenAsExitedBeforeAnybodyIsToldThatItEnded) {
  const auto container = Running();
  container->Show();
  std::thread ending([&] { container->Ended(Exit(3)); });  // held up by the database
  EXPECT_TRUE(container->WaitEnded(base::Deadline::After(20 * base::kSecondNs)));
  EXPECT_EQ(Seen(), ContainerState::kExited);
  OpenGate();
  ending.join();
}

TEST_F(ContainerTest, IsNeverShownRunningAfterItWasShownExited) {
  OpenGate();
  for (int i = 0; i < 300; ++i) {
    const auto container = Running();
    std::thread showing([&] {
      for (int k = 0; k < 20; ++k) container->Show();
    });
    container->Ended(Exit(3));
    showing.join();
    ASSERT_EQ(Seen(), ContainerState::kExited) << i;
  }
}

TEST_F(ContainerTest, HasOneRecordHoweverManyFindItsMonitorLost) {
  OpenGate();
  const auto container = Running();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      container->EndWithoutMonitor(Lost(std::to_string(i)));
      EXPECT_EQ(container->state(), ContainerState::kExited);
    });
  }
  for (auto& thread : threads) thread.join();
  const auto record = monitor::ReadExitRecord(container->places().record_dir, container->places().state);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->message, container->status()->exit->message);
  EXPECT_EQ(record->exit_code, 137);
}

TEST_F(ContainerTest, TakesTheMonitorsRecordRatherThanWriteItsOwn) {
  OpenGate();
  const auto container = Running();
  const std::string dir = container->places().record_dir;
  ASSERT_TRUE(base::MakeDirs(dir).ok());
  ASSERT_TRUE(base::WriteFile(dir + "/" + monitor::kExitRecordName, monitor::ToJson(Exit(7))).ok());
  container->EndWithoutMonitor(Lost("monitor lost"));
  EXPECT_EQ(container->status()->exit->exit_code, 7);
  EXPECT_EQ(monitor::ReadExitRecord(dir, "")->exit_code, 7);
}

TEST_F(ContainerTest, EndsAtTheTimeThatIsKnownAndNeverBeforeItsStart) {
  OpenGate();
  Container::LostEnd lost = Lost("node rebooted");
  lost.finished_at = 50;
  const auto early = Running(10);
  early->EndWithoutMonitor(lost);
  EXPECT_EQ(early->status()->exit->finished_at, 50);
  EXPECT_EQ(monitor::ReadExitRecord(early->places().record_dir, "")->boot_id, "an earlier boot");
  ASSERT_TRUE(base::RemoveTree(early->places().record_dir).ok());
  const auto late = Running(90);  // the clock was set back since
  late->EndWithoutMonitor(lost);
  EXPECT_EQ(late->status()->exit->finished_at, 90);
}

TEST_F(ContainerTest, IsNotSeenAgainOnceItIsRemoved) {
  OpenGate();
  const auto container = Running();
  container->Show();
  container->Hide();
  container->Ended(Exit(0));  // an event that comes late
  EXPECT_TRUE(absl::IsNotFound(core_.table.FindContainer("container").status()));
}

TEST_F(ContainerTest, SaysThatItWasRemovedAndNotThatItIsNotFound) {
  OpenGate();
  store_.update = absl::NotFoundError("no row");
  EXPECT_EQ(Running()->Change([](ContainerRecord&) {}).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(pod_->Change([](PodRecord&) {}).code(), absl::StatusCode::kAborted);
}

TEST_F(ContainerTest, GivesAShorterGraceToAllWhoWait) {
  OpenGate();
  const auto container = Running();
  container->ShortenGrace(base::Deadline::After(3600 * base::kSecondNs));
  auto longer = std::async(std::launch::async, [&] { return container->WaitGrace(); });
  container->ShortenGrace(base::Deadline::After(base::kMillisecondNs));
  container->ShortenGrace(base::Deadline::After(1800 * base::kSecondNs));  // later is not earlier
  EXPECT_EQ(container->WaitGrace(), Container::Grace::kOver);
  EXPECT_EQ(longer.get(), Container::Grace::kOver);
}

TEST_F(ContainerTest, LetsGoOfAGraceWhenBerthdStops) {
  OpenGate();
  const auto container = Running();
  container->ShortenGrace(base::Deadline::After(3600 * base::kSecondNs));
  auto waiting = std::async(std::launch::async, [&] { return container->WaitGrace(); });
  container->Interrupt();
  EXPECT_EQ(waiting.get(), Container::Grace::kInterrupted);
}

}  // namespace
}  // namespace berth::runtime
