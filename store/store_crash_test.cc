// SPDX-License-Identifier: Apache-2.0
// kill -9 in the middle of writes: this program starts itself as the writer (test_main.cc).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <random>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/store.h"
#include "store/testing.h"

namespace berth::store {
namespace {

// Reads what the child acknowledged until it has said `enough` numbers, kills it there, and reads the rest.
// The last whole line.
int KillAfter(const std::string& path, int enough) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return -1;
  base::UniqueFd out(pipe[0]), in(pipe[1]);
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  base::SpawnOptions options;
  options.argv = {std::string(self, static_cast<std::size_t>(length)), "--store-writer", path};
  options.fds = {{in.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  options.parent_death_signal = SIGKILL;
  auto child = base::Spawn(options);
  if (!child) {
    ADD_FAILURE() << child.error().Message();
    return -1;
  }
  in.Reset();
  std::string text;
  char buffer[4096];
  bool killed = false;
  for (;;) {
    const ssize_t got = ::read(out.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
    if (!killed && std::count(text.begin(), text.end(), '\n') >= enough) {
      (void)base::PidfdSignal(child->pidfd.get(), SIGKILL);
      killed = true;
    }
  }
  auto ended = base::WaitChild(*child);
  EXPECT_TRUE(killed);
  EXPECT_TRUE(ended.ok() && ended->signaled && ended->code == SIGKILL);
  const auto end = text.find_last_of('\n');
  if (end == std::string::npos) return -1;
  const auto begin = end == 0 ? std::string::npos : text.find_last_of('\n', end - 1);
  return std::stoi(text.substr(begin == std::string::npos ? 0 : begin + 1, end));
}

TEST(StoreCrashTest, AfterKill9EveryAcknowledgedWriteIsThereWholeAndInOrder) {
  std::minstd_rand random(7);
  for (int round = 0; round < 12; ++round) {
    const TempDir dir;
    const int enough =
        1 + static_cast<int>(random() % (round % 4 == 0 ? 1500 : 120));  // beyond a checkpoint now and then
    const int last = KillAfter(dir / "berth.db", enough);
    ASSERT_GE(last, 0);
    auto store = OpenOrDie(dir / "berth.db");
    EXPECT_EQ(store->quarantined(), "");
    std::set<std::string> pods, networks;
    const auto pod_rows = store->Pods();
    const auto network_rows = store->Networks();
    ASSERT_TRUE(pod_rows.ok() && network_rows.ok());
    for (const auto& row : *pod_rows) pods.insert(row.id);
    for (const auto& row : *network_rows) networks.insert(row.pod_id);
    EXPECT_EQ(pods, networks) << "half of a change was kept";
    for (int i = 0; i <= last; ++i)
      EXPECT_TRUE(pods.count(std::to_string(i)) == 1) << i << " of " << last << " is lost";
    // One write may have been committed whose number did not come through the pipe any more; nothing beyond
    // that.
    EXPECT_LE(pods.size(), static_cast<std::size_t>(last) + 2);
    EXPECT_TRUE(store->Write([](Transaction& t) { return t.InsertPod(Pod("after")); }).ok());
  }
}

}  // namespace
}  // namespace berth::store
