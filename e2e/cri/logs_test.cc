// SPDX-License-Identifier: Apache-2.0
// Container logs: their format, rotation without a lost line, and their completeness at exit.
#include <absl/strings/match.h>
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

absl::Status Reopen(const Container& container) {
  return Cri().ReopenContainerLog(WithContainer<cri::ReopenContainerLogRequest>(container.id())).status();
}

TEST(Logs, EachLineIsARecordOfItsStream) {
  const Pod pod;
  const Container container =
      Container::Run(pod, Shell("echo one; echo two >&2; echo three; printf 'four\\n\\nsix\\n'"));
  container.WaitExit();
  EXPECT_THAT(container.Output("stdout"), testing::ElementsAre("one", "three", "four", "", "six"));
  EXPECT_THAT(container.Output("stderr"), testing::ElementsAre("two"));
}

TEST(Logs, ExistWhenStartReturnsAndMayBeReadByTheirGroup) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  struct stat info {};
  ASSERT_EQ(::stat(container.log_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
}

TEST(Logs, LinesLongerThan16KiBArePartialRecordsThatJoinToTheLine) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"lines", "3", "40000"}));
  container.WaitExit();
  const std::vector<LogRecord> records = ReadLog(container.log_path());
  int partial = 0;
  for (const LogRecord& record : records) {
    EXPECT_LE(record.text.size(), 16384U);
    if (record.tag == "P") ++partial;
  }
  EXPECT_EQ(partial, 6);
  const std::vector<std::string> lines = LogLines(records);
  ASSERT_EQ(lines.size(), 3U);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].size(), 40000U);
    EXPECT_THAT(lines[i], testing::StartsWith("line " + std::to_string(i)));
  }
}

TEST(Logs, ALastLineWithoutNewlineIsThere) {
  const Pod pod;
  const Container container = Container::Run(pod, Shell("echo whole; printf half"));
  container.WaitExit();
  EXPECT_THAT(container.Output(), testing::ElementsAre("whole", "half"));
}

TEST(Logs, EverythingIsWrittenBeforeTheExitCanBeSeen) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"lines", "20000", "200"}));
  container.WaitExit(seconds(60));
  EXPECT_EQ(container.Output().size(), 20000U);  // no waiting after EXITED
}

TEST(Logs, BinaryOutputIsKept) {
  const Pod pod;
  const Container container = Container::Run(pod, Shell("printf 'a\\001\\377\\303\\250\\n'"));
  container.WaitExit();
  EXPECT_THAT(container.Output(), testing::ElementsAre("a\x01\xff\xc3\xa8"));
}

TEST(Logs, TimesNeverGoBack) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"lines", "2000"}));
  container.WaitExit();
  std::string last;
  for (const LogRecord& record : ReadLog(container.log_path())) {
    const std::string time =
        record.time.substr(0, record.time.size() - 1) + "000000000";  // ...Z, fewer digits
    EXPECT_GE(time.substr(0, 29), last);
    last = time.substr(0, 29);
  }
}

TEST(Logs, RotationLosesAndSplitsNoLine) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"chatter", "2000"}));
  std::vector<std::string> files;
  for (int i = 0; i < 8; ++i) {
    container.WaitLine("line ");
    const std::string rotated = container.log_path() + "." + std::to_string(i);
    ASSERT_EQ(::rename(container.log_path().c_str(), rotated.c_str()), 0);
    Must(Reopen(container));
    const auto size = ReadFile(rotated).size();
    EXPECT_TRUE(Exists(container.log_path())) << "the new file is there when the call returns";
    container.WaitLine("line ");
    EXPECT_EQ(ReadFile(rotated).size(), size) << "nothing more goes into the old file";
    files.push_back(rotated);
  }
  container.Stop(0);
  files.push_back(container.log_path());
  long next = 0;
  for (const std::string& file : files) {
    const std::vector<LogRecord> records =
        ParseLog(ReadFile(file));  // strict: a file ends with a whole record
    EXPECT_FALSE(records.empty()) << file << ": a line was waited for in each file";
    for (const std::string& line : LogLines(records)) {
      ASSERT_TRUE(absl::StartsWith(line, "line " + std::to_string(next) + " "))
          << "wanted line " << next << ", got: " << line;
      ++next;
    }
  }
}

TEST(Logs, ReopenMakesADeletedFileAnew) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"chatter", "200"}));
  container.WaitLine("line ");
  ASSERT_EQ(::unlink(container.log_path().c_str()), 0);
  Must(Reopen(container));
  container.WaitLine("line ");
}

TEST(Logs, ReopenOfWhatDoesNotRunIsAnErrorAndMakesNoFile) {
  const Pod pod;
  const Container ended = Container::Run(pod, Shell("echo x"));
  ended.WaitExit();
  ASSERT_EQ(::unlink(ended.log_path().c_str()), 0);
  EXPECT_FALSE(Reopen(ended).ok());
  EXPECT_FALSE(Exists(ended.log_path()));
  EXPECT_FALSE(
      Cri().ReopenContainerLog(WithContainer<cri::ReopenContainerLogRequest>("0123456789abcdef")).ok());
}

TEST(Logs, ATerminalsLinesKeepTheirOrderInOneStream) {
  const Pod pod;
  cri::ContainerConfig config = Shell("for i in 1 2 3; do echo out $i; echo err $i >&2; done");
  config.set_tty(true);
  const Container container = Container::Run(pod, config);
  container.WaitExit();
  std::vector<std::string> lines;
  for (const std::string& line : container.Output("stdout"))
    lines.push_back(Trim(line));  // the terminal adds \r
  EXPECT_THAT(lines, testing::ElementsAre("out 1", "err 1", "out 2", "err 2", "out 3", "err 3"));
}

TEST(Logs, AnAppendedFileKeepsWhatWasThere) {
  const Pod pod;
  cri::ContainerConfig config = Shell("echo second");
  const std::string path = pod.config().log_directory() + "/" + config.log_path();
  MakeDirs(path.substr(0, path.rfind('/')));
  WriteFile(path, "2026-01-01T00:00:00.000000000Z stdout F first\n");
  const Container container = Container::Run(pod, config);
  container.WaitExit();
  EXPECT_THAT(container.Output(), testing::ElementsAre("first", "second"));
}

TEST(Logs, ABackgroundChildThatOutlivesPid1DoesNotHoldTheExitBack) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"grandchild", "60"}));
  EXPECT_EQ(container.WaitExit(seconds(10)).exit_code(), 0);
}

}  // namespace
}  // namespace berth::e2e
