// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/cdi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kYaml[] = R"(cdiVersion: "0.6.0"
kind: "vendor.com/gpu"
containerEdits:
  env: ["ALL=1"]
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - {path: /dev/gpu0, hostPath: /dev/null, permissions: rw, uid: 7, fileMode: 0644}
    mounts:
    - hostPath: /usr/lib/vendor
      containerPath: /vendor/lib
      options: [ro, nosuid]
    hooks:
    - hookName: createContainer
      path: /usr/bin/vendor
      args: ["vendor", "link"]
    additionalGids: [44, 0]
- name: all
  containerEdits: {env: ["ALL=2", "GPU=all"]}
)";

json Spec() {
  return {{"process", {{"env", {"PATH=/bin", "ALL=0"}}, {"user", {{"uid", 1000}, {"gid", 1000}}}}},
          {"mounts",
           {{{"destination", "/proc"}, {"type", "proc"}},
            {{"destination", "/vendor/lib/deep"}, {"type", "bind"}}}},
          {"linux", {{"resources", {{"devices", {{{"allow", false}}}}}}}}};
}

class Cdi : public testing::Test {
 protected:
  Cdi() {
    char name[] = "/tmp/berth-test-cdi-XXXXXX";
    dir_ = ::mkdtemp(name);
    EXPECT_TRUE(base::MakeDirs(dir_ + "/etc").ok());
    EXPECT_TRUE(base::MakeDirs(dir_ + "/run").ok());
  }
  ~Cdi() override { (void)base::RemoveTree(dir_); }
  void Write(const std::string& file, const std::string& text) {
    ASSERT_TRUE(base::WriteFile(dir_ + "/" + file, text).ok());
  }
  absl::StatusOr<CdiEdits> Resolve(const std::vector<std::string>& names) const {
    return CdiRegistry::Read({dir_ + "/etc", dir_ + "/run", dir_ + "/none"}).Resolve(names);
  }
  std::string dir_;
};

TEST_F(Cdi, EditsOfADeviceComeAfterThoseOfItsFile) {
  Write("etc/vendor.yaml", kYaml);
  const auto edits = Resolve({"vendor.com/gpu=0", "vendor.com/gpu=all"});
  ASSERT_TRUE(edits.ok()) << edits.status();
  EXPECT_THAT(edits->env, ElementsAre("ALL=1", "ALL=2", "GPU=all")) << "the file's own once";
  ASSERT_EQ(edits->devices.size(), 1U);
  json spec = Spec();
  ASSERT_TRUE(ApplyCdi(*edits, spec).ok());
  EXPECT_EQ(spec["process"]["env"], (json{"PATH=/bin", "ALL=2", "GPU=all"}));
  EXPECT_EQ(spec["process"]["user"]["additionalGids"], json{44}) << "never root's group";
  const json& device = spec["linux"]["devices"][0];
  EXPECT_EQ(device, (json{{"path", "/dev/gpu0"},
                          {"type", "c"},
                          {"major", 1},
                          {"minor", 3},
                          {"uid", 7},
                          {"gid", 1000},
                          {"fileMode", 0644}}));
  EXPECT_EQ(spec["linux"]["resources"]["devices"][1],
            (json{{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 3}, {"access", "rw"}}));
  EXPECT_EQ(spec["mounts"][1], (json{{"destination", "/vendor/lib"},
                                     {"source", "/usr/lib/vendor"},
                                     {"type", "bind"},
                                     {"options", {"ro", "nosuid", "rbind"}}}))
      << "before what lies below it";
  EXPECT_EQ(spec["hooks"]["createContainer"][0]["args"], (json{"vendor", "link"}));
}

TEST_F(Cdi, JsonIsUnderstoodToo) {
  Write(
      "run/v.json",
      R"({"cdiVersion":"1.0.0","kind":"v.org/net","devices":[{"name":"eth","containerEdits":{"env":["A=1"]}}]})");
  EXPECT_THAT(Resolve({"v.org/net=eth"})->env, ElementsAre("A=1"));
}

TEST_F(Cdi, UnknownDevicesAreNamedWithTheFilesThatWereLeftOut) {
  Write("etc/broken.yaml", "kind: [");
  Write("etc/vendor.yaml", kYaml);
  EXPECT_TRUE(Resolve({"vendor.com/gpu=0"}).ok()) << "a broken file is only itself";
  const auto unknown = Resolve({"vendor.com/gpu=7"});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("'vendor.com/gpu=7'"));
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("broken.yaml"));
  EXPECT_THAT(std::string(Resolve({"gpu"}).status().message()), HasSubstr("vendor/class=name"));
}

TEST_F(Cdi, LaterDirectoriesWinAndConflictsAreNobodys) {
  const auto device = [](const char* value) {
    return std::string(
               R"({"cdiVersion":"0.5.0","kind":"v.org/c","devices":[{"name":"d","containerEdits":{"env":["V=)") +
           value + "\"]}}]}";
  };
  Write("etc/a.json", device("etc"));
  Write("run/a.json", device("run"));
  EXPECT_THAT(Resolve({"v.org/c=d"})->env, ElementsAre("V=run"));
  Write("run/b.json", device("again"));
  EXPECT_THAT(std::string(Resolve({"v.org/c=d"}).status().message()), HasSubstr("defined by both"));
}

TEST(CdiText, WhatCannotBeHonouredIsRefused) {
  const auto parse = [](const std::string& edits) {
    return ParseCdi("f.json",
                    R"({"cdiVersion":"0.6.0","kind":"v.org/c","devices":[{"name":"d","containerEdits":)" +
                        edits + "}]}")
        .status();
  };
  EXPECT_TRUE(parse("{}").ok());
  for (const char* edits :
       {R"({"intelRdt":{"closID":"x"}})", R"({"netDevices":[]})", R"({"env":["=x"]})",
        R"({"env":["novalue"]})", R"({"env":[5]})", R"({"deviceNodes":[{"path":"dev/x"}]})",
        R"({"deviceNodes":[{"path":"/x","permissions":"x"}]})",
        R"({"deviceNodes":[{"path":"/x","type":"z"}]})", R"({"mounts":[{"hostPath":"/x"}]})",
        R"({"hooks":[{"hookName":"never","path":"/x"}]})", R"({"additionalGids":["x"]})"}) {
    const absl::Status refused = parse(edits);
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << edits;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("f.json")) << edits;
  }
  EXPECT_FALSE(ParseCdi("f.json", R"({"cdiVersion":"0.6.0","kind":"vorg"})").ok());
  EXPECT_FALSE(ParseCdi("f.json", R"({"kind":"v.org/c"})").ok());
  EXPECT_FALSE(ParseCdi("f.yaml", "- a\n- b\n").ok());
}

TEST(CdiText, ABombOfAnchorsIsStopped) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) text += "," + before;
    text += "]\n";
  }
  EXPECT_FALSE(ParseCdi("f.yaml", text).ok());
}

}  // namespace
}  // namespace berth::runtime::oci
