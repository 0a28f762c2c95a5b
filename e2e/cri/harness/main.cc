// SPDX-License-Identifier: Apache-2.0
// Makes the namespaces of the run before any thread exists, then lets GoogleTest do the rest.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "e2e/cri/harness/environment.h"

namespace berth::e2e {
namespace {

// A network of our own, so that bridges, addresses and port 5000 collide with nobody's, and a mount
// namespace, so that whatever happens no mount outlives the run. Pids stay the host's: the kernel log speaks
// of those.
bool EnterOwnNamespaces() {
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return false;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  const bool up = ::ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  ::close(fd);
  return up;
}

class Shared : public testing::Environment {
 public:
  void SetUp() override {
    try {
      berth::e2e::Environment::Get().SetUp();
    } catch (const std::exception& error) {
      FAIL() << error.what();  // no test runs then
    }
  }
  void TearDown() override {
    try {
      berth::e2e::Environment::Get().TearDown();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
};

}  // namespace
}  // namespace berth::e2e

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  berth::e2e::ParseOptions(argc, argv);
  if (::geteuid() != 0) {
    fprintf(stderr, "the CRI suite must run as root\n");
    return 1;
  }
  if (berth::e2e::OwnDaemon() && !berth::e2e::EnterOwnNamespaces()) {
    perror("cannot make namespaces for the suite");
    return 1;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // orphaned monitors come to us: nothing is lost from sight
  testing::AddGlobalTestEnvironment(new berth::e2e::Shared);
  return RUN_ALL_TESTS();
}
