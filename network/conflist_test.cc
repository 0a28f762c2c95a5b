// SPDX-License-Identifier: Apache-2.0
#include "network/conflist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/conf_dir.h"
#include "network/test_dir.h"

namespace berth::network {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string WhyBad(const std::string& text) {
  const auto list = ParseConflist(text);
  return list.ok() ? "accepted" : std::string(list.status().message());
}

TEST(ParseConflist, TakesAListWithItsPluginsInOrder) {
  const auto list = ParseConflist(
      R"({"cniVersion":"1.0.0","name":"pods","disableCheck":true,"plugins":[{"type":"bridge","mtu":1400},{"type":"portmap"}]})");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->name, "pods");
  EXPECT_EQ(list->version.ToString(), "1.0.0");
  EXPECT_TRUE(list->disable_check);
  EXPECT_FALSE(list->disable_gc);
  ASSERT_EQ(list->plugins.size(), 2U);
  EXPECT_EQ(FindString(list->plugins[1], "type"), "portmap");
}

TEST(ParseConflist, TakesOnePluginsConfigurationAsAListOfOne) {
  const auto list =
      ParseConflist(R"({"cniVersion":"0.3.1","name":"pods","type":"ptp","capabilities":{"dns":true}})");
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->plugins.size(), 1U);
  EXPECT_EQ(FindString(list->plugins[0], "type"), "ptp");
  EXPECT_TRUE(list->plugins[0].contains("capabilities"));
}

TEST(ParseConflist, ChoosesTheHighestVersionThatItSpeaks) {
  const auto list = ParseConflist(
      R"({"cniVersion":"0.4.0","cniVersions":["1.0.0","9.0.0","1.1.0","0.3.1"],"name":"p","plugins":[{"type":"a"}]})");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->version.ToString(), "1.1.0");
  EXPECT_EQ(JoinVersions(list->versions), "0.3.1, 0.4.0, 1.0.0, 1.1.0");
  EXPECT_THAT(WhyBad(R"({"cniVersion":"2.0.0","name":"p","plugins":[{"type":"a"}]})"),
              HasSubstr("asks for CNI version 2.0.0"));
}

TEST(ParseConflist, SaysWhichKeyIsWrong) {
  EXPECT_EQ(WhyBad(""), "empty");
  EXPECT_EQ(WhyBad("{\n  \"name\": \"p\",\n  \"plugins\": [\n"), "not JSON: mistake at line 4, column 1");
  EXPECT_EQ(WhyBad("[]"), "not a JSON object");
  EXPECT_EQ(WhyBad("{}"), "has no 'name'");
  EXPECT_THAT(WhyBad(R"({"name":"../p","plugins":[{"type":"a"}]})"), HasSubstr("'name'"));
  EXPECT_THAT(WhyBad(R"({"name":7,"plugins":[{"type":"a"}]})"), HasSubstr("'name'"));
  EXPECT_EQ(WhyBad(R"({"name":"p","plugins":[]})"), "'plugins' is empty");
  EXPECT_EQ(WhyBad(R"({"name":"p","plugins":{}})"), "'plugins' is not a list");
  EXPECT_EQ(WhyBad(R"({"name":"p","plugins":[7]})"), "plugin 1: is not an object");
  EXPECT_EQ(WhyBad(R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"a"},{}]})"),
            "plugin 2: has no 'type'");
  EXPECT_EQ(WhyBad(R"({"name":"p","plugins":[{"type":"../../bin/sh"}]})"),
            "plugin 1: has a 'type' that is no file name");
  EXPECT_THAT(WhyBad(R"({"name":"p","plugins":[{"type":"a","ipam":{"type":"x/y"}}]})"),
              HasSubstr("'ipam.type'"));
  EXPECT_THAT(WhyBad(R"({"name":"p","cniVersion":"one","plugins":[{"type":"a"}]})"),
              HasSubstr("'cniVersion' holds \"one\""));
  EXPECT_THAT(WhyBad(R"({"name":"p","disableGC":"perhaps","plugins":[{"type":"a"}]})"),
              HasSubstr("'disableGC'"));
  EXPECT_THAT(WhyBad(R"({"name":"p","loadOnlyInlinedPlugins":true})"), HasSubstr("no 'plugins'"));
  EXPECT_THAT(WhyBad(R"({"name":"p","plugins":[{"type":"a"},{"type":"b"}]})"),
              HasSubstr("needs cniVersion 0.3.0"));
}

TEST(ParseConflist, RefusesWhatIsNestedTooDeepOrTooLong) {
  const std::string deep = R"({"name":"p","plugins":[{"type":"a","x":)" + std::string(100000, '[') +
                           std::string(100000, ']') + "}]}";
  EXPECT_THAT(WhyBad(deep), HasSubstr("nested deeper"));
  EXPECT_THAT(WhyBad("{\"name\":\"" + std::string(2 << 20, 'x') + "\"}"), HasSubstr("1 MiB"));
}

TEST(ParseConflist, ReadsBackWhatAnAttachmentKeeps) {
  auto list = ParseConflist(
      R"({"cniVersions":["0.4.0","1.0.0"],"name":"p","disableGC":"true","plugins":[{"type":"a","big":18446744073709551615,"z":1,"b":2}]})");
  ASSERT_TRUE(list.ok()) << list.status();
  list->version = *ParseCniVersion("0.4.0");
  const auto again = ParseConflist(ToText(*list));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->version.ToString(), "0.4.0");
  EXPECT_EQ(JoinVersions(again->versions), "0.4.0");
  EXPECT_TRUE(again->disable_gc);
  EXPECT_EQ(ToText(again->plugins[0]), R"({"type":"a","big":18446744073709551615,"z":1,"b":2})");
}

constexpr char kGood[] = R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"a"}]})";

TEST(LoadConfDir, TakesTheFirstValidFileInLexicalOrderAndNamesTheBadOnesBeforeIt) {
  const TestDir dir;
  dir.Write("conf/05-notes.txt", "not looked at");
  dir.Write("conf/06-old.conflist.mk_disabled", kGood);
  dir.Write("conf/10-broken.conflist", "{");
  dir.Write("conf/20-good.conf", kGood);
  dir.Write("conf/30-also.conflist", "{");
  const auto contents = LoadConfDir(dir.conf());
  ASSERT_TRUE(contents.chosen);
  EXPECT_EQ(contents.chosen_path, dir.conf() + "/20-good.conf");
  ASSERT_EQ(contents.bad.size(), 1U);
  EXPECT_EQ(contents.bad[0].path, dir.conf() + "/10-broken.conflist");
  EXPECT_THAT(contents.bad[0].why, HasSubstr("line 1"));
}

TEST(LoadConfDir, IsEmptyForADirectoryThatIsNotThere) {
  const auto contents = LoadConfDir("/nonexistent/net.d");
  EXPECT_FALSE(contents.chosen);
  EXPECT_EQ(contents.problem, "");
  EXPECT_TRUE(contents.bad.empty());
}

TEST(LoadConfDir, DoesNotWaitForAFifo) {
  const TestDir dir;
  ASSERT_EQ(::mkfifo((dir.conf() + "/10-pipe.conflist").c_str(), 0600), 0);
  dir.Write("conf/20-good.conflist", kGood);
  const auto contents = LoadConfDir(dir.conf());
  EXPECT_EQ(contents.chosen_path, dir.conf() + "/20-good.conflist");
  ASSERT_EQ(contents.bad.size(), 1U);
  EXPECT_EQ(contents.bad[0].why, "is no regular file");
}

TEST(LoadConfDir, AppendsThePluginsOfTheFolderNamedAfterTheNetwork) {
  const TestDir dir;
  ::mkdir((dir.conf() + "/pods").c_str(), 0755);
  dir.Write("conf/pods/20-b.conf", R"({"type":"b"})");
  dir.Write("conf/pods/30-c.conf", R"({"type":"c"})");
  dir.Write("conf/pods/40-d.txt", R"({"type":"d"})");
  dir.Write("conf/10-pods.conflist", kGood);
  auto contents = LoadConfDir(dir.conf());
  ASSERT_TRUE(contents.chosen);
  std::vector<std::string> types;
  for (const auto& plugin : contents.chosen->plugins) types.push_back(FindString(plugin, "type"));
  EXPECT_THAT(types, ElementsAre("a", "b", "c"));

  dir.Write("conf/10-pods.conflist",
            R"({"cniVersion":"1.0.0","name":"pods","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]})");
  contents = LoadConfDir(dir.conf());
  ASSERT_TRUE(contents.chosen);
  EXPECT_EQ(contents.chosen->plugins.size(), 1U);

  dir.Write("conf/10-pods.conflist", kGood);
  dir.Write("conf/pods/20-b.conf", "{}");
  contents = LoadConfDir(dir.conf());
  EXPECT_FALSE(contents.chosen);
  ASSERT_EQ(contents.bad.size(), 1U);
  EXPECT_THAT(contents.bad[0].why, HasSubstr("20-b.conf': has no 'type'"));
}

}  // namespace
}  // namespace berth::network
