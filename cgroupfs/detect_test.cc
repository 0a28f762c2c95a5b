// SPDX-License-Identifier: Apache-2.0
// Detection and plain use on fake trees in real directories: the path prefix, and SystemKernel's reading and
// writing.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/files.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth::cgroupfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DetectTest : public ::testing::Test {
 protected:
  DetectTest() {
    const char* base = std::getenv("TMPDIR");
    root_ = std::string(base == nullptr ? "/tmp" : base) + "/berth-test-cgroupfs-XXXXXX";
    if (::mkdtemp(root_.data()) == nullptr) std::abort();
  }
  ~DetectTest() override { (void)base::RemoveTree(root_); }
  void Put(const std::string& file, const std::string& content) {
    const std::string path = root_ + file;
    ASSERT_TRUE(base::MakeDirs(path.substr(0, path.find_last_of('/')), 0755).ok());
    std::ofstream(path) << content;
  }
  std::string Content(const std::string& file) {
    auto text = base::ReadFile(root_ + file);
    return text ? *text : text.error().Message();
  }
  std::string root_;
};

TEST_F(DetectTest, AV1HostWithControllersMountedTogether) {
  Put("/proc/self/mountinfo",
      "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "34 31 0:31 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb\n");
  Put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
  Put("/sys/fs/cgroup/cpu,cpuacct/c/cpu.shares", "1024\n");
  Put("/sys/fs/cgroup/memory/c/cgroup.procs", "");
  Put("/sys/fs/cgroup/hugetlb/c/hugetlb.2MB.limit_in_bytes", "9223372036854771712\n");
  auto host = Host::Detect(root_);
  ASSERT_TRUE(host.ok()) << host.error().Message();
  EXPECT_EQ((*host)->version(), Version::kV1);
  EXPECT_THAT((*host)->HugepageSizes(), ElementsAre("2MB"));
  EXPECT_EQ((*host)->UnifiedMountToHide(), "");
  EXPECT_EQ((*host)->MemoryDir("/c"), root_ + "/sys/fs/cgroup/memory/c");
  auto cgroup = (*host)->At("/c");
  ASSERT_TRUE(cgroup.ok());
  EXPECT_TRUE((*cgroup)->Exists());
  EXPECT_THAT((*cgroup)->ProcsFiles(),
              ::testing::Contains(root_ + "/sys/fs/cgroup/cpu,cpuacct/c/cgroup.procs"));
  Resources resources;
  resources.cpu_shares = 2;
  resources.hugepage_limits = {{"2MB", 0}};
  auto applied = (*cgroup)->Apply(resources);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  EXPECT_EQ(Content("/sys/fs/cgroup/cpu,cpuacct/c/cpu.shares"), "2");
  EXPECT_EQ(Content("/sys/fs/cgroup/hugetlb/c/hugetlb.2MB.limit_in_bytes"), "0");
}

TEST_F(DetectTest, AV2HostByItsMounts) {
  Put("/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  Put("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
  auto host = Host::Detect(root_);
  ASSERT_TRUE(host.ok()) << host.error().Message();
  EXPECT_EQ((*host)->version(), Version::kV2);
  EXPECT_TRUE((*host)->HasController("memory"));
  EXPECT_FALSE((*host)->HasController("cpuset"));
  EXPECT_TRUE((*host)->HugepageSizes().empty());
}

TEST_F(DetectTest, AHostWithoutProcOrCgroupsSaysSo) {
  EXPECT_EQ(Host::Detect(root_).error().err, ENOENT);
  Put("/proc/self/mountinfo", "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n");
  EXPECT_THAT(Host::Detect(root_).error().what, HasSubstr("no cgroup file system is mounted"));
}

TEST_F(DetectTest, WaitingForALineEndsWhenItIsThereAndAtTheDeadline) {
  Put("/events", "populated 1\nfrozen 0\n");
  SystemKernel kernel;
  EXPECT_TRUE(kernel.AwaitLine(root_ + "/events", "populated 1", base::Deadline::Never()).ok());
  EXPECT_EQ(
      kernel.AwaitLine(root_ + "/events", "populated 0", base::Deadline::After(20 * base::kMillisecondNs))
          .error()
          .err,
      ETIMEDOUT);
  EXPECT_EQ(kernel.AwaitLine(root_ + "/none", "populated 0", base::Deadline::Never()).error().err, ENOENT);
}

}  // namespace
}  // namespace berth::cgroupfs
