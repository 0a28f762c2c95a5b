// SPDX-License-Identifier: Apache-2.0
// Drives the real berth-monitor over the real client with the host's crun and runc.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "monitor/birth.h"
#include "monitor/testing/pod.h"
#include "monitor/testing/wait.h"

namespace berth::monitor {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;
using testing::RuntimeUnderTest;
using testing::Soon;
using ::testing::StartsWith;
using testing::TestPod;

class MonitorTest : public ::testing::TestWithParam<RuntimeUnderTest> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_P(MonitorTest, TellsExitCodesAndWritesTheLog) {
  TestPod pod(GetParam());
  pod.Run("a", {"print", "hello\nwor", "print", "ld\n", "err", "oops", "exit", "7"});
  const ExitRecord record = pod.Wait("a");
  EXPECT_EQ(record.exit_code, 7);
  EXPECT_EQ(record.reason, "Error");
  EXPECT_EQ(record.message, "");
  EXPECT_GE(record.finished_at, record.started_at);
  EXPECT_TRUE(record.durable);
  const auto log = pod.Log("a");
  EXPECT_THAT(log, ::testing::UnorderedElementsAre("stdout F hello", "stdout F world", "stderr F oops"));
}

TEST_P(MonitorTest, TellsZeroAndSignals) {
  TestPod pod(GetParam());
  pod.Run("zero", {"exit", "0"});
  pod.Run("segv", {"sleep", "100000"});
  const auto listed = pod.client().List(Soon());
  ASSERT_TRUE(listed.ok());
  for (const auto& container : listed->containers) {
    if (container.id == "segv") ::kill(container.pid, SIGSEGV), ::kill(container.pid, SIGKILL);
  }
  EXPECT_EQ(pod.Wait("zero").reason, "Completed");
  const ExitRecord killed = pod.Wait("segv");
  EXPECT_EQ(killed.exit_code, 137);
  EXPECT_EQ(killed.reason, "Error");
  EXPECT_EQ(killed.message, "killed by SIGKILL, neither for memory nor by a request");
}

TEST_P(MonitorTest, AMissingCommandIs127AndOneThatCannotRunIs126) {
  TestPod pod(GetParam());
  const auto try_command = [&](const std::string& id, const std::string& command) {
    TestPod::Options options;
    options.command = command;
    const auto started = pod.client().Start(pod.Prepare(id, {}, options), Soon());
    EXPECT_EQ(started.status().code(), absl::StatusCode::kAborted) << started.status();
    const ExitRecord record = pod.Record(id);
    EXPECT_EQ(record.reason, "StartError");
    EXPECT_EQ(record.message, started.status().message());
    EXPECT_GT(record.finished_at, 0);
    EXPECT_EQ(record.started_at, 0);
    EXPECT_TRUE(pod.Pids(id).empty());
    return record;
  };
  ExitRecord record = try_command("a", "/nope");
  EXPECT_EQ(record.exit_code, 127);
  EXPECT_EQ(record.message, "exec \"/nope\": no such file or directory");
  record = try_command("b", "nope");
  EXPECT_EQ(record.exit_code, 127);
  EXPECT_EQ(record.message, "exec \"nope\": executable file not found in $PATH");
  record = try_command("c", "/plain");
  EXPECT_EQ(record.exit_code, 126);
  EXPECT_EQ(record.message, "exec \"/plain\": permission denied");
  record = try_command("d", "/garbage");
  EXPECT_EQ(record.exit_code, 126);
  EXPECT_EQ(record.message, "exec \"/garbage\": exec format error");
  EXPECT_EQ(pod.Log("d"), std::vector<std::string>());
  record = try_command("e", "/tmp");
  EXPECT_EQ(record.exit_code, 126);
  // The name is free again once the record was read.
  EXPECT_TRUE(pod.client().Forget("a", Soon()).ok());
  pod.Run("a", {"exit", "0"});
  EXPECT_EQ(pod.Wait("a").exit_code, 0);
}

TEST_P(MonitorTest, ALimitTooSmallToStartIsTold) {
  TestPod pod(GetParam());
  TestPod::Options options;
  options.memory_limit = 4 << 10;
  const auto started = pod.client().Start(pod.Prepare("a", {"exit", "0"}, options), Soon());
  ASSERT_FALSE(started.ok());
  EXPECT_THAT(std::string(started.status().message()),
              StartsWith("limit 4.0 KiB is below what the runtime needs to start a container (" +
                         GetParam().name + " takes about "));
  EXPECT_EQ(pod.Record("a").exit_code, 128);
}

TEST_P(MonitorTest, StopsWithTheEvidenceInTheMessage) {
  TestPod pod(GetParam());
  pod.Run("polite", {"trap", "15", "3", "print", "ready\n", "sleep", "100000"});
  // The kernel drops what process 1 of a PID namespace has no handler for.
  ASSERT_TRUE(Eventually([&] { return !pod.Log("polite").empty(); }));
  ASSERT_TRUE(pod.client().Signal({"polite", SIGTERM, "stop", 2000}, Soon()).ok());
  ExitRecord record = pod.Wait("polite");
  EXPECT_EQ(record.exit_code, 3);
  EXPECT_THAT(record.message, StartsWith("stopped by request with SIGTERM after "));

  pod.Run("deaf", {"ignore", "15", "fork-sleep", "sleep", "100000"});
  ASSERT_TRUE(pod.client().Signal({"deaf", SIGTERM, "stop", 2000}, Soon()).ok());
  ASSERT_TRUE(pod.client().Kill({"deaf", "stop", 2000}, Soon()).ok());
  record = pod.Wait("deaf");
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.reason, "Error");
  EXPECT_EQ(record.message, "stopped by request, killed after 2 s grace");
  EXPECT_EQ(pod.client().Signal({"deaf", SIGTERM, "stop", 0}, Soon()).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(pod.client().Signal({"nobody", SIGTERM, "stop", 0}, Soon()).code(), absl::StatusCode::kNotFound);
}

TEST_P(MonitorTest, ExecsWithTheirOwnStatus) {
  TestPod pod(GetParam());
  pod.Run("a", {"sleep", "100000"});
  std::string out;
  ExecExit exit = pod.Exec("a", "e1", {"print", "from exec", "exit", "5"}, &out);
  EXPECT_EQ(exit.exit_code, 5);
  EXPECT_EQ(out, "from exec");
  exit = pod.Exec("a", "e2", {"kill", "9"});
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_TRUE(exit.signaled);
  EXPECT_FALSE(exit.oom_killed);
  ExecRequest missing;
  missing.container_id = "a";
  missing.exec_id = "e3";
  missing.process_file = pod.dir() + "/process-missing.json";
  std::ofstream(missing.process_file) << R"({"args":["/nope"],"cwd":"/","user":{"uid":0,"gid":0}})";
  base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto failed = pod.client().Exec(missing, {null.get(), null.get()}, Soon());
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("/nope"));
}

TEST_P(MonitorTest, EndsTheWholeTreeOfAnExecAndNothingElse) {
  TestPod pod(GetParam());
  const Started started = pod.Run("a", {"sleep", "100000"});
  base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  // It forks once it has its cgroup: where the runtime makes none (crun on v1), what gets away from its
  // parent before the monitor moves it is the container's.
  const std::vector<std::string> tree = {"path", "/go", "fork-sleep", "daemon-sleep", "sleep", "100000"};
  const std::string go = pod.dir() + "/rootfs/go";
  ASSERT_TRUE(pod.StartExec(pod.client(), "a", "tree", tree, null.get()).ok());
  std::ofstream(go) << "go";
  ASSERT_TRUE(Eventually([&] { return pod.Pids("a").size() == 4; }));
  ASSERT_TRUE(pod.client().ExecKill("tree", Soon()).ok());
  EXPECT_EQ(pod.WaitExec("tree").exit_code, 137);
  EXPECT_EQ(pod.Pids("a"), std::vector<int>{started.pid});

  // The same when the connection that began it goes.
  auto other = pod.hub().Connect(pod.dir() + "/pod", {}, Soon());
  ASSERT_TRUE(other.ok());
  std::filesystem::remove(go);
  ASSERT_TRUE(pod.StartExec(**other, "a", "tree2", tree, null.get()).ok());
  std::ofstream(go) << "go";
  ASSERT_TRUE(Eventually([&] { return pod.Pids("a").size() == 4; }));
  other->reset();
  EXPECT_EQ(pod.WaitExec("tree2").exit_code, 137);
  EXPECT_EQ(pod.Pids("a"), std::vector<int>{started.pid});
}

TEST_P(MonitorTest, WhatAnExecLeavesInTheBackgroundLivesOn) {
  TestPod pod(GetParam());
  pod.Run("a", {"sleep", "100000"});
  EXPECT_EQ(pod.Exec("a", "e", {"daemon-sleep", "exit", "0"}).exit_code, 0);
  EXPECT_EQ(pod.Pids("a").size(), 2U);
  ASSERT_TRUE(Eventually([&] { return !pod.HasChildCgroup("a", "exec-e"); }));
  EXPECT_EQ(pod.Pids("a").size(), 2U);
}

TEST_P(MonitorTest, AContainerAndItsExecsHaveItsOwnOomScoreAndNotTheMonitors) {
  TestPod pod(GetParam(), "", 300);
  const auto score = [](pid_t pid) {
    const auto text = base::ReadFile("/proc/" + std::to_string(pid) + "/oom_score_adj");
    return text ? std::atoi(text->c_str()) : -1;
  };
  EXPECT_EQ(score(pod.monitor_pid()), 300);
  for (const int wanted : {0, 500}) {
    const std::string id = "with-" + std::to_string(wanted);
    TestPod::Options options;
    options.patch = {{"process", {{"oomScoreAdj", wanted}}}};
    pod.Run(id, {"sleep", "100000"}, options);
    EXPECT_EQ(pod.Exec(id, "e", {"daemon-sleep", "exit", "0"}).exit_code, 0);
    // What the exec left is moved from the exec's cgroup into the container's: for a moment it is in neither
    // listing.
    std::vector<int> pids;
    ASSERT_TRUE(Eventually([&] { return (pids = pod.Pids(id)).size() == 2; }));
    for (const int pid : pids) EXPECT_EQ(score(pid), wanted);
  }
}

TEST_P(MonitorTest, CutsLongLinesAndReopensBetweenRecords) {
  TestPod pod(GetParam());
  pod.Run("a", {"line", "16384", "line", "40000", "path", "/go", "flood-until", "/enough"});
  ASSERT_TRUE(Eventually([&] { return pod.Log("a").size() == 4; }));
  const auto log = pod.Log("a");
  EXPECT_EQ(log[0], "stdout F " + std::string(16384, 'x'));
  EXPECT_EQ(log[1], "stdout P " + std::string(16384, 'x'));
  EXPECT_EQ(log[2], "stdout P " + std::string(16384, 'x'));
  EXPECT_EQ(log[3], "stdout F " + std::string(40000 - 32768, 'x'));
  const auto size = [&] {
    struct stat facts {};
    return ::stat(pod.LogPath("a").c_str(), &facts) == 0 ? facts.st_size : -1;
  };
  off_t before = size();
  std::ofstream(pod.dir() + "/rootfs/go") << "go";
  int rotated = 0;
  for (; rotated < 5; ++rotated, before = 0) {
    ASSERT_TRUE(Eventually([&] { return size() > before; })) << "lines in each file";
    ASSERT_EQ(::rename(pod.LogPath("a").c_str(), (pod.LogPath("a") + "." + std::to_string(rotated)).c_str()),
              0);
    ASSERT_TRUE(pod.client().ReopenLog("a", Soon()).ok());
  }
  std::ofstream(pod.dir() + "/rootfs/enough") << "enough";
  pod.Wait("a");
  std::string all;
  for (int i = 0; i < rotated; ++i)
    all += *base::ReadFile(pod.LogPath("a") + "." + std::to_string(i), 1 << 28);
  all += *base::ReadFile(pod.LogPath("a"), 1 << 28);
  std::istringstream lines(all);
  long expected = 0;
  std::string last;
  for (std::string line; std::getline(lines, line); last = line) {
    const auto at = line.find(" F line ");
    if (at == std::string::npos) continue;
    ASSERT_EQ(std::stol(line.substr(at + 8)), expected) << "a gap in the log";
    ++expected;
  }
  EXPECT_GE(expected, 5);
  EXPECT_THAT(last, ::testing::EndsWith(" stdout F end"));
}

TEST_P(MonitorTest, GivesATerminal) {
  TestPod pod(GetParam());
  TestPod::Options options;
  options.tty = true;
  pod.Run("a", {"print", "to the terminal\n", "exit", "4"}, options);
  EXPECT_EQ(pod.Wait("a").exit_code, 4);
  EXPECT_THAT(pod.Log("a"), ::testing::ElementsAre("stdout F to the terminal\r"));
}

TEST_P(MonitorTest, TheHolderOutlivesContainersAndDiesWithThePod) {
  TestPod pod(GetParam());
  const auto holder = pod.client().Holder({pod.dir() + "/pod/ns/pid", {}, 0, ""}, Soon());
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(pod.client().Holder({pod.dir() + "/pod/ns/pid", {}, 0, ""}, Soon())->pid, holder->pid);
  TestPod::Options options;
  options.patch = {
      {"hostname", nullptr},
      {"linux",
       {{"namespaces", nlohmann::json::array(
                           {{{"type", "pid"}, {"path", pod.dir() + "/pod/ns/pid"}}, {{"type", "mount"}}})}}}};
  pod.Run("a", {"daemon-sleep", "fork-sleep", "sleep", "100000"}, options);
  pod.Run("b", {"sleep", "100000"}, options);
  ASSERT_TRUE(Eventually([&] { return pod.Pids("a").size() == 3; }));
  ASSERT_TRUE(pod.client().Kill({"a", "stop", 0}, Soon()).ok());
  EXPECT_EQ(pod.Wait("a").message, "stopped by request, killed at once");
  EXPECT_EQ(pod.Pids("b").size(), 1U);
  const auto status = base::ReadFile("/proc/" + std::to_string(holder->pid) + "/status", 1 << 16);
  ASSERT_TRUE(status.ok());
  ::kill(holder->pid, SIGTERM);
  const auto listed = pod.client().List(Soon());
  ASSERT_TRUE(listed.ok() && listed->holder);
  EXPECT_EQ(listed->holder->pid, holder->pid);
  ::kill(holder->pid, SIGKILL);
  EXPECT_THAT(pod.Wait("b").message, HasSubstr("held the pod's shared PID namespace died"));
}

TEST_P(MonitorTest, AtTheNodesShutdownItEndsAfterItsLastContainer) {
  TestPod pod(GetParam());
  const auto holder = pod.client().Holder({pod.dir() + "/pod/ns/pid", {}, 0, ""}, Soon());
  ASSERT_TRUE(holder.ok()) << holder.status();
  pod.Run("short", {"trap", "15", "3", "print", "ready\n", "sleep", "100000"});
  pod.Run("long", {"trap", "15", "4", "print", "ready\n", "sleep", "100000"});
  ASSERT_TRUE(Eventually([&] { return !pod.Log("short").empty() && !pod.Log("long").empty(); }));
  const auto listed = pod.client().List(Soon());
  ASSERT_TRUE(listed.ok());
  ::kill(pod.monitor_pid(), SIGTERM);
  for (const auto& container : listed->containers) {
    if (container.id == "short") ::kill(container.pid, SIGTERM);
  }
  EXPECT_EQ(pod.Wait("short").exit_code, 3);
  ASSERT_TRUE(pod.client().Forget("short", Soon()).ok()) << "it waits for the other";
  EXPECT_TRUE(base::OpenProcess(*holder).ok());
  pod.Disconnect();  // as berthd, which is gone before
  for (const auto& container : listed->containers) {
    if (container.id == "long") ::kill(container.pid, SIGTERM);
  }
  ASSERT_TRUE(pod.MonitorEnds());
  EXPECT_FALSE(base::OpenProcess(*holder).ok());
  EXPECT_EQ(pod.Record("long").exit_code, 4);
  EXPECT_TRUE(pod.Pids("long").empty());
}

TEST_P(MonitorTest, PinsNamespacesWithoutAProcess) {
  TestPod pod(GetParam());
  PinOptions options;
  options.program = std::string(BERTH_TEST_BIN) + "/berth-monitor";
  options.dir = pod.dir() + "/pod/ns";
  options.hostname = "pinned";
  options.sysctls = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmni", "77"}};
  const auto pinned = Pin(options, Soon());
  ASSERT_TRUE(pinned.ok()) << pinned;
  TestPod::Options with;
  with.patch = {{"hostname", nullptr},
                {"linux",
                 {{"namespaces", nlohmann::json::array({{{"type", "uts"}, {"path", options.dir + "/uts"}},
                                                        {{"type", "network"}, {"path", options.dir + "/net"}},
                                                        {{"type", "ipc"}, {"path", options.dir + "/ipc"}},
                                                        {{"type", "mount"}},
                                                        {{"type", "pid"}}})}}}};
  pod.Run("a", {"hostname"}, with);
  pod.Wait("a");
  EXPECT_THAT(pod.Log("a"), ::testing::ElementsAre("stdout F pinned"));
  EXPECT_TRUE(Unpin(options.dir).ok());
  EXPECT_FALSE(base::Exists(options.dir + "/net"));

  options.sysctls = {{"kernel.panic", "1"}};
  const auto refused = Pin(options, Soon());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("kernel.panic"));
  EXPECT_FALSE(base::Exists(options.dir + "/net"));
}

// The user namespace that a namespace belongs to, as its inode's number; 0 when it cannot be told.
ino_t OwnerOf(const std::string& pin) {
  const base::UniqueFd fd(::open(pin.c_str(), O_RDONLY | O_CLOEXEC));
  const base::UniqueFd user(::ioctl(fd.get(), NS_GET_USERNS));
  struct stat info {};
  return user && ::fstat(user.get(), &info) == 0 ? info.st_ino : 0;
}

TEST_P(MonitorTest, PinsInAUserNamespaceBelongToItAndSoDoesTheHolder) {
  TestPod pod(GetParam());
  PinOptions options;
  options.program = std::string(BERTH_TEST_BIN) + "/berth-monitor";
  options.dir = pod.dir() + "/pod/ns";
  options.hostname = "pinned";
  options.user = UserMap{1'000'000, 65536};
  options.sysctls = {{"net.ipv4.ip_default_ttl", "33"}, {"kernel.shmmni", "77"}};
  const auto pinned = Pin(options, Soon());
  ASSERT_TRUE(pinned.ok()) << pinned;
  struct stat user {};
  ASSERT_EQ(::stat((options.dir + "/user").c_str(), &user), 0);
  for (const char* name : {"/net", "/ipc", "/uts"})
    EXPECT_EQ(OwnerOf(options.dir + name), user.st_ino) << name;
  HolderRequest request;
  request.pin = options.dir + "/pid";
  request.user_namespace = options.dir + "/user";
  const auto holder = pod.client().Holder(request, Soon());
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(OwnerOf(options.dir + "/pid"), user.st_ino);
  struct stat process {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(holder->pid)).c_str(), &process), 0);
  EXPECT_EQ(process.st_uid, 1'000'000U);
  EXPECT_THAT(*base::ReadFile("/proc/" + std::to_string(holder->pid) + "/uid_map"),
              ::testing::ContainsRegex("0 +1000000 +65536"));

  options.dir = pod.dir() + "/pod/other";
  options.user = UserMap{4'294'900'000U, 4'294'967U};  // beyond 32 bits
  EXPECT_FALSE(Pin(options, Soon()).ok());
  EXPECT_FALSE(base::Exists(options.dir + "/user"));
  (void)Unpin(options.dir);
}

TEST_P(MonitorTest, AHolderWithoutItsUserNamespaceIsRefusedAndLeavesNothing) {
  TestPod pod(GetParam());
  HolderRequest request;
  request.pin = pod.dir() + "/pod/ns/pid";
  request.user_namespace = pod.dir() + "/pod/ns/none";
  EXPECT_FALSE(pod.client().Holder(request, Soon()).ok());
  request.user_namespace = "/proc/self/ns/net";  // not a user namespace
  const auto refused = pod.client().Holder(request, Soon());
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("join the pod's user namespace"));
  EXPECT_FALSE(pod.client().List(Soon())->holder.has_value());
}

TEST_P(MonitorTest, GoesOnWhenTheDaemonIsGone) {
  TestPod pod(GetParam());
  pod.Run("a", {"path", "/go", "print", "late\n", "exit", "9"});
  pod.Disconnect();
  std::ofstream(pod.dir() + "/rootfs/go") << "go";
  ASSERT_TRUE(Eventually([&] { return base::Exists(pod.dir() + "/record-a/exit.json"); }));
  EXPECT_EQ(pod.Record("a").exit_code, 9);
  EXPECT_EQ(pod.Log("a"), std::vector<std::string>{"stdout F late"});
  pod.Connect();
  const auto listed = pod.client().List(Soon());
  ASSERT_EQ(listed->containers.size(), 1U);
  EXPECT_EQ(listed->containers[0].state, "exited");
}

TEST_P(MonitorTest, AFullLogDiskDropsAndTells) {
  TestPod pod(GetParam());
  const std::string small = pod.dir() + "/small";
  ::mkdir(small.c_str(), 0755);
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m"), 0);
  TestPod::Options options;
  options.log_path = small + "/a.log";
  pod.Run("a", {"flood-until", "/enough", "drain", "/drained", "path", "/go", "print", "after\n"}, options);
  ASSERT_TRUE(Eventually([&] { return pod.Dropped("a") > 0; }));
  std::ofstream(pod.dir() + "/rootfs/enough") << "enough";
  ASSERT_TRUE(Eventually([&] { return base::Exists(pod.dir() + "/rootfs/drained"); }));
  // Whole records only, also where the disk ended.
  EXPECT_TRUE(Eventually([&] {
    const auto full = base::ReadFile(options.log_path, 2 << 20);
    return full && full->size() > 1000 && full->back() == '\n';
  }));
  EXPECT_EQ(::truncate(options.log_path.c_str(), 0), 0);
  std::ofstream(pod.dir() + "/rootfs/go") << "go";
  const ExitRecord record = pod.Wait("a");
  EXPECT_GT(record.log_dropped_bytes, 0U);
  EXPECT_THAT(record.message, HasSubstr("of its log were lost"));
  const auto log = *base::ReadFile(options.log_path, 2 << 20);
  EXPECT_THAT(log, HasSubstr("bytes of this log were lost here: No space left on device"));
  EXPECT_THAT(log, HasSubstr("stdout F after"));
  ::umount2(small.c_str(), MNT_DETACH);
}

TEST_P(MonitorTest, AFullRecordDiskFallsBackAndCatchesUp) {
  TestPod pod(GetParam());
  StartRequest request = pod.Prepare("a", {"exit", "6"});
  request.record_dir = pod.dir() + "/small";
  ::mkdir(request.record_dir.c_str(), 0755);
  ASSERT_EQ(::mount("tmpfs", request.record_dir.c_str(), "tmpfs", 0, "size=64k"), 0);
  { std::ofstream(request.record_dir + "/ballast") << std::string(64 << 10, 'x'); }
  ASSERT_TRUE(pod.client().Start(request, Soon()).ok());
  ASSERT_TRUE(Eventually([&] { return base::Exists(request.fallback_dir + "/exit.json"); }));
  auto record = ReadExitRecord(request.record_dir, request.fallback_dir);
  ASSERT_TRUE(record.ok());
  EXPECT_FALSE(record->durable);
  EXPECT_EQ(record->exit_code, 6);
  ::unlink((request.record_dir + "/ballast").c_str());
  ASSERT_TRUE(Eventually([&] { return base::Exists(request.record_dir + "/exit.json"); }));
  record = ReadExitRecord(request.record_dir, request.fallback_dir);
  EXPECT_TRUE(record->durable);
  ASSERT_TRUE(Eventually([&] { return !base::Exists(request.fallback_dir + "/exit.json"); }));
  ::umount2(request.record_dir.c_str(), MNT_DETACH);
}

TEST_P(MonitorTest, RefusesASecondMonitorOfTheSamePod) {
  TestPod pod(GetParam());
  LaunchOptions launch;
  launch.program = std::string(BERTH_TEST_BIN) + "/berth-monitor";
  launch.pod_id = "pod";
  launch.pod_dir = pod.dir() + "/pod";
  const auto second = Launch(launch, Soon());
  EXPECT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("a monitor of this pod is there already"));
  EXPECT_TRUE(pod.client().List(Soon()).ok());
}

TEST_P(MonitorTest, ManyEndAtOnceAndEveryCodeIsRight) {
  TestPod pod(GetParam());
  constexpr int kCount = 24;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCount; ++i) {
    threads.emplace_back([&pod, i] {
      pod.Run("c" + std::to_string(i), {"exit", std::to_string(i * 11 % 256)});
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(pod.Wait("c" + std::to_string(i)).exit_code, i * 11 % 256);
}

INSTANTIATE_TEST_SUITE_P(Runtimes, MonitorTest, ::testing::ValuesIn(testing::Runtimes()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace berth::monitor
