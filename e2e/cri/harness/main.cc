// SPDX-License-Identifier: Apache-2.0
// Makes the namespaces of the run before any thread exists, then lets GoogleTest do the rest.
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "e2e/cri/harness/environment.h"
#include "e2e/cri/harness/namespaces.h"

namespace berth::e2e {
namespace {

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
