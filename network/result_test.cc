// SPDX-License-Identifier: Apache-2.0
#include "network/result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::network {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr CniVersion k100{{1, 0, 0}};
constexpr CniVersion k031{{0, 3, 1}};

std::vector<std::string> Ips(const std::string& text, const CniVersion& version = k100) {
  const auto result = ParseResult(text, version);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? PodIps(*result, "eth0") : std::vector<std::string>();
}

std::string WhyBad(const std::string& text) {
  const auto result = ParseResult(text, k100);
  return result.ok() ? "accepted" : std::string(result.status().message());
}

TEST(PodIps, TakesTheAddressesOfTheSandboxesInterfaceWithThePrimaryFirst) {
  EXPECT_THAT(
      Ips(R"({"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"veth1"},{"name":"eth0","sandbox":"/ns"}],
    "ips":[{"interface":0,"address":"10.0.0.1/24"},{"interface":2,"address":"10.0.0.5/24"},{"interface":2,"address":"FD00:0::5/64"},
           {"interface":2,"address":"10.0.0.5/32"}]})"),
      ElementsAre("10.0.0.5", "fd00::5"));
}

TEST(PodIps, PrefersTheNamedInterfaceOverOthersInTheSandbox) {
  EXPECT_THAT(Ips(R"({"interfaces":[{"name":"net1","sandbox":"/ns"},{"name":"eth0","sandbox":"/ns"}],
    "ips":[{"interface":0,"address":"192.0.2.9/24"},{"interface":1,"address":"10.0.0.5/24"}]})"),
              ElementsAre("10.0.0.5"));
  EXPECT_THAT(Ips(R"({"interfaces":[{"name":"net1","sandbox":"/ns"},{"name":"net2","sandbox":"/ns"}],
    "ips":[{"interface":1,"address":"192.0.2.9/24"},{"interface":0,"address":"10.0.0.5/24"}]})"),
              ElementsAre("192.0.2.9"));
}

TEST(PodIps, TakesAddressesThatNameNoInterface) {
  EXPECT_THAT(Ips(R"({"ips":[{"address":"10.0.0.5/24"},{"address":"fd00::5/64","interface":null}]})"),
              ElementsAre("10.0.0.5", "fd00::5"));
  EXPECT_THAT(Ips(R"({"interfaces":null,"ips":null})"), IsEmpty());
}

TEST(PodIps, ReadsTheResultsOfOldVersions) {
  EXPECT_THAT(
      Ips(R"({"ips":[{"version":"4","interface":0,"address":"10.0.0.5/24"}],"interfaces":[{"name":"eth0","sandbox":"/ns"}]})",
          k031),
      ElementsAre("10.0.0.5"));
  EXPECT_THAT(Ips(R"({"ip4":{"ip":"10.0.0.5/24"},"ip6":{"ip":"fd00::5/64"}})", CniVersion{{0, 2, 0}}),
              ElementsAre("10.0.0.5", "fd00::5"));
}

TEST(ParseResult, SaysTheListsVersionAndTheFamilyWhereThatVersionWantsIt) {
  const auto result = ParseResult(
      R"({"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/24"},{"address":"fd00::5/64"}],"dns":{"x":1}})",
      k031);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(
      ToText(*result),
      R"({"cniVersion":"0.3.1","ips":[{"address":"10.0.0.5/24","version":"4"},{"address":"fd00::5/64","version":"6"}],"dns":{"x":1}})");
}

TEST(ParseResult, RefusesWhatIsNoResult) {
  EXPECT_EQ(WhyBad(""), "empty");
  EXPECT_THAT(WhyBad("hello"), HasSubstr("not JSON"));
  EXPECT_THAT(WhyBad("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(WhyBad(R"({"ips":{}})"), HasSubstr("not a list"));
  EXPECT_THAT(WhyBad(R"({"ips":[7]})"), HasSubstr("not an object"));
  EXPECT_THAT(WhyBad(R"({"ips":[{"address":"10.0.0.500/24"}]})"), HasSubstr("'10.0.0.500/24'"));
  EXPECT_THAT(WhyBad(R"({"ips":[{"address":"10.0.0.5/33"}]})"), HasSubstr("no address"));
  EXPECT_THAT(WhyBad(R"({"ips":[{"address":"10.0.0.5/24","interface":0}]})"),
              HasSubstr("points to no entry"));
  EXPECT_THAT(WhyBad(R"({"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.5/24","interface":-1}]})"),
              HasSubstr("points to no entry"));
  EXPECT_THAT(WhyBad(R"({"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.5/24","interface":"0"}]})"),
              HasSubstr("no number"));
  EXPECT_THAT(WhyBad(R"({"interfaces":[{}]})"), HasSubstr("no 'name'"));
}

base::ExitStatus Code(int code) { return {false, code}; }

TEST(FailureWords, PrefersThePluginsOwn) {
  EXPECT_EQ(FailureWords(R"({"code":7,"msg":"bad config","details":"subnet\ntoo small"})", "noise", Code(1)),
            "bad config; subnet too small (code 7)");
  EXPECT_EQ(FailureWords(R"({"code":999,"msg":"plain"})", "", Code(1)), "plain (code 999)");
  EXPECT_EQ(FailureWords("", "one\ntwo\n", Code(3)), "one two (exit code 3)");
  EXPECT_EQ(FailureWords("panic: oh", "", Code(2)), "exit code 2; it printed: panic: oh");
  EXPECT_EQ(FailureWords("", "", {true, 9}), "signal 9 (SIGKILL) without a word");
  EXPECT_EQ(FailureWords(R"({"code":"x"})", "tail", Code(1)), "tail (exit code 1)");
}

TEST(Printable, IsShortValidAndOnOneLine) {
  EXPECT_EQ(Printable("a\n\n\tb \x7f c", 100), "a b c");
  EXPECT_EQ(Printable("\xff\xc3", 100), "??");
  EXPECT_EQ(Printable("äöü", 3), "ä…");
  EXPECT_EQ(Printable("äöü", 3, true), "…ü");
  EXPECT_EQ(Printable("\xed\xa0\x80", 100), "???");  // a surrogate
}

TEST(ParseSupportedVersions, TakesWhatItCanRead) {
  EXPECT_EQ(JoinVersions(ParseSupportedVersions(R"({"supportedVersions":["1.0.0","0.4.0","x",7]})")),
            "0.4.0, 1.0.0");
  EXPECT_THAT(ParseSupportedVersions("unknown command"), IsEmpty());
}

}  // namespace
}  // namespace berth::network
