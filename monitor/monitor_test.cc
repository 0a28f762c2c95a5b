// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/clock.h"
#include "base/files.h"
#include "monitor/explain.h"
#include "monitor/json_read.h"
#include "monitor/log_format.h"
#include "monitor/log_writer.h"
#include "monitor/loop.h"
#include "monitor/messages.h"
#include "monitor/pin.h"
#include "monitor/record_writer.h"
#include "monitor/runtime_call.h"

namespace berth::monitor {
namespace {

using ::testing::HasSubstr;

class TempDir {
 public:
  TempDir() { path_ = ::mkdtemp(pattern_); }
  ~TempDir() { (void)base::RemoveTree(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  char pattern_[40] = "/tmp/berth-test-monitor-XXXXXX";
  std::string path_;
};

constexpr std::int64_t kTime = 1'700'000'000'000'000'007;
const std::string kStamp = "2023-11-14T22:13:20.000000007Z";

std::string Split(const std::vector<std::string>& chunks, bool finish = false) {
  LogSplitter splitter("stdout");
  std::string out;
  for (const auto& chunk : chunks) splitter.Feed(chunk, kTime, out);
  if (finish) splitter.Finish(kTime, out);
  return out;
}

TEST(LogFormat, StampsWithNineDigitsInUtc) {
  EXPECT_EQ(LogTimestamp(kTime), kStamp);
  EXPECT_EQ(LogTimestamp(0), "1970-01-01T00:00:00.000000000Z");
}

TEST(LogFormat, MakesOneRecordPerLineHoweverItArrives) {
  EXPECT_EQ(Split({"a\nb\n"}), kStamp + " stdout F a\n" + kStamp + " stdout F b\n");
  EXPECT_EQ(Split({"a", "b", "\n"}), kStamp + " stdout F ab\n");
  EXPECT_EQ(Split({"\n"}), kStamp + " stdout F \n");
  EXPECT_EQ(Split({"rest"}), "");
  EXPECT_EQ(Split({"rest"}, true), kStamp + " stdout F rest\n");
  EXPECT_EQ(Split({"a\n"}, true), kStamp + " stdout F a\n");
}

TEST(LogFormat, CutsAt16KiBWhateverTheChunks) {
  const std::string line(2 * kMaxLogContent + 5, 'x');
  const std::string expected = kStamp + " stdout P " + std::string(kMaxLogContent, 'x') + "\n" + kStamp +
                               " stdout P " + std::string(kMaxLogContent, 'x') + "\n" + kStamp +
                               " stdout F xxxxx\n";
  EXPECT_EQ(Split({line + "\n"}), expected);
  std::vector<std::string> bytes;
  for (const char c : line + "\n") bytes.emplace_back(1, c);
  EXPECT_EQ(Split(bytes), expected);
  // Just 16 KiB is one whole line, wherever the newline comes.
  const std::string just(kMaxLogContent, 'y');
  EXPECT_EQ(Split({just + "\n"}), kStamp + " stdout F " + just + "\n");
  EXPECT_EQ(Split({just, "\n"}), kStamp + " stdout F " + just + "\n");
}

TEST(LogWriter, RefusesWhatIsNoRegularFile) {
  TempDir dir;
  LogWriter writer([](std::uint64_t) {});
  EXPECT_FALSE(writer.Open("/dev/null").ok());
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(writer.Open(dir / "fifo").ok());
  ASSERT_EQ(::symlink("/etc/passwd", (dir / "link").c_str()), 0);
  EXPECT_FALSE(writer.Open(dir / "link").ok());
}

TEST(LogWriter, KeepsTheOldFileWhenReopeningFails) {
  TempDir dir;
  LogWriter writer([](std::uint64_t) {});
  ASSERT_TRUE(writer.Open(dir / "log").ok());
  writer.Write("one\n", 3);
  ASSERT_EQ(::rename((dir / "log").c_str(), (dir / "old").c_str()), 0);
  ASSERT_EQ(::mkdir((dir / "log").c_str(), 0700), 0);
  EXPECT_FALSE(writer.Reopen().ok());
  writer.Write("two\n", 3);
  EXPECT_EQ(*base::ReadFile(dir / "old"), "one\ntwo\n");
  EXPECT_EQ(writer.dropped_bytes(), 0U);
}

ExitRecord FullRecord() {
  ExitRecord record;
  record.container_id = "c";
  record.pod_id = "p";
  record.pid = 7;
  record.exit_code = 137;
  record.signaled = true;
  record.signal = 9;
  record.reason = "OOMKilled";
  record.message = "out of memory: \xff bytes";
  record.started_at = 1;
  record.finished_at = 2;
  record.duration_ns = 3;
  record.boot_id = "b";
  record.durable = false;
  record.user_cpu_us = 4;
  record.system_cpu_us = 5;
  record.max_rss_bytes = 6;
  record.throttling = {9, 10, 11};
  record.log_dropped_bytes = 8;
  record.oom = {true, "kernel log", true, "pod", 9, 10, OomVictim{"x) a", 11, 12}, 13, 14};
  record.stop = {true, 15, 16, true, "stop", 17};
  record.start_failure = StartFailure{"create", "words"};
  return record;
}

TEST(SaysOutOfMemory, KnowsTheRuntimesWords) {
  // crun's words when its child died while it waited, and runc's; no others.
  EXPECT_TRUE(SaysOutOfMemory(
      "OOM: the memory limit could be too low: read from sync socket: Connection reset by peer"));
  EXPECT_TRUE(SaysOutOfMemory("container init was OOM-killed (memory limit too low?)"));
  EXPECT_FALSE(SaysOutOfMemory("read from sync socket: Connection reset by peer"));
}

TEST(ExitRecord, SurvivesItsJson) {
  const auto record = ExitRecordFromJson(ToJson(FullRecord()));
  ASSERT_TRUE(record.ok()) << record.error().Message();
  EXPECT_EQ(record->message, "out of memory: \xEF\xBF\xBD bytes");
  EXPECT_EQ(ToJson(*record), ToJson(FullRecord()));
  EXPECT_EQ(record->oom.victim->comm, "x) a");
  EXPECT_EQ(record->stop.requested_at, 17);
}

TEST(ExitRecord, IgnoresWhatItDoesNotKnowAndRefusesWhatIsNone) {
  EXPECT_TRUE(ExitRecordFromJson(R"({"version":9,"container_id":"c","reason":"Error","new":{"x":1}})").ok());
  for (const char* text :
       {"", "[]", "{}", "{\"version\":1}", R"({"version":0,"container_id":"c","reason":"Error"})",
        R"({"version":1,"container_id":7,"reason":"Error"})", "not json"}) {
    EXPECT_FALSE(ExitRecordFromJson(text).ok()) << text;
  }
}

TEST(ExitRecord, IsReadFromDiskBeforeTheFallback) {
  TempDir disk;
  TempDir fallback;
  EXPECT_EQ(ReadExitRecord(disk.path(), fallback.path()).error().err, ENOENT);
  ExitRecord record = FullRecord();
  ASSERT_TRUE(WriteRecordFallback(record, fallback.path()).ok());
  EXPECT_FALSE(ReadExitRecord(disk.path(), fallback.path())->durable);
  ASSERT_TRUE(ReserveRecord(disk.path()).ok());
  record.durable = true;
  ASSERT_TRUE(WriteRecordDurable(record, disk.path()).ok());
  EXPECT_TRUE(ReadExitRecord(disk.path(), fallback.path())->durable);
  EXPECT_FALSE(base::Exists(disk / kExitReserveName));
}

TEST(ExitRecord, FitsItsReserve) {
  ExitRecord record = FullRecord();
  record.message = Shorten(std::string(100'000, '\x01'));
  record.start_failure->text = Shorten(std::string(100'000, '\x01'));
  EXPECT_LT(ToJson(record).size(), 16U * 1024);
  EXPECT_EQ(Shorten("aé", 2), "a…");  // not half a character
}

TEST(Messages, SurviveTheirJson) {
  StartRequest start;
  start.container_id = "c";
  start.bundle = "/b";
  start.runtime_args = {"--x"};
  start.hide_mount = "/m";
  start.tty = true;
  start.memory_limit_bytes = 5;
  const auto back = nlohmann::json::parse(nlohmann::json(start).dump()).get<StartRequest>();
  EXPECT_EQ(nlohmann::json(back), nlohmann::json(start));
  EXPECT_EQ(back.memory_limit_bytes, 5);
  // A newer daemon's fields are ignored, an older one's missing ones have defaults.
  const auto sparse =
      nlohmann::json::parse(R"({"container_id":"c","signal":15,"future":[1]})").get<SignalRequest>();
  EXPECT_EQ(sparse.signal, 15);
  EXPECT_EQ(sparse.grace_ms, 0);
  EXPECT_THROW(nlohmann::json::parse(R"({"signal":"TERM"})").get<SignalRequest>(), nlohmann::json::exception);
}

ExitRecord Ended(bool signaled, int code) {
  ExitRecord record;
  record.signaled = signaled;
  record.signal = signaled ? code : 0;
  record.exit_code = signaled ? 128 + code : code;
  record.started_at = base::kSecondNs;
  record.finished_at = 10 * base::kSecondNs;
  return record;
}

TEST(Explain, SaysNothingWhenThereIsNothingToSay) {
  ExitRecord record = Ended(false, 0);
  Explain(record);
  EXPECT_EQ(record.reason, "Completed");
  EXPECT_EQ(record.message, "");
  record = Ended(false, 137);
  Explain(record);
  EXPECT_EQ(record.reason, "Error");
  EXPECT_EQ(record.message, "");
}

TEST(Explain, ReadsLikeTheAgreedSentence) {
  ExitRecord record = Ended(true, SIGKILL);
  record.oom = {
      true, "kernel log", false, "container", 50 << 20, 50 << 20, OomVictim{"python3", 25323, 52'009'370}, 3,
      2};
  Explain(record);
  EXPECT_EQ(record.reason, "OOMKilled");
  EXPECT_EQ(record.message,
            "out of memory: killed python3 (host pid 25323, rss 49.6 MiB) at the container limit of 50.0 "
            "MiB; peak 50.0 MiB; "
            "kill 3 of this container");
  record.oom.scope = "pod";
  Explain(record);
  EXPECT_THAT(record.message, HasSubstr("at the pod limit of 50.0 MiB"));
  record.oom.scope = "node";
  Explain(record);
  EXPECT_THAT(record.message, HasSubstr("the node's memory"));
  record.oom.scope = "unknown";
  Explain(record);
  EXPECT_THAT(record.message, HasSubstr("at a limit that the kernel did not name"));
}

TEST(Explain, TellsTheStopsWeDid) {
  ExitRecord record = Ended(true, SIGKILL);
  record.stop = {true, SIGTERM, 2000, true, "stop", 8 * base::kSecondNs};
  Explain(record);
  EXPECT_EQ(record.reason, "Error");
  EXPECT_EQ(record.message, "stopped by request, killed after 2 s grace");
  record.stop.grace_ms = 0;
  Explain(record);
  EXPECT_EQ(record.message, "stopped by request, killed at once");
  record = Ended(false, 0);
  record.stop = {true, SIGQUIT, 2000, false, "stop", 10 * base::kSecondNs - 400 * base::kMillisecondNs};
  Explain(record);
  EXPECT_EQ(record.reason, "Completed");
  EXPECT_EQ(record.message, "stopped by request with SIGQUIT after 0.4 s");
}

TEST(Explain, TellsSeccompAndUnknownKillers) {
  ExitRecord record = Ended(true, SIGSYS);
  Explain(record);
  EXPECT_EQ(record.exit_code, 159);
  EXPECT_THAT(record.message, HasSubstr("seccomp"));
  record = Ended(true, SIGKILL);
  Explain(record);
  EXPECT_EQ(record.message, "killed by SIGKILL, neither for memory nor by a request");
  record.oom.evidence_lost = true;
  Explain(record);
  EXPECT_THAT(record.message, HasSubstr("kernel log could not be read"));
}

struct Words {
  const char* log;
  const char* err;
  int code;
  const char* text;
};
TEST(RuntimeWords, GiveTheCodeThatShellsGive) {
  // As crun 1.8.1 and runc 1.1.5 said them on a real host.
  const Words cases[] = {
      {R"({"msg":"executable file `/nope` not found in $PATH: No such file or directory","level":"error"})",
       "", 127, "executable file `/nope` not found in $PATH: No such file or directory"},
      {R"({"msg":"open executable: Permission denied","level":"error"})", "", 126,
       "open executable: Permission denied"},
      {R"({"msg":"open executable: Operation not permitted","level":"error"})", "", 126,
       "open executable: Operation not permitted"},
      {"", R"({"msg":"exec container process `/bin/bad`: Exec format error","level":"error"})", 126,
       "exec container process `/bin/bad`: Exec format error"},
      {R"({"level":"error","msg":"runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory"})",
       "", 127, "exec: \"/nope\": stat /nope: no such file or directory"},
      {R"({"level":"error","msg":"runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH"})",
       "", 127, "exec: \"nope\": executable file not found in $PATH"},
      {"", "exec /bin/bad: exec format error", 126, "exec /bin/bad: exec format error"},
      {R"({"level":"warning","msg":"something"})"
       "\n"
       R"({"level":"error","msg":"mount `/x` to `/y`: No such file or directory"})",
       "", 128, "mount `/x` to `/y`: No such file or directory"},
      {"", "", 128, ""},
  };
  for (const auto& c : cases) {
    const std::string text = CleanRuntimeText(c.log, c.err);
    EXPECT_EQ(text, c.text);
    EXPECT_EQ(StartExitCode(text), c.code) << text;
  }
}

TEST(ExplainStartFailure, NamesTheLimitThatIsTooLow) {
  ExitRecord record;
  record.start_failure = StartFailure{"create", "container init was OOM-killed"};
  ExplainStartFailure(record, "/app", true, 2 << 20, "/usr/bin/runc");
  EXPECT_EQ(record.message,
            "limit 2.0 MiB is below what the runtime needs to start a container (runc takes about 3 MiB, the "
            "program "
            "comes on top): container init was OOM-killed");
  EXPECT_EQ(record.exit_code, 128);
  EXPECT_EQ(record.reason, "StartError");
}

TEST(Sysctl, OnlyNamesOfAPodsOwnNamespaces) {
  EXPECT_EQ(*SysctlPath("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(*SysctlPath("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(*SysctlPath("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_TRUE(SysctlPath("kernel.shm_rmid_forced").ok());
  EXPECT_TRUE(SysctlPath("kernel.msgmax").ok());
  EXPECT_TRUE(SysctlPath("kernel.sem").ok());
  EXPECT_TRUE(SysctlPath("fs.mqueue.msg_max").ok());
  for (const char* name :
       {"", "net", "kernel.panic", "kernel.semx", "vm.swappiness", "net..x", "net.ipv4.", ".net.x", "net.a b",
        "net/../kernel/panic", "/net/x", "net.ipv4.x\n", "fs.mqueuex.a"}) {
    EXPECT_FALSE(SysctlPath(name).ok()) << name;
  }
}

TEST(Loop, RunsTimersInOrderAndSurvivesRemovalInACallback) {
  Loop loop;
  ASSERT_TRUE(loop.Open().ok());
  std::string order;
  const auto cancelled = loop.After(base::kMillisecondNs, [&] { order += "x"; });
  loop.After(3 * base::kMillisecondNs, [&] { order += "b"; });
  loop.After(2 * base::kMillisecondNs, [&] { order += "a"; });
  loop.Cancel(cancelled);
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  ASSERT_TRUE(loop.Watch(pipe_ends[0], EPOLLIN,
                         [&](std::uint32_t) {
                           loop.Unwatch(pipe_ends[0]);
                           order += "p";
                         })
                  .ok());
  ASSERT_EQ(::write(pipe_ends[1], "x", 1), 1);
  loop.After(5 * base::kMillisecondNs, [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(order, "pab");
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(HumanText, CountsAsPeopleDo) {
  EXPECT_EQ(HumanBytes(512), "512 B");
  EXPECT_EQ(HumanBytes(52428800), "50.0 MiB");
  EXPECT_EQ(HumanDuration(400 * base::kMillisecondNs), "0.4 s");
  EXPECT_EQ(HumanDuration(2 * base::kSecondNs), "2 s");
  EXPECT_EQ(HumanDuration(185 * base::kSecondNs), "3 min 5 s");
}

}  // namespace
}  // namespace berth::monitor
