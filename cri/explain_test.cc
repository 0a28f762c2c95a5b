// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "cri/explain_reply.h"

namespace berth::cri {
namespace {

namespace ops = ::berth::ops::v1;

TEST(ExplainedLogLines, AreTakenApart) {
  ops::LogLine line;
  FillLogLine("2026-11-22T10:00:00.000000001Z stderr P some  text ", &line);
  EXPECT_EQ(line.time_unix_ns() % 1'000'000'000, 1);
  EXPECT_EQ(line.stream(), "stderr");
  EXPECT_TRUE(line.partial());
  EXPECT_EQ(line.text(), "some  text ");
  ops::LogLine whole;
  FillLogLine("2026-11-22T10:00:00+01:00 stdout F ", &whole);
  EXPECT_FALSE(whole.partial());
  EXPECT_EQ(whole.text(), "");
  EXPECT_GT(whole.time_unix_ns(), 0);
}

TEST(ExplainedLogLines, OfAnotherShapeStayWhole) {
  for (const char* text : {"", "no time", "2026 stdout F x", "2026-11-22T10:00:00Z stdwhat F x"}) {
    ops::LogLine line;
    FillLogLine(text, &line);
    EXPECT_EQ(line.text(), text);
    EXPECT_EQ(line.time_unix_ns(), 0);
  }
}

monitor::ExitRecord OomRecord() {
  monitor::ExitRecord record;
  record.exit_code = 137;
  record.signaled = true;
  record.signal = SIGKILL;
  record.reason = "OOMKilled";
  record.message = "out of memory";
  record.started_at = 1;
  record.finished_at = 5;
  record.duration_ns = 4;
  record.user_cpu_us = 2;
  record.oom.verdict = true;
  record.oom.evidence = "kernel log";
  record.oom.scope = "container";
  record.oom.limit_bytes = 50;
  record.oom.peak_bytes = 49;
  record.oom.kills = 3;
  record.oom.victim = monitor::OomVictim{"python3", 25323, 48};
  return record;
}

TEST(ExplainedExit, TellsTheOomKillWithItsEvidence) {
  ops::ContainerExplanation out;
  FillExit({}, OomRecord(), &out);
  EXPECT_EQ(out.exit().exit_code(), 137);
  EXPECT_EQ(out.exit().signal(), SIGKILL);
  EXPECT_EQ(out.exit().duration_ns(), 4);
  EXPECT_EQ(out.exit().user_cpu_ns(), 2000);
  EXPECT_EQ(out.oom().verdict(), ops::OOM_VERDICT_MAIN_KILLED);
  EXPECT_EQ(out.oom().scope(), ops::OOM_SCOPE_CONTAINER);
  EXPECT_EQ(out.oom().evidence(), ops::OOM_EVIDENCE_KERNEL_LOG);
  EXPECT_EQ(out.oom().victim_comm(), "python3");
  EXPECT_EQ(out.oom().victim_host_pid(), 25323);
  EXPECT_EQ(out.oom().limit_bytes(), 50U);
  EXPECT_EQ(out.oom().kill_count(), 3U);
  EXPECT_FALSE(out.oom().limit_unknown());
  EXPECT_FALSE(out.has_stop());
  EXPECT_THAT(out.notes(), testing::IsEmpty());
}

TEST(ExplainedExit, AKilledChildIsNotTheMainProcess) {
  auto record = OomRecord();
  record.oom.verdict = false;
  record.oom.scope = "unknown";
  ops::ContainerExplanation out;
  FillExit({}, record, &out);
  EXPECT_EQ(out.oom().verdict(), ops::OOM_VERDICT_OTHER_KILLED);
  EXPECT_TRUE(out.oom().limit_unknown());
  record.oom = {};
  ops::ContainerExplanation none;
  FillExit({}, record, &none);
  EXPECT_EQ(none.oom().verdict(), ops::OOM_VERDICT_NONE);
  EXPECT_FALSE(none.oom().limit_unknown());
}

TEST(ExplainedExit, TellsTheStopThatWeDid) {
  auto record = OomRecord();
  record.stop.requested = true;
  record.stop.signal = SIGTERM;
  record.stop.grace_ms = 2000;
  record.stop.killed = true;
  ops::ContainerExplanation out;
  FillExit({}, record, &out);
  EXPECT_EQ(out.stop().signal(), "SIGTERM");
  EXPECT_EQ(out.stop().grace_seconds(), 2);
  EXPECT_TRUE(out.stop().killed());
}

TEST(ExplainedExit, WithoutARecordSaysWhatBerthdFound) {
  runtime::ContainerStatus container;
  ops::ContainerExplanation running;
  FillExit(container, std::nullopt, &running);
  EXPECT_FALSE(running.has_exit());
  container.exit = runtime::ContainerExit{137, "Error", "node rebooted", 9};
  ops::ContainerExplanation out;
  FillExit(container, std::nullopt, &out);
  EXPECT_EQ(out.exit().message(), "node rebooted");
  EXPECT_EQ(out.notes_size(), 1);
}

TEST(ExplainedExit, NotesWhatIsMissing) {
  auto record = OomRecord();
  record.durable = false;
  record.log_dropped_bytes = 12;
  record.start_failure = monitor::StartFailure{"create", "no such file"};
  ops::ContainerExplanation out;
  FillExit({}, record, &out);
  EXPECT_EQ(out.notes_size(), 3);
  EXPECT_FALSE(out.exit().durable());
}

}  // namespace
}  // namespace berth::cri
