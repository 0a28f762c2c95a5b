// SPDX-License-Identifier: Apache-2.0
// berth fsck: finds what nobody owns and what nothing backs, frees it, and touches nobody else's; records
// that are broken or lost are made anew from what is on disk.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kNobody(64, 'e'), kNobodys(64, 'f');

class FsckTest : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
  Daemon& daemon() { return Environment::Get().daemon(); }
  // A change behind the daemon's back; it must not run.
  void Sql(const std::string& statement) {
    MustRun({"sqlite3", daemon().root() + "/berth.db", "PRAGMA foreign_keys=ON; " + statement});
  }
};

// Garbage of every kind that lies on a host, of a pod that never was.
class Garbage {
 public:
  explicit Garbage(const Daemon& daemon) : state_(daemon.state() + "/pods/" + kNobody), root_(daemon.root()) {
    MakeDirs(state_ + "/ns");
    MakeDirs(root_ + "/pods/" + kNobody + "/containers/" + kNobodys);
    MakeDirs(root_ + "/containers/" + kNobodys + "/rootfs");
    MakeDirs(root_ + "/containers/" + kNobodys + "0003/rootfs");  // an image volume
    Mount(state_ + "/ns");
    WriteFile(state_ + "/ns/net", "");
    if (::mount("/proc/self/ns/net", (state_ + "/ns/net").c_str(), nullptr, MS_BIND, nullptr) != 0)
      throw TestError("cannot pin a namespace");
    Mount(root_ + "/containers/" + kNobodys + "/rootfs");
    Mount(root_ + "/containers/" + kNobodys + "0003/rootfs");
    MakeCgroup(pod_cgroup());
    MakeCgroup(container_cgroup());
    sleeper_.Start({"/bin/sleep", "1000"}, "/dev/null", PlainEnvironment());
    WriteFile(CgroupDir("memory", container_cgroup()) + "/cgroup.procs", std::to_string(sleeper_.pid()));
  }
  ~Garbage() {
    sleeper_.Kill();
    UnmountBelow(state_);
    for (const char* volume : {"", "0003"}) UnmountBelow(root_ + "/containers/" + kNobodys + volume);
    std::error_code error;
    for (const std::string& tree : {state_, root_ + "/pods/" + kNobody, root_ + "/containers/" + kNobodys,
                                    root_ + "/containers/" + kNobodys + "0003"}) {
      std::filesystem::remove_all(tree, error);
    }
    DestroyCgroup(pod_cgroup());
  }
  std::string pod_cgroup() const { return Environment::Get().cgroup_root() + "/kubepods/podnobody"; }
  std::string container_cgroup() const { return pod_cgroup() + "/" + kNobodys; }
  bool SleeperLives() { return sleeper_.Running(); }

 private:
  static void Mount(const std::string& path) {
    if (::mount("fsck", path.c_str(), "tmpfs", 0, "size=64k") != 0)
      throw TestError("cannot mount on " + path);
  }
  std::string state_, root_;
  Program sleeper_;
};

TEST_F(FsckTest, APodWithRunningEndedAndCreatedContainersIsClean) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod shared(config), plain, stopped;
  const Container running = Container::Run(plain, Server()), created(plain, Server());
  const Container ended = Container::Run(plain, Faults({"exit", "3"}));
  ended.WaitExit();
  stopped.Stop();
  const FsckResult looked = Fsck();
  EXPECT_EQ(looked.exit_code, 0) << looked.output;
  EXPECT_THAT(looked.findings, IsEmpty());
  daemon().Restart();
  EXPECT_THAT(Fsck().findings, IsEmpty());
  EXPECT_EQ(daemon().Terminate(), 0);
  const FsckResult without = Fsck();
  EXPECT_EQ(without.exit_code, 0) << without.output;
  EXPECT_THAT(without.output, HasSubstr("\"offline\": true"));
  daemon().Start();
}

TEST_F(FsckTest, VolumesOfImagesAndMappedVolumesAreTheirContainers) {
  cri::PodSandboxConfig config = PodConfig();
  const bool user_namespaces = WhyNoUserNamespaces().empty();
  if (user_namespaces) GiveUserNamespace(&config);
  const Pod pod(config);
  cri::ContainerConfig with = Command({"sh", "-c", "sleep 1000"}, "volume");
  AddImage(&with, Environment::Get().ImageId("plain"), "/img");
  const Container running = Container::Run(pod, with);
  with.mutable_metadata()->set_attempt(1);
  const Container created(pod, with);
  EXPECT_EQ(running.Sh("test -x /img/bin/busybox && cat /data/volume/seed"), "seed");
  const std::string volume = daemon().root() + "/containers/" + running.id() + "0000";
  ASSERT_TRUE(Exists(volume + "/rootfs/bin/busybox"));
  EXPECT_THAT(Fsck({"--repair"}).findings, IsEmpty());
  EXPECT_EQ(running.Sh("test -x /img/bin/busybox && cat /data/volume/seed"), "seed");
  if (!user_namespaces) return;
  const std::string pin = daemon().state() + "/pods/" + pod.id() + "/ns/user";
  ASSERT_EQ(::umount2(pin.c_str(), MNT_DETACH), 0);
  EXPECT_THAT(Fsck().findings, testing::ElementsAre(HasSubstr("/ns/user")));
}

TEST_F(FsckTest, AVolumeLeftMountedForAContainerThatIsGoneIsFoundAndFreed) {
  const Pod pod;
  const Container running = Container::Run(pod, Server());
  const std::string left = daemon().state() + "/pods/" + pod.id() + "/containers/" + kNobodys + "/mapped/0";
  MakeDirs(left);
  ASSERT_EQ(::mount("fsck", left.c_str(), "tmpfs", 0, "size=64k"), 0);
  EXPECT_THAT(Fsck().findings, Contains(HasSubstr("mount " + left)));
  EXPECT_EQ(Fsck({"--repair"}).exit_code, 0);
  EXPECT_FALSE(Exists(left));
  EXPECT_EQ(running.Sh("echo untouched"), "untouched");
  EXPECT_THAT(Fsck().findings, IsEmpty());
}

TEST_F(FsckTest, LiveOperationsAreNotMistakenForGarbage) {
  std::atomic<bool> done{false};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!done) {
        try {
          const Pod pod;
          const Container container = Container::Run(pod, Faults({"exit", "0"}));
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      }
    });
  }
  for (int i = 0; i < 3 + GetOptions().count; ++i) EXPECT_THAT(Fsck({"--repair"}).findings, IsEmpty());
  done = true;
  for (std::thread& client : clients) client.join();
}

TEST_F(FsckTest, GarbageIsNamedAndFreedAndWhatIsAnothersIsNot) {
  const Pod pod;
  const Container running = Container::Run(pod, Server());
  const std::string foreign = Environment::Get().cgroup_root() + "/kubepods/podforeign";
  MakeCgroup(foreign);
  MakeCgroup(foreign + "/" + std::string(64, '1'));
  for (const bool serving : {true, false}) {
    Garbage garbage(daemon());
    if (!serving) daemon().Terminate();
    const FsckResult looked = Fsck();
    EXPECT_EQ(looked.exit_code, 1) << looked.output;
    const std::vector<std::string> kinds{"mount " + daemon().state() + "/pods/" + kNobody + "/ns:",
                                         "/ns/net:",
                                         kNobodys + "/rootfs:",
                                         kNobodys + "0003/rootfs:",
                                         "directory " + daemon().root() + "/containers/" + kNobodys + "0003:",
                                         "directory " + daemon().state() + "/pods/" + kNobody + ":",
                                         "directory " + daemon().root() + "/pods/" + kNobody + ":",
                                         "directory " + daemon().root() + "/containers/" + kNobodys + ":",
                                         "cgroup " + garbage.container_cgroup() + ":"};
    for (const std::string& wanted : kinds) {
      EXPECT_THAT(looked.findings, Contains(HasSubstr(wanted)));
    }
    EXPECT_THAT(looked.findings, Not(Contains(HasSubstr("foreign"))));
    EXPECT_TRUE(garbage.SleeperLives());
    const FsckResult repaired = Fsck({"--repair"});
    EXPECT_EQ(repaired.exit_code, 0) << repaired.output;
    EXPECT_EQ(repaired.findings.size(), looked.findings.size());
    EXPECT_THAT(repaired.findings, testing::Each(HasSubstr("[mended]")));
    EXPECT_FALSE(garbage.SleeperLives());
    EXPECT_FALSE(Exists(daemon().root() + "/pods/" + kNobody));
    EXPECT_THAT(Fsck().findings, IsEmpty());
    if (!serving) daemon().Start();
  }
  EXPECT_THAT(CgroupTree(foreign), Not(IsEmpty()));
  DestroyCgroup(foreign);
  EXPECT_EQ(running.Sh("echo untouched"), "untouched");
}

TEST_F(FsckTest, AMonitorThatNoRecordOwnsIsFoundAndEndedWithItsContainer) {
  const auto pod = std::make_unique<Pod>();
  const Container running = Container::Run(*pod, Server());
  const pid_t init = running.Pid();
  daemon().Terminate();
  Sql("DELETE FROM containers WHERE pod_id='" + pod->id() + "'; DELETE FROM pods WHERE id='" + pod->id() +
      "'");
  const FsckResult looked = Fsck();
  EXPECT_THAT(looked.findings, Contains(HasSubstr("process monitor")));
  EXPECT_THAT(looked.findings, Contains(HasSubstr("cgroup " + pod->cgroup())));
  // The files beside the database would bring the pod back: that is another test's.
  std::filesystem::remove(daemon().root() + "/pods/" + pod->id() + "/pod.json");
  daemon().Start();
  EXPECT_EQ(::kill(init, 0), 0) << "a start ends nothing that it does not know";
  EXPECT_THAT(Fsck().findings, Contains(HasSubstr("process monitor")));
  const FsckResult repaired = Fsck({"--repair"});
  EXPECT_THAT(repaired.exit_code, 0) << repaired.output;
  EXPECT_TRUE(Eventually([&] { return Descendants(), ::kill(init, 0) != 0; }, seconds(5)));
  EXPECT_THAT(Fsck().findings, IsEmpty());
}

TEST_F(FsckTest, ARecordThatNothingBacksIsToldAndItsPodStopped) {
  const Pod pod;
  const std::string pin = daemon().state() + "/pods/" + pod.id() + "/ns/net";
  ASSERT_EQ(::umount2(pin.c_str(), MNT_DETACH), 0);
  EXPECT_THAT(Fsck().findings, testing::ElementsAre(HasSubstr("record pod " + pod.id())));
  EXPECT_EQ(Fsck({"--repair"}).exit_code, 0);
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
  EXPECT_THAT(Fsck().findings, IsEmpty());
}

TEST_F(FsckTest, ItRefusesWhereADaemonRunsThatItCannotAsk) {
  const RunResult looked = RunProgram({ProgramBeside("berth"), "--endpoint", "/nonexistent.sock", "fsck",
                                       "--config", daemon().config_file()});
  EXPECT_EQ(looked.exit_code, 2);
  EXPECT_THAT(looked.output, HasSubstr("another berthd runs"));
}

TEST_F(FsckTest, ABrokenRecordIsMovedAsideAndMadeAnewAndTheRestServes) {
  const Pod broken, whole;
  const Container running = Container::Run(broken, Server()),
                  torn = Container::Run(broken, Faults({"after", "1", "--", "exit", "7"}));
  const Container other = Container::Run(whole, Server());
  torn.WaitExit();
  daemon().Kill9();
  Sql("UPDATE pods SET record='{torn' WHERE id='" + broken.id() +
      "'; UPDATE containers SET record='' WHERE id='" + torn.id() + "'");
  EXPECT_THAT(Fsck().findings, testing::UnorderedElementsAre(HasSubstr("record pod " + broken.id()),
                                                             HasSubstr("record container " + torn.id())));
  daemon().Start();
  EXPECT_EQ(other.Sh("echo fine"), "fine");
  EXPECT_EQ(broken.Status().state(), cri::SANDBOX_READY);
  EXPECT_EQ(running.Sh("echo fine"), "fine");
  EXPECT_EQ(torn.Status().exit_code(), 7);
  EXPECT_THAT(ReadFile(daemon().log_file()), HasSubstr("moved aside"));
  const FsckResult looked = Fsck();
  EXPECT_THAT(looked.findings, IsEmpty());
  EXPECT_THAT(looked.output, HasSubstr("quarantine/pod-" + broken.id()));
  std::filesystem::remove_all(daemon().root() + "/quarantine");
}

TEST_F(FsckTest, ALostDatabaseIsMadeAnewFromWhatIsOnDisk) {
  for (const bool torn : {false, true}) {
    auto pod = std::make_unique<Pod>();
    const Pod stopped;
    const Container running = Container::Run(*pod, Server());
    const Container ended = Container::Run(*pod, Faults({"exit", "42"})), created(*pod, Server());
    ended.WaitExit();
    stopped.Stop();
    const std::string ip = pod->Ip();
    const int images = Must(Cri().ListImages({})).images_size();
    const cri::ContainerStatus before = ended.Status();
    daemon().Kill9();
    for (const char* suffix : {"-wal", "-shm", ""})
      std::filesystem::remove(daemon().root() + "/berth.db" + suffix);
    if (torn) WriteFile(daemon().root() + "/berth.db", "this was a database");
    daemon().Start();
    EXPECT_EQ(pod->Status().state(), cri::SANDBOX_READY);
    EXPECT_EQ(pod->Ip(), ip);
    EXPECT_EQ(stopped.Status().state(), cri::SANDBOX_NOTREADY);
    EXPECT_EQ(running.Sh("echo fine"), "fine");
    EXPECT_EQ(ended.Status().DebugString(), before.DebugString());
    EXPECT_EQ(created.Status().state(), cri::CONTAINER_CREATED);
    EXPECT_EQ(Must(Cri().ListImages({})).images_size(), images);
    created.Start();
    EXPECT_EQ(created.Sh("echo fine"), "fine");
    stopped.Stop();
    EXPECT_THAT(Fsck().findings, IsEmpty());
    pod->Remove();  // the address too: the suite looks for leaks at its end
  }
  for (const auto& entry : std::filesystem::directory_iterator(daemon().root())) {
    if (entry.path().filename().string().rfind("berth.db.broken-", 0) == 0) std::filesystem::remove(entry);
  }
}

}  // namespace
}  // namespace berth::e2e
