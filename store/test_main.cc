// SPDX-License-Identifier: Apache-2.0
// `store_test --store-writer PATH` is the child of the crash test: it writes until it is killed.
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "store/testing.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--store-writer") == 0)
    return berth::store::WriteUntilKilled(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
