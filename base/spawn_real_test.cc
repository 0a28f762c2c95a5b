// SPDX-License-Identifier: Apache-2.0
// SpawnOptions.hide_mount, in a mount namespace of the test's own whose mounts all propagate to their peers,
// as systemd makes a host's.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/process.h"

namespace berth::base {
namespace {

// What a shell script prints, run by this thread with `hidden` unmounted for it ("" = nothing is).
std::string Output(const std::string& script, const std::string& hidden) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  options.hide_mount = hidden;
  const auto result = RunCommand(options, "", Deadline::After(30 * kSecondNs));
  return result.ok() ? result->out + result->err : result.error().Message();
}

TEST(HideMount, TakesTheMountFromTheProgramAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount";
  std::string before, seen, after, spread;
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    // Apart from the machine, then propagating among all copies of this namespace.
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
    ASSERT_EQ(::mount("berth-test", "/mnt", "tmpfs", 0, "mode=755"), 0);
    const std::string look = "cat /mnt/a/b/c/file 2>/dev/null || echo hidden";
    Output("mkdir -p /mnt/a/b/c; mount -t tmpfs berth-test /mnt/a/b/c; echo there > /mnt/a/b/c/file", "");
    before = Output(look, "");
    // A mount that the program makes elsewhere still reaches the others: CSI drivers count on that.
    seen = Output(look + "; mount -t tmpfs berth-test /dev/shm && echo there > /dev/shm/berth-test-file",
                  "/mnt/a/b/c");
    after = Output(look, "");
    spread = Output("cat /dev/shm/berth-test-file", "");
  }).join();
  EXPECT_EQ(before, "there\n");
  EXPECT_EQ(seen, "hidden\n");
  EXPECT_EQ(after, "there\n");
  EXPECT_EQ(spread, "there\n");
}

}  // namespace
}  // namespace berth::base
