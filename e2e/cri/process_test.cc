// SPDX-License-Identifier: Apache-2.0
// Which program a container runs and as whom: the image's configuration under the pod's.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

cri::ContainerConfig WithCommand(cri::ContainerConfig config, const std::vector<std::string>& command,
                                 const std::vector<std::string>& args) {
  for (const std::string& word : command) config.add_command(word);
  for (const std::string& word : args) config.add_args(word);
  return config;
}

void AddEnv(cri::ContainerConfig* config, const std::string& key, const std::string& value) {
  cri::KeyValue* env = config->add_envs();
  env->set_key(key);
  env->set_value(value);
}

TEST(Process, ImageEntrypointAndCmdRunWhenNothingIsGiven) {
  const Pod pod;
  EXPECT_THAT(OutputOf(pod, ImageDefault("config")), testing::StartsWith("image\n"));
}

TEST(Process, ArgsReplaceCmdAndKeepTheEntrypoint) {
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, WithCommand(ImageDefault("config"), {}, {"echo args"})), "args");
}

TEST(Process, CommandDropsTheImagesCmdToo) {
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, WithCommand(ImageDefault("config"), {"echo", "only this"}, {})), "only this");
  EXPECT_EQ(OutputOf(pod, WithCommand(ImageDefault("config"), {"echo", "a"}, {"b"})), "a b");
}

TEST(Process, EnvironmentIsLaidOverTheImages) {
  const Pod pod;
  cri::ContainerConfig config = WithCommand(ImageDefault("config"), {}, {"env"});
  AddEnv(&config, "OVERLAID", "pod");
  AddEnv(&config, "TWICE", "first");
  AddEnv(&config, "TWICE", "last");
  AddEnv(&config, "WITH_EQUALS", "a=b c");
  AddEnv(&config, "EMPTY", "");
  const std::vector<std::string> lines = Lines(OutputOf(pod, config));
  EXPECT_THAT(lines, testing::IsSupersetOf(
                         {"FROM_IMAGE=image", "OVERLAID=pod", "TWICE=last", "WITH_EQUALS=a=b c", "EMPTY="}));
  EXPECT_THAT(lines, Not(testing::Contains("OVERLAID=image")));
  EXPECT_THAT(lines, Not(testing::Contains("TWICE=first")));
}

TEST(Process, WorkingDirectoryIsTheImagesAndMadeWhenMissing) {
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, WithCommand(ImageDefault("config"), {"pwd"}, {})), "/made/by/image");
  cri::ContainerConfig config = Command({"pwd"});
  EXPECT_EQ(OutputOf(pod, config), "/");
  config = Command({"pwd"}, "config");
  config.set_working_dir("/tmp");
  EXPECT_EQ(OutputOf(pod, config), "/tmp");
}

TEST(Process, UserOfTheImageIsUsedByKubeletsChoice) {
  // kubelet reads the user from ImageStatus and sends it back; nothing sent means root.
  const Pod pod;
  cri::ContainerConfig config = Command({"id", "-u"}, "user-number");
  Security(&config)->mutable_run_as_user()->set_value(1002);
  EXPECT_EQ(OutputOf(pod, config), "1002");
  cri::ContainerConfig by_name = Command({"id"}, "user-name");
  Security(&by_name)->set_run_as_username("tester");
  EXPECT_THAT(OutputOf(pod, by_name), HasSubstr("uid=1000(tester) gid=1000(tester)"));
}

TEST(Process, GroupComesFromPasswdUnlessGiven) {
  const Pod pod;
  cri::ContainerConfig config = Command({"id", "-g"});
  Security(&config)->mutable_run_as_user()->set_value(1001);
  EXPECT_EQ(OutputOf(pod, config), "2001");
  config = Command({"id", "-g"});
  Security(&config)->mutable_run_as_user()->set_value(1001);
  Security(&config)->mutable_run_as_group()->set_value(777);
  EXPECT_EQ(OutputOf(pod, config), "777");
  config = Command({"id", "-g"});
  Security(&config)->mutable_run_as_user()->set_value(4242);  // not in passwd
  EXPECT_EQ(OutputOf(pod, config), "0");
}

TEST(Process, SupplementalGroupsAreMergedWithTheImagesMemberships) {
  const Pod pod;
  cri::ContainerConfig config = Command({"id", "-G"});
  Security(&config)->mutable_run_as_user()->set_value(1001);
  Security(&config)->add_supplemental_groups(60000);
  const std::string groups = " " + OutputOf(pod, config) + " ";
  for (const char* group : {" 2001 ", " 50000 ", " 50001 ", " 60000 "}) EXPECT_THAT(groups, HasSubstr(group));
}

TEST(Process, TheStrictPolicyLeavesTheImagesMembershipsOut) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = Command({"sh", "-c", "id -G; sleep 1000"});
  Security(&config)->mutable_run_as_user()->set_value(1001);
  Security(&config)->add_supplemental_groups(60000);
  Security(&config)->set_supplemental_groups_policy(cri::Strict);
  const Container container = Container::Run(pod, config);
  container.WaitLine("2001");
  const std::string groups = " " + container.Text() + " ";
  EXPECT_THAT(groups, HasSubstr(" 60000 "));
  EXPECT_THAT(groups, Not(HasSubstr(" 50000 ")));
  const cri::LinuxContainerUser user = container.Status().user().linux();
  EXPECT_EQ(user.uid(), 1001);
  EXPECT_EQ(user.gid(), 2001);
  EXPECT_THAT(user.supplemental_groups(), testing::Contains(60000));
}

TEST(Process, AGroupWithoutAUserIsRefused) {
  const Pod pod;
  cri::ContainerConfig config = Command({"id"});
  Security(&config)->mutable_run_as_group()->set_value(777);
  EXPECT_FALSE(Cri().CreateContainer(CreateRequest(pod, config)).ok());
}

TEST(Process, AnUnknownUserNameIsRefusedAtCreateOrStart) {
  const Pod pod;
  cri::ContainerConfig config = Command({"id"}, "user-unknown");
  Security(&config)->set_run_as_username("nosuchuser");
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  if (created.ok()) {
    EXPECT_FALSE(
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).ok());
    Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  } else if (OwnDaemon()) {
    EXPECT_THAT(std::string(created.status().message()), HasSubstr("nosuchuser"));
  }
}

TEST(Process, AUserThatLooksLikeANumberAndIsNoneNeverBecomesRoot) {
  const Pod pod;
  const auto refused = [&](const cri::ContainerConfig& config) {
    const auto created = Cri().CreateContainer(CreateRequest(pod, config));
    if (!created.ok()) return !OwnDaemon() || absl::IsInvalidArgument(created.status());
    const bool started =
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).ok();
    Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
    return !OwnDaemon() && !started;  // ours is not left to what an OCI runtime makes of such a number
  };
  EXPECT_TRUE(refused(Command({"id"}, "user-overflow"))) << "USER 4294967296";
  for (const char* user : {"4294967296", "0x0", "00x0", "-0", "+0", " 0", "18446744073709551616"}) {
    cri::ContainerConfig config = Command({"id"});
    Security(&config)->set_run_as_username(user);
    EXPECT_TRUE(refused(config)) << user;
  }
  cri::ContainerConfig config = Command({"id"});
  Security(&config)->mutable_run_as_user()->set_value(4294967296);
  EXPECT_TRUE(refused(config)) << "run_as_user 4294967296";
}

TEST(Process, HomeIsThatOfTheUser) {
  const Pod pod;
  cri::ContainerConfig config = Command({"sh", "-c", "echo $HOME"});
  Security(&config)->mutable_run_as_user()->set_value(1000);
  EXPECT_EQ(OutputOf(pod, config), "/home/tester");
  EXPECT_EQ(OutputOf(pod, Command({"sh", "-c", "echo $HOME"})), "/root");
}

TEST(Process, PythonAndNginxOfDebianRun) {
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, Command({"python3", "-c", "import sys; print(6 * 7)"}, "python")), "42");
  const Container nginx = Container::Run(pod, ImageDefault("nginx"));
  WaitFor("nginx to answer", [&] {
    return nginx.Exec({"wget", "-q", "-O-", "http://127.0.0.1/"}).exit_code() == 0;
  });
  EXPECT_EQ(nginx.Sh("wget -q -O- http://127.0.0.1/"), "berth test page");
  nginx.Stop(10);  // SIGQUIT, the image's stop signal, ends it in order
  EXPECT_EQ(nginx.Status().exit_code(), 0);
  EXPECT_EQ(nginx.Status().reason(), "Completed");
}

TEST(Process, StandardInputIsEmptyUnlessAsked) {
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, Shell("wc -c")), "0");
}

TEST(Process, ATerminalIsOneWhenAsked) {
  const Pod pod;
  cri::ContainerConfig config = Shell("test -t 1 && test -t 0 && echo terminal; echo error >&2");
  config.set_tty(true);
  const Container container = Container::Run(pod, config);
  container.WaitExit();
  const std::vector<LogRecord> records = ReadLog(container.log_path());
  ASSERT_GE(records.size(), 2U);
  EXPECT_THAT(records[0].text, testing::StartsWith("terminal"));
  for (const LogRecord& record : records) EXPECT_EQ(record.stream, "stdout") << "a terminal is one stream";
  EXPECT_EQ(OutputOf(pod, Shell("test -t 1 || echo none")), "none");
}

TEST(Process, DevAndProcAreMountedAndUsable) {
  const Pod pod;
  EXPECT_EQ(
      OutputOf(
          pod,
          Shell("echo x > /dev/null; head -c 4 /dev/zero | wc -c; test -c /dev/urandom && test -d /dev/pts "
                "&& test -L /dev/fd && cat /proc/1/comm && test -r /sys/kernel && echo sys")),
      "4\nsh\nsys");
}

}  // namespace
}  // namespace berth::e2e
