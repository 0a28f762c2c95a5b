// SPDX-License-Identifier: Apache-2.0
#include "runtime/pod_files.h"

#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

TEST(ResolvConf, IsWrittenLiterally) {
  const auto text = ResolvConf({{"10.0.0.10", "fd00::a"}, {"a.svc", "b"}, {"ndots:5", "edns0"}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "nameserver 10.0.0.10\nnameserver fd00::a\nsearch a.svc b\noptions ndots:5 edns0\n");
}

TEST(ResolvConf, IsEmptyForEmptyAnswers) {
  const auto text = ResolvConf({});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "");
}

TEST(ResolvConf, RefusesAValueThatWouldBecomeAnotherLine) {
  EXPECT_EQ(ResolvConf({{"1.1.1.1\nnameserver 6.6.6.6"}, {}, {}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(ResolvConf({{}, {"a b"}, {}}).ok());
  EXPECT_FALSE(ResolvConf({{}, {}, {""}}).ok());
}

TEST(HostsFile, NamesThePodByAllItsAddresses) {
  EXPECT_EQ(HostsFile("web", {"10.1.0.2", "fd00::2"}),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.0.2\tweb\nfd00::2\tweb\n");
}

}  // namespace
}  // namespace berth::runtime
