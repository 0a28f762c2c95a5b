// SPDX-License-Identifier: Apache-2.0
// What the tests share that ask the kernel: processes in cgroups, a sub-tree of our own on either kind of
// tree.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/testing/delegated.h"
#include "gtest/gtest.h"

namespace berth::cgroupfs {

using base::Deadline;

inline constexpr std::int64_t kMiB = 1 << 20;

// A child of the test that ends with it, whatever happens.
class Process {
 public:
  // Runs `body` in the child after it has joined `cgroup`. The child sleeps for ever afterwards.
  template <typename Body>
  Process(const Cgroup& cgroup, Body body) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      for (const auto& file : cgroup.ProcsFiles()) {
        base::UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
        if (::write(fd.get(), "0", 1) != 1) ::_exit(99);
      }
      body();
      (void)!::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    is_ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  explicit Process(const Cgroup& cgroup) : Process(cgroup, [] {}) {}
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (reaped_) return;
    ::kill(pid_, SIGKILL);
    (void)Wait();
  }
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    return status;
  }
  pid_t pid() const { return pid_; }
  bool is_ready() const { return is_ready_; }

 private:
  pid_t pid_ = -1;
  bool is_ready_ = false;
  bool reaped_ = false;
};

enum class Tree { kHosts, kHybridsV2 };

class CgroupRealTest : public ::testing::TestWithParam<Tree> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "making cgroups needs root";
    if (GetParam() == Tree::kHybridsV2 && !MakeV2Root())
      GTEST_SKIP() << "no v2 tree beside v1 controllers here";
    auto host = Host::Detect(fake_root_);
    if (!host) GTEST_SKIP() << "no cgroups here: " << host.error().Message();
    host_ = *host;
    root_ = DelegatedCgroup() + "/berth-test-cgroupfs-" + std::to_string(::getpid());
    auto made = At(root_)->Create();
    if (!made && (made.error().err == EROFS || made.error().err == EACCES))
      GTEST_SKIP() << made.error().Message();
    ASSERT_TRUE(made.ok()) << made.error().Message();
    EXPECT_TRUE(*made);
  }
  void TearDown() override {
    RemoveCgroups();
    if (fake_root_.empty()) return;
    if (gave_hugetlb_) (void)base::WriteControl(unified_ + "/cgroup.subtree_control", "-hugetlb");
    (void)base::RemoveTree(fake_root_);
  }
  void RemoveCgroups() {
    if (!host_ || !At(root_)->Exists()) return;
    auto killed = At(root_)->KillAll(Deadline::After(5 * base::kSecondNs));
    EXPECT_TRUE(killed.ok()) << killed.error().Message();
    auto removed = At(root_)->Remove();
    EXPECT_TRUE(removed.ok()) << removed.error().Message();
    EXPECT_FALSE(At(root_)->Exists());
  }
  std::unique_ptr<Cgroup> At(const std::string& path) {
    auto cgroup = host_->At(path);
    if (!cgroup) {
      ADD_FAILURE() << cgroup.error().Message();
      std::abort();
    }
    return std::move(*cgroup);
  }
  std::unique_ptr<Cgroup> Made(const std::string& name) {
    auto cgroup = At(root_ + "/" + name);
    auto made = cgroup->Create();
    EXPECT_TRUE(made.ok()) << made.error().Message();
    return cgroup;
  }
  // A root directory under which only the hybrid host's v2 tree is mounted.
  bool MakeV2Root() {
    auto real = Host::Detect();
    if (!real || (*real)->version() != Version::kV1) return false;
    if (!base::Exists(unified_ + "/cgroup.controllers")) return false;
    // What the root gives its children is put back at the end; other processes of this test must not be using
    // it then.
    tree_.Reset(::open(unified_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tree_ || ::flock(tree_.get(), LOCK_EX) != 0) return false;
    auto given = base::ReadFile(unified_ + "/cgroup.subtree_control");
    gave_hugetlb_ = given && given->find("hugetlb") == std::string::npos;
    const char* base_dir = std::getenv("TMPDIR");
    fake_root_ = std::string(base_dir == nullptr ? "/tmp" : base_dir) + "/berth-test-cgroupfs-XXXXXX";
    if (::mkdtemp(fake_root_.data()) == nullptr) std::abort();
    if (!base::MakeDirs(fake_root_ + "/sys/fs/cgroup", 0755) ||
        !base::MakeDirs(fake_root_ + "/proc/self", 0755))
      return false;
    if (::symlink(unified_.c_str(), (fake_root_ + unified_).c_str()) != 0) return false;
    if (::symlink("/sys/kernel", (fake_root_ + "/sys/kernel").c_str()) != 0) return false;
    std::ofstream(fake_root_ + "/proc/self/mountinfo")
        << "41 31 0:38 / " << unified_ << " rw - cgroup2 cgroup2 rw\n";
    return true;
  }
  bool IsV1() const { return host_->version() == Version::kV1; }

  std::shared_ptr<const Host> host_;
  std::string root_;
  const std::string unified_ = "/sys/fs/cgroup/unified";
  std::string fake_root_;
  base::UniqueFd tree_;
  bool gave_hugetlb_ = false;
};

#define NEED_CONTROLLER(name) \
  if (!host_->HasController(name)) GTEST_SKIP() << "no controller '" << (name) << "' in this tree"

// Touches `bytes` of fresh anonymous memory.
inline void Eat(std::size_t bytes) {
  auto* memory = static_cast<volatile char*>(
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) ::_exit(98);
  for (std::size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
}

}  // namespace berth::cgroupfs
