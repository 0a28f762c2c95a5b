// SPDX-License-Identifier: Apache-2.0
// The process of a container and of an exec: arguments, environment, working directory.
#include "runtime/oci/spec_fixture.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(SpecTest, ArgumentsFollowTheImageRules) {
  EXPECT_THAT(*BuildArgs(container_, image_), ElementsAre("/entry", "serve"));
  container_.args = {"x"};
  EXPECT_THAT(*BuildArgs(container_, image_), ElementsAre("/entry", "x"));
  container_.command = {"/bin/sh"};
  EXPECT_THAT(*BuildArgs(container_, image_), ElementsAre("/bin/sh", "x"));
  container_.args = {};
  EXPECT_THAT(*BuildArgs(container_, image_),
              ElementsAre("/bin/sh"));  // the image's Cmd belongs to its own entry point
  container_.command = {};
  image_.entrypoint = {""};
  EXPECT_THAT(*BuildArgs(container_, image_), ElementsAre("serve"));
  image_.cmd = {};
  EXPECT_EQ(BuildArgs(container_, image_).status().code(), absl::StatusCode::kInvalidArgument);
  container_.command = {std::string("a\0b", 3)};
  EXPECT_FALSE(BuildArgs(container_, image_).ok());
  container_.command = {"\xff"};
  EXPECT_FALSE(BuildArgs(container_, image_).ok());
}

TEST_F(SpecTest, TheLastWordInTheEnvironmentWins) {
  container_.envs = {{"LANG", "de"}, {"A", "1"}, {"A", "2"}};
  EXPECT_THAT(*Environment(input_),
              ElementsAre("PATH=/opt/bin:/bin", "LANG=de", "HOSTNAME=web-0", "A=2", "HOME=/root"));
  container_.envs = {{"HOME", "/x"}, {"HOSTNAME", "mine"}, {"TERM", ""}};
  container_.tty = true;
  image_.env = {"NOVALUE", "=odd"};
  EXPECT_THAT(*Environment(input_),
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "HOSTNAME=mine", "HOME=/x", "TERM="));
  container_.envs = {};
  EXPECT_THAT(*Environment(input_), Contains("TERM=xterm"));
  pod_.hostname = "";
  EXPECT_THAT(*Environment(input_), Contains("HOSTNAME=node-1"));
  input_.user.home = "";
  EXPECT_THAT(*Environment(input_), Contains("HOME=/"));
}

TEST_F(SpecTest, AnEnvironmentThatCannotBeCarriedIsRefusedByName) {
  for (const EnvVar& bad : {EnvVar{"BYTES", "\xff\xfe"}, EnvVar{"NUL", std::string("a\0", 2)},
                            EnvVar{"", "x"}, EnvVar{"A=B", "x"}}) {
    container_.envs = {bad};
    const auto env = Environment(input_);
    ASSERT_FALSE(env.ok());
    EXPECT_THAT(env.status().message(), HasSubstr("'" + bad.key + "'"));
  }
}

TEST_F(SpecTest, TheWorkingDirectoryIsTheRequestsThenTheImages) {
  EXPECT_EQ(*WorkingDir(input_), "/srv");
  container_.working_dir = "/a/../b/";
  EXPECT_EQ(*WorkingDir(input_), "/b");
  container_.working_dir = "rel";
  EXPECT_FALSE(WorkingDir(input_).ok());
  container_.working_dir = "";
  image_.working_dir = "rel";
  EXPECT_EQ(*WorkingDir(input_), "/rel");
  image_.working_dir = "";
  EXPECT_EQ(*WorkingDir(input_), "/");
}

TEST_F(SpecTest, AnExecRunsAsTheContainerDoes) {
  container_.no_new_privs = true;
  input_.user = {5, 6, {6, 7}, "/h"};
  const json spec = Build();
  const json process = BuildExecProcess(spec, {"ls", "-l"}, true);
  EXPECT_EQ(process["args"], json({"ls", "-l"}));
  EXPECT_EQ(process["terminal"], true);
  EXPECT_THAT(process["env"], Contains("TERM=xterm"));
  for (const char* same : {"user", "capabilities", "noNewPrivileges", "cwd", "oomScoreAdj"})
    EXPECT_EQ(process[same], spec["process"][same]) << same;
  EXPECT_THAT(BuildExecProcess(spec, {"ls"}, false)["env"], Not(Contains("TERM=xterm")));
}

}  // namespace
}  // namespace berth::runtime::oci
