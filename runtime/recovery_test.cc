// SPDX-License-Identifier: Apache-2.0
// What a berthd makes of the records of the one before it, with stand-ins for the monitors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/status.h"
#include "runtime/rebuild.h"
#include "runtime/testing.h"

namespace berth::runtime {
namespace {

using testing::HasSubstr;

class RecoveryTest : public testing::Test {
 protected:
  RecoveryTest() : store_(dir_.path() + "/berth.db") {}

  // One that lives as long as the test, and one that is dead.
  static base::ProcessIdentity Living() { return *base::IdentifyProcess(::getpid()); }
  static base::ProcessIdentity Dead() { return {::getpid(), 1, base::BootId()}; }

  PodRecord PodOf(const std::string& id, base::ProcessIdentity monitor = Living()) {
    PodRecord record;
    record.status.id = id;
    record.status.state = PodState::kReady;
    record.status.config.metadata = {id, "uid-" + id, "ns", 0};
    // Nothing of it is pinned.
    NamespaceOptions& namespaces = record.status.config.namespaces;
    namespaces.network = namespaces.ipc = NamespaceMode::kNode;
    namespaces.pid = NamespaceMode::kContainer;
    record.status.cgroup = "/pods/" + id;
    record.stage = PodStage::kReady;
    record.boot_id = base::BootId();
    record.monitor = std::move(monitor);
    return record;
  }
  static ContainerRecord ContainerOf(const std::string& id, const std::string& pod,
                                     ContainerStage stage = ContainerStage::kRunning) {
    ContainerRecord record;
    record.status.id = id;
    record.status.pod_id = pod;
    record.status.created_at = 5;
    record.status.config.metadata.name = id;
    record.status.cgroup = "/pods/" + pod + "/" + id;
    record.stage = stage;
    record.boot_id = base::BootId();
    if (stage == ContainerStage::kRunning || stage == ContainerStage::kStarting) {
      record.status.state =
          stage == ContainerStage::kRunning ? ContainerState::kRunning : ContainerState::kCreated;
      record.status.started_at = 10;
      record.status.pid = 1;
      record.init = Dead();
    } else {
      record.status.state = ContainerState::kCreated;
    }
    return record;
  }
  void Have(const PodRecord& record) {
    const PodStatus& status = record.status;
    HavePodRow({status.id, PodNameKey(status.config.metadata), 1, Encode(record)});
  }
  void HavePodRow(const store::PodRow& row) {
    ASSERT_TRUE(base::MakeDirs(dir_.path() + "/root/pods/" + row.id).ok());
    ASSERT_TRUE(store_.Write([&](auto& t) { return t.InsertPod(row); }, store::Durability::kNormal).ok());
  }
  void Have(const ContainerRecord& record) {
    const ContainerStatus& status = record.status;
    HaveContainerRow({status.id, status.pod_id, ContainerNameKey(status.pod_id, status.config.metadata), 1,
                      Encode(record)});
  }
  void HaveContainerRow(const store::ContainerRow& row) {
    ASSERT_TRUE(base::MakeDirs(RecordDir(row.pod_id, row.id)).ok());
    ASSERT_TRUE(
        store_.Write([&](auto& t) { return t.InsertContainer(row); }, store::Durability::kNormal).ok());
  }
  std::string RecordDir(const std::string& pod, const std::string& id) {
    return dir_.path() + "/root/pods/" + pod + "/containers/" + id;
  }
  void HaveExit(const std::string& pod, const std::string& id, int code) {
    monitor::ExitRecord end;
    end.container_id = id;
    end.exit_code = code;
    end.reason = "Error";
    end.started_at = 10;
    end.finished_at = 20;
    ASSERT_TRUE(
        base::WriteFile(RecordDir(pod, id) + "/" + monitor::kExitRecordName, monitor::ToJson(end)).ok());
  }
  FakeMonitor& MonitorOf(const std::string& pod) { return *hub_->Of(dir_.path() + "/run/pods/" + pod); }
  static monitor::Listed Runs(const std::string& id, const std::string& state = "running") {
    monitor::Listed listed;
    listed.containers.push_back({id, state, ::getpid(), Living().start_ticks, 10});
    return listed;
  }

  // A berthd begins on what there is; the one before is gone.
  void Begin() {
    core_ = nullptr;
    Options options;
    options.root = dir_.path() + "/root";
    options.state = dir_.path() + "/run";
    options.cgroup_root = "/";
    options.store = &store_;
    options.images = &images_;
    options.network = &network_;
    options.cgroups = cgroups_;
    options.handlers = std::make_shared<oci::Handlers>();
    core_ = std::make_unique<Core>(std::move(options));
    core_->hub = hub_;
    ASSERT_TRUE(LoadRecords(*core_).ok());
    StartRecovery(*core_);
  }
  void BeginAndRecover() {
    Begin();
    for (const auto& pod : core_->Pods()) ASSERT_TRUE(AwaitRecovery(*core_, pod->id(), Caller{}).ok());
  }
  std::shared_ptr<const ContainerStatus> Seen(const std::string& id) {
    const auto found = core_->table.FindContainer(id);
    return found.ok() ? *found : nullptr;
  }
  std::shared_ptr<const PodStatus> SeenPod(const std::string& id) {
    const auto found = core_->table.FindPod(id);
    return found.ok() ? *found : nullptr;
  }
  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    for (int i = 0; i < 4000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  static Caller Hurried() {
    Caller caller;
    caller.deadline = base::Deadline::After(300 * base::kMillisecondNs);
    return caller;
  }

  TestDirectory dir_;
  FullableStore store_;
  NoImages images_;
  FakeNetwork network_;
  std::shared_ptr<FakeCgroups> cgroups_ = std::make_shared<FakeCgroups>();
  std::shared_ptr<FakeHub> hub_ = std::make_shared<FakeHub>();
  std::unique_ptr<Core> core_;  // last: it works on the others
};

TEST_F(RecoveryTest, ShowsEverythingBeforeAnyMonitorHasAnswered) {
  Have(PodOf("p"));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Be("silent");
  Begin();
  ASSERT_NE(SeenPod("p"), nullptr);
  EXPECT_EQ(SeenPod("p")->state, PodState::kReady);
  ASSERT_NE(Seen("c"), nullptr);
  EXPECT_EQ(Seen("c")->state, ContainerState::kRunning);
  MonitorOf("p").Be("");
}

TEST_F(RecoveryTest, SaysWhatItWaitsForToWhoAsksSomethingOfAPodThatIsNotDone) {
  Have(PodOf("p"));
  Have(PodOf("q"));
  MonitorOf("p").Be("silent");
  Begin();
  const absl::Status waited = AwaitRecovery(*core_, "p", Hurried());
  EXPECT_EQ(waited.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(waited.message()), HasSubstr("recovering pod 'p': 0 s"));
  EXPECT_THAT(std::string(waited.message()), HasSubstr("'ask the monitor'"));
  EXPECT_TRUE(AwaitRecovery(*core_, "q", Caller{}).ok()) << "another pod does not wait for it";
  PodMetadata same = PodOf("p").status.config.metadata;
  EXPECT_FALSE(AwaitRecoveryOfName(*core_, same, Hurried()).ok());
  MonitorOf("p").Be("");
  EXPECT_TRUE(AwaitRecovery(*core_, "p", Caller{}).ok());
}

TEST_F(RecoveryTest, LetsNoNumberOfSilentPodsHoldUpTheOthers) {
  for (int i = 0; i < 40; ++i) {
    Have(PodOf("p" + std::to_string(i)));
    if (i < 12) MonitorOf("p" + std::to_string(i)).Be("silent");
  }
  Begin();
  for (int i = 12; i < 40; ++i) EXPECT_TRUE(AwaitRecovery(*core_, "p" + std::to_string(i), Caller{}).ok());
  EXPECT_FALSE(AwaitRecovery(*core_, "p0", Hurried()).ok());
  for (int i = 0; i < 12; ++i) MonitorOf("p" + std::to_string(i)).Be("");
}

TEST_F(RecoveryTest, TellsAnEndThatIsOnDiskFromTheFirstLookOn) {
  Have(PodOf("p"));
  Have(ContainerOf("c", "p"));
  HaveExit("p", "c", 7);
  MonitorOf("p").Be("silent");
  Begin();
  ASSERT_NE(Seen("c"), nullptr);
  EXPECT_EQ(Seen("c")->state, ContainerState::kExited);
  EXPECT_EQ(Seen("c")->exit->exit_code, 7);
  MonitorOf("p").Be("");
}

TEST_F(RecoveryTest, TakesUpWhatItsMonitorStillRuns) {
  Have(PodOf("p"));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Lists(Runs("c"));
  BeginAndRecover();
  EXPECT_EQ(Seen("c")->state, ContainerState::kRunning);
  EXPECT_EQ(Seen("c")->pid, ::getpid());
  EXPECT_FALSE(cgroups_->Killed("/pods/p/c"));
}

TEST_F(RecoveryTest, EndsWhatLostItsMonitorWithoutInventingACode) {
  Have(PodOf("p", Dead()));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Be("refuses");
  BeginAndRecover();
  EXPECT_EQ(Seen("c")->state, ContainerState::kExited);
  EXPECT_EQ(Seen("c")->exit->exit_code, 137);
  EXPECT_EQ(Seen("c")->exit->reason, "Error");
  EXPECT_THAT(Seen("c")->exit->message, HasSubstr("monitor lost"));
  EXPECT_TRUE(cgroups_->Killed("/pods/p/c"));
  EXPECT_EQ(SeenPod("p")->state, PodState::kReady) << "it goes on with a new monitor";
}

TEST_F(RecoveryTest, TellsTheExactEndOfAProcessThatNobodyHasReapedYet) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  Have(PodOf("p", Dead()));
  ContainerRecord record = ContainerOf("c", "p");
  record.init = *base::IdentifyProcess(child);
  Have(record);
  MonitorOf("p").Be("refuses");
  BeginAndRecover();
  EXPECT_EQ(Seen("c")->exit->exit_code, 7);
  EXPECT_THAT(Seen("c")->exit->message, HasSubstr("monitor lost; exit status from the kernel"));
  ::waitpid(child, nullptr, 0);
}

TEST_F(RecoveryTest, LeavesTheContainersOfAMonitorThatLivesAndIsSilentAndAsksAgain) {
  Have(PodOf("p"));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Be("refuses");
  BeginAndRecover();
  EXPECT_EQ(Seen("c")->state, ContainerState::kRunning);
  EXPECT_FALSE(cgroups_->Killed("/pods/p/c"));
  HaveExit("p", "c", 3);
  MonitorOf("p").Be("");
  EXPECT_TRUE(Eventually([&] { return Seen("c")->state == ContainerState::kExited; }));
  EXPECT_EQ(Seen("c")->exit->exit_code, 3);
}

TEST_F(RecoveryTest, ConnectsAgainWhenAMonitorHangsUpAndLives) {
  Have(PodOf("p"));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Lists(Runs("c"));
  BeginAndRecover();
  const int before = MonitorOf("p").connections();
  MonitorOf("p").events().disconnected();
  EXPECT_TRUE(Eventually([&] { return MonitorOf("p").connections() > before; }));
  EXPECT_TRUE(Eventually([&] { return core_->FindPod("p")->ConnectedMonitor() != nullptr; }));
  EXPECT_EQ(Seen("c")->state, ContainerState::kRunning);
}

TEST_F(RecoveryTest, WhatAPowerLossTookFromTheDatabaseIsTakenFromTheFiles) {
  Options places;
  places.root = dir_.path() + "/root";
  for (const std::string id : {"made", "half", "now"}) {
    PodRecord pod = PodOf(id, Dead());  // it is undone, and what lives of it is killed
    if (id != "now") pod.boot_id = pod.monitor.boot_id = "an earlier boot";
    PodRecord row = pod;
    row.stage = PodStage::kCreating;
    row.status.state = PodState::kNotReady;
    Have(row);
    Describe(places, id == "half" ? row : pod);
  }
  // Of one the database knows that it was begun, of the other that it was made; both have told their ends.
  ContainerRecord begun = ContainerOf("begun", "made", ContainerStage::kCreated),
                  created = ContainerOf("created", "made", ContainerStage::kCreated),
                  idle = ContainerOf("idle", "made", ContainerStage::kCreated);
  begun.boot_id = created.boot_id = idle.boot_id = "an earlier boot";
  Have(created);
  Have(idle);
  ContainerRecord row = begun;
  row.stage = ContainerStage::kCreating;
  Have(row);
  Describe(places, begun);
  HaveExit("made", "begun", 3);
  HaveExit("made", "created", 4);
  ASSERT_TRUE(RebuildRecords({places.root, dir_.path() + "/run", &store_}).ok());
  Begin();
  ASSERT_NE(SeenPod("made"), nullptr);
  EXPECT_EQ(SeenPod("made")->state, PodState::kNotReady);
  EXPECT_EQ(SeenPod("made")->message, "node rebooted");
  EXPECT_EQ(SeenPod("half"), nullptr);
  EXPECT_EQ(SeenPod("now"), nullptr) << "in the same boot the database lacks nothing";
  ASSERT_NE(Seen("begun"), nullptr);
  EXPECT_EQ(Seen("begun")->exit->exit_code, 3);
  ASSERT_EQ(Seen("created")->state, ContainerState::kExited);
  EXPECT_EQ(Seen("created")->exit->exit_code, 4);
  EXPECT_EQ(Seen("idle")->state, ContainerState::kCreated);
}

TEST_F(RecoveryTest, WhatWasBeingMadeAsThePowerWentIsUndoneAndWhatIsMerelyUnreadableIsLeft) {
  const std::string pod(64, 'a'), lost(64, 'b'), here(64, 'c');
  const std::string empty(64, '1'), nameless(64, '2'), zeroes(64, '3'), torn(64, '4'), ended(64, '5');
  Have(PodOf(pod, Dead()));
  const auto file = [&](const std::string& id) { return RecordDir(pod, id) + "/container.json"; };
  for (const auto& id : {empty, nameless, zeroes, torn, ended}) {
    ASSERT_TRUE(base::MakeDirs(RecordDir(pod, id)).ok());
    if (id != nameless) {
      ASSERT_TRUE(base::WriteFile(file(id), "").ok());
    }
  }
  ASSERT_TRUE(base::WriteFile(file(zeroes), std::string(100, '\0')).ok());
  ASSERT_TRUE(base::WriteFile(file(torn), "{\"id").ok());
  HaveExit(pod, ended, 3);
  for (const auto& id : {lost, here}) {
    ASSERT_TRUE(base::MakeDirs(dir_.path() + "/root/pods/" + id).ok());
    ASSERT_TRUE(base::WriteFile(dir_.path() + "/root/pods/" + id + "/pod.json", "").ok());
  }
  ASSERT_TRUE(base::MakeDirs(dir_.path() + "/run/pods/" + here).ok());  // it is of this boot
  ASSERT_TRUE(RebuildRecords({dir_.path() + "/root", dir_.path() + "/run", &store_}).ok());
  BeginAndRecover();
  for (const auto& id : {empty, nameless, zeroes}) {
    EXPECT_EQ(Seen(id), nullptr);
    EXPECT_TRUE(Eventually([&] { return !base::Exists(RecordDir(pod, id)); })) << id;
  }
  EXPECT_TRUE(Eventually([&] { return !base::Exists(dir_.path() + "/root/pods/" + lost); }));
  for (const auto& id : {torn, ended}) EXPECT_TRUE(base::Exists(RecordDir(pod, id))) << id;
  EXPECT_TRUE(base::Exists(dir_.path() + "/root/pods/" + here));
  EXPECT_NE(SeenPod(pod), nullptr);
}

TEST_F(RecoveryTest, KnowsARebootByTheBootIdAndGivesTheAddressesBack) {
  PodRecord pod = PodOf("p");
  pod.boot_id = pod.monitor.boot_id = "an earlier boot";
  pod.status.config.namespaces.network = NamespaceMode::kPod;
  pod.status.ips = {"10.1.2.3"};
  Have(pod);
  ContainerRecord running = ContainerOf("c", "p"), created = ContainerOf("d", "p", ContainerStage::kCreated);
  running.boot_id = created.boot_id = "an earlier boot";
  Have(running);
  Have(created);
  network::Attachment attachment;
  attachment.pod.pod_id = "p";
  attachment.result = R"({"cached":true})";
  network_.refused = 1;
  ASSERT_TRUE(store_
                  .Write(
                      [&](auto& t) {
                        return t.PutNetwork({"p", network::ToJson(attachment)});
                      },
                      store::Durability::kFull)
                  .ok());
  MonitorOf("p").Be("silent");  // nobody may ask it
  Begin();
  EXPECT_EQ(SeenPod("p")->state, PodState::kNotReady);
  EXPECT_EQ(SeenPod("p")->message, "node rebooted");
  EXPECT_THAT(SeenPod("p")->ips, testing::ElementsAre("10.1.2.3"));
  EXPECT_EQ(Seen("c")->state, ContainerState::kExited);
  EXPECT_EQ(Seen("c")->exit->exit_code, 137);
  EXPECT_EQ(Seen("c")->exit->message, "node rebooted");
  EXPECT_GE(Seen("c")->exit->finished_at, Seen("c")->started_at);
  EXPECT_EQ(Seen("d")->state, ContainerState::kCreated);
  // DEL with the cached result, and again since it was refused.
  EXPECT_TRUE(Eventually([&] { return !(*store_.Network("p")).has_value(); }));
  ASSERT_EQ(network_.dels().size(), 2U);
  EXPECT_EQ(network_.dels().front().result, R"({"cached":true})");
  EXPECT_THAT(MonitorOf("p").asked(), testing::IsEmpty());
  EXPECT_NE(SeenPod("p"), nullptr) << "its record is there until it is removed";
  EXPECT_TRUE(RemovePod(*core_, core_->FindPod("p"), Caller{}).ok());
  EXPECT_TRUE(store_.Pods()->empty());
}

TEST_F(RecoveryTest, ShowsAContainerWhoseRecordCannotBeReadAsEndedAndRemovesIt) {
  Have(PodOf("p"));
  Have(ContainerOf("good", "p"));
  HaveContainerRow({"bad", "p", "p/bad-name/3", 6, "{\"torn"});
  monitor::Listed listed = Runs("good");
  listed.containers.push_back({"bad", "running", ::getpid(), Living().start_ticks, 10});
  MonitorOf("p").Lists(listed);
  BeginAndRecover();
  ASSERT_NE(Seen("bad"), nullptr);
  EXPECT_EQ(Seen("bad")->state, ContainerState::kExited);
  EXPECT_EQ(Seen("bad")->config.metadata.name, "bad-name");
  EXPECT_EQ(Seen("bad")->config.metadata.attempt, 3U);
  EXPECT_THAT(Seen("bad")->exit->message, HasSubstr("its record cannot be read"));
  EXPECT_TRUE(cgroups_->Killed("/pods/p/bad")) << "nothing runs under a record that nobody can read";
  EXPECT_EQ(Seen("good")->state, ContainerState::kRunning);
  EXPECT_THAT((*store_.Containers())[1].record, HasSubstr("torn")) << "left as it was for who wants to look";
  EXPECT_TRUE(RemoveContainer(*core_, core_->FindContainer("bad"), Caller{}).ok());
  EXPECT_EQ(Seen("bad"), nullptr);
  EXPECT_EQ(store_.Containers()->size(), 1U);
}

TEST_F(RecoveryTest, ShowsAPodWhoseRecordCannotBeReadAsNotReadyAndRemovesIt) {
  HavePodRow({"bad", "ns/name/uid/4", 6, "no record"});
  Have(PodOf("good"));
  MonitorOf("bad").Be("refuses");
  BeginAndRecover();
  ASSERT_NE(SeenPod("bad"), nullptr);
  EXPECT_EQ(SeenPod("bad")->state, PodState::kNotReady);
  EXPECT_EQ(SeenPod("bad")->config.metadata.name, "name");
  EXPECT_EQ(SeenPod("bad")->config.metadata.attempt, 4U);
  EXPECT_THAT(SeenPod("bad")->message, HasSubstr("its record cannot be read"));
  EXPECT_EQ(SeenPod("good")->state, PodState::kReady);
  EXPECT_TRUE(RemovePod(*core_, core_->FindPod("bad"), Caller{}).ok());
  EXPECT_EQ(store_.Pods()->size(), 1U);
}

TEST_F(RecoveryTest, FindsAPodWhosePinsAreGoneNotReady) {
  PodRecord record = PodOf("p");
  record.status.config.namespaces.ipc = NamespaceMode::kPod;
  Have(record);
  const std::string pins = dir_.path() + "/run/pods/p/ns";
  ASSERT_TRUE(base::MakeDirs(pins).ok());
  ASSERT_TRUE(base::WriteFile(pins + "/ipc", "").ok());  // the file is there, the mount is not
  BeginAndRecover();
  EXPECT_EQ(SeenPod("p")->state, PodState::kNotReady);
  EXPECT_THAT(SeenPod("p")->message, HasSubstr("ipc namespace is gone"));
}

TEST_F(RecoveryTest, FinishesTheStopThatWasUnderWay) {
  PodRecord record = PodOf("p", Dead());
  record.stage = PodStage::kStopping;
  record.status.state = PodState::kNotReady;
  Have(record);
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Be("refuses");
  BeginAndRecover();
  EXPECT_TRUE(Eventually([&] { return core_->FindPod("p")->record().stage == PodStage::kStopped; }));
  EXPECT_EQ(Seen("c")->state, ContainerState::kExited);
}

TEST_F(RecoveryTest, FinishesTheRemovalOfWhatHasNoFilesAnyMore) {
  Have(PodOf("p", Dead()));
  Have(ContainerOf("c", "p"));
  MonitorOf("p").Be("refuses");
  ASSERT_TRUE(base::RemoveTree(dir_.path() + "/root/pods/p").ok());
  BeginAndRecover();
  EXPECT_EQ(SeenPod("p"), nullptr);
  EXPECT_EQ(Seen("c"), nullptr);
  EXPECT_TRUE(store_.Pods()->empty());
}

TEST_F(RecoveryTest, NeedsNoDiskToStopAndRemove) {
  Have(PodOf("p", Dead()));
  Have(ContainerOf("c", "p"));
  Have(ContainerOf("d", "p", ContainerStage::kCreated));
  MonitorOf("p").Lists(Runs("c"));
  BeginAndRecover();
  MonitorOf("p").KillsWith([&](const std::string& id) { HaveExit("p", id, 137); });
  store_.full = true;
  EXPECT_TRUE(StopContainer(*core_, core_->FindContainer("c"), 0, "stop", Caller{}).ok());
  EXPECT_EQ(Seen("c")->state, ContainerState::kExited);
  EXPECT_TRUE(StopPod(*core_, core_->FindPod("p"), Caller{}).ok());
  EXPECT_TRUE(RemoveContainer(*core_, core_->FindContainer("d"), Caller{}).ok());
  EXPECT_TRUE(RemovePod(*core_, core_->FindPod("p"), Caller{}).ok());
  EXPECT_EQ(SeenPod("p"), nullptr);
  EXPECT_EQ(store_.Pods()->size(), 1U) << "the row waits for room";
  store_.full = false;
  EXPECT_TRUE(core_->erasures.Flush());
  EXPECT_TRUE(store_.Pods()->empty());
  EXPECT_TRUE(store_.Containers()->empty());
}

}  // namespace
}  // namespace berth::runtime
