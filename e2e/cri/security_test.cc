// SPDX-License-Identifier: Apache-2.0
// Capabilities, seccomp, masked paths, privileged containers.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

constexpr uint64_t kNetAdmin = 1ULL << 12, kChown = 1ULL << 0, kNetRaw = 1ULL << 13, kSysTime = 1ULL << 25,
                   kNetBindService = 1ULL << 10;

// A set of /proc/self/status in a container of `config` ("CapEff", "CapBnd", ...).
uint64_t Capabilities(const Pod& pod, cri::ContainerConfig config, const std::string& set) {
  for (const char* word : {"grep", "Cap", "/proc/self/status"}) config.add_command(word);
  for (const std::string& line : Lines(OutputOf(pod, config))) {
    if (line.rfind(set + ":", 0) == 0) return std::stoull(line.substr(set.size() + 1), nullptr, 16);
  }
  throw TestError("no " + set);
}

cri::ContainerConfig WithCapabilities(const std::vector<std::string>& add,
                                      const std::vector<std::string>& drop) {
  cri::ContainerConfig config = ImageDefault("busybox");
  for (const std::string& name : add) Security(&config)->mutable_capabilities()->add_add_capabilities(name);
  for (const std::string& name : drop) Security(&config)->mutable_capabilities()->add_drop_capabilities(name);
  return config;
}

TEST(Security, TheDefaultCapabilitiesAreTheUsualFourteen) {
  const Pod pod;
  // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod
  // audit_write setfcap
  EXPECT_EQ(Capabilities(pod, WithCapabilities({}, {}), "CapEff"), 0xa80425fbULL);
  EXPECT_EQ(Capabilities(pod, WithCapabilities({}, {}), "CapAmb"), 0ULL);
}

TEST(Security, CapabilitiesAreAddedAndDroppedHoweverTheyAreSpelt) {
  const Pod pod;
  EXPECT_TRUE(Capabilities(pod, WithCapabilities({"NET_ADMIN"}, {}), "CapEff") & kNetAdmin);
  EXPECT_FALSE(Capabilities(pod, WithCapabilities({}, {"CHOWN"}), "CapEff") & kChown);
  if (OwnDaemon()) {
    EXPECT_TRUE(Capabilities(pod, WithCapabilities({"CAP_NET_ADMIN"}, {}), "CapBnd") & kNetAdmin);
    EXPECT_TRUE(Capabilities(pod, WithCapabilities({"net_admin"}, {}), "CapEff") & kNetAdmin);
    EXPECT_FALSE(Capabilities(pod, WithCapabilities({}, {"CAP_net_raw"}), "CapEff") & kNetRaw);
  }
}

TEST(Security, AllIsUnderstoodInEitherList) {
  const Pod pod;
  EXPECT_EQ(Capabilities(pod, WithCapabilities({}, {"ALL"}), "CapEff"), 0ULL);
  EXPECT_EQ(Capabilities(pod, WithCapabilities({"NET_ADMIN"}, {"ALL"}), "CapEff"), kNetAdmin);
  if (OwnDaemon()) {  // what the daemon itself lacks, no runtime can give: peers fail on such hosts
    EXPECT_TRUE(Capabilities(pod, WithCapabilities({"ALL"}, {}), "CapEff") & kSysTime);
    EXPECT_FALSE(Capabilities(pod, WithCapabilities({"ALL"}, {"SYS_TIME"}), "CapEff") & kSysTime);
  }
}

TEST(Security, AnOrdinaryUserHasNoEffectiveCapabilities) {
  const Pod pod;
  cri::ContainerConfig config = WithCapabilities({"NET_ADMIN"}, {});
  Security(&config)->mutable_run_as_user()->set_value(1000);
  EXPECT_EQ(Capabilities(pod, config, "CapEff"), 0ULL);
}

std::string StatusLine(const Pod& pod, cri::ContainerConfig config, const std::string& key) {
  for (const std::string& word : {std::string("grep"), "^" + key + ":", std::string("/proc/self/status")}) {
    config.add_command(word);
  }
  const std::string line = OutputOf(pod, config);
  return Trim(line.substr(key.size() + 1));
}

TEST(Security, SeccompFiltersByDefaultAndNotWhenUnconfined) {
  const Pod pod;
  EXPECT_EQ(StatusLine(pod, ImageDefault("busybox"), "Seccomp"), "2");
  cri::ContainerConfig unconfined = ImageDefault("busybox");
  Security(&unconfined)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
  EXPECT_EQ(StatusLine(pod, unconfined, "Seccomp"), "0");
  cri::ContainerConfig nothing = ImageDefault("busybox");
  Security(&nothing)->clear_seccomp();
  EXPECT_EQ(StatusLine(pod, nothing, "Seccomp"), "0") << "no message means unconfined";
}

TEST(Security, TheDefaultProfileBlocksNewUserNamespacesAndAllowsThreads) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_NE(container.Exec({"unshare", "-U", "true"}).exit_code(), 0);
  EXPECT_EQ(
      OutputOf(pod,
               Command({"python3", "-c",
                        "import _thread,time\n_thread.start_new_thread(print,('thread',))\ntime.sleep(.3)"},
                       "python")),
      "thread");
  cri::ContainerConfig unconfined = Server();
  Security(&unconfined)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
  EXPECT_EQ(Container::Run(pod, unconfined).Exec({"unshare", "-U", "true"}).exit_code(), 0);
}

TEST(Security, ALocalProfileIsReadFromItsFile) {
  const Pod pod;
  const std::string path = Environment::Get().dir() + "/profile.json";
  WriteFile(path, R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
    "syscalls":[{"names":["chmod","fchmodat"],"action":"SCMP_ACT_ERRNO"}]})");
  cri::ContainerConfig config = Shell("touch /f; chmod 600 /f && echo allowed || echo blocked");
  Security(&config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(&config)->mutable_seccomp()->set_localhost_ref(path);
  EXPECT_THAT(OutputOf(pod, config), HasSubstr("blocked"));
}

TEST(Security, AMissingLocalProfileIsAnErrorAndNeverNoProfile) {
  const Pod pod;
  cri::ContainerConfig config = Server();
  Security(&config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(&config)->mutable_seccomp()->set_localhost_ref("/nonexistent/profile.json");
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  EXPECT_FALSE(created.ok());
  if (OwnDaemon()) {
    EXPECT_THAT(std::string(created.status().message()), HasSubstr("/nonexistent/profile.json"));
  }
}

TEST(Security, NoNewPrivilegesIsSetWhenAsked) {
  const Pod pod;
  cri::ContainerConfig config = ImageDefault("busybox");
  Security(&config)->set_no_new_privs(true);
  EXPECT_EQ(StatusLine(pod, config, "NoNewPrivs"), "1");
  EXPECT_EQ(StatusLine(pod, ImageDefault("busybox"), "NoNewPrivs"), "0");
}

TEST(Security, MaskedPathsAreEmptyAndReadonlyPathsAreReadonly) {
  const Pod pod;
  cri::ContainerConfig config = Shell(
      "wc -c < /proc/timer_list; ls /proc/scsi | wc -l; echo 1 > /proc/sysrq-trigger || echo refused; "
      "echo x > /proc/sys/kernel/domainname || echo refused");
  for (const char* path : {"/proc/timer_list", "/proc/scsi", "/proc/not/there"})
    Security(&config)->add_masked_paths(path);
  for (const char* path : {"/proc/sysrq-trigger", "/proc/sys", "/proc/not/there"})
    Security(&config)->add_readonly_paths(path);
  const std::vector<std::string> lines = Lines(OutputOf(pod, config));
  EXPECT_THAT(lines, testing::IsSupersetOf({"0", "0", "refused", "refused"}));
}

TEST(Security, EmptyListsMeanAnUnmaskedProc) {
  const Pod pod;
  const std::string mounts = OutputOf(pod, Shell("grep ' /proc/' /proc/mounts || true"));
  EXPECT_EQ(mounts, "");
}

TEST(Security, AReadonlyRootfsCannotBeWrittenButDevAndShmCan) {
  const Pod pod;
  cri::ContainerConfig config =
      Shell("touch /x 2>/dev/null || echo refused; echo y > /dev/shm/y && echo shm");
  Security(&config)->set_readonly_rootfs(true);
  EXPECT_EQ(OutputOf(pod, config), "refused\nshm");
}

TEST(Security, APrivilegedContainerSeesDevicesAndHasTheDaemonsCapabilities) {
  BERTH_NEEDS_OWN_DAEMON();  // without CAP_SYS_RESOURCE on the host a peer may not start one at all
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const Pod pod(pod_config);
  cri::ContainerConfig config = ImageDefault("busybox");
  Security(&config)->set_privileged(true);
  const std::string host = ReadFile("/proc/self/status");
  const uint64_t bounding = std::stoull(host.substr(host.find("CapBnd:") + 7), nullptr, 16);
  EXPECT_EQ(Capabilities(pod, config, "CapEff"), bounding);
  config = ImageDefault("busybox");
  Security(&config)->set_privileged(true);
  EXPECT_EQ(StatusLine(pod, config, "Seccomp"), "0");
  cri::ContainerConfig look =
      Shell("test -c /dev/kmsg && echo kmsg; grep -c '^sysfs /sys sysfs rw' /proc/mounts");
  Security(&look)->set_privileged(true);
  EXPECT_EQ(OutputOf(pod, look), "kmsg\n1");
}

TEST(Security, AnOrdinaryContainerSeesSysReadonlyAndNoKernelLog) {
  const Pod pod;
  EXPECT_EQ(
      OutputOf(pod, Shell("test -e /dev/kmsg || echo none; grep -c '^sysfs /sys sysfs ro' /proc/mounts")),
      "none\n1");
}

TEST(Security, AmbientCapabilitiesReachAnOrdinaryUsersProgram) {
  const Pod pod;
  cri::ContainerConfig config = ImageDefault("busybox");
  Security(&config)->mutable_run_as_user()->set_value(1000);
  Security(&config)->mutable_capabilities()->add_add_ambient_capabilities("net_bind_service");
  EXPECT_EQ(Capabilities(pod, config, "CapAmb"), kNetBindService);
  EXPECT_EQ(Capabilities(pod, config, "CapEff"), kNetBindService);
}

TEST(Security, AppArmorIsTheKernelsOrANoOpAndANamedProfileNeverNone) {
  const bool has = TryReadFile("/sys/module/apparmor/parameters/enabled").value_or("N")[0] == 'Y';
  const Pod pod;
  cri::ContainerConfig config = Shell(has ? "cat /proc/self/attr/current" : "echo none");
  Security(&config)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  const std::string output = OutputOf(pod, config);
  if (OwnDaemon()) {
    EXPECT_EQ(output, has ? "berth-default (enforce)" : "none");
  }
  Security(&config)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(&config)->mutable_apparmor()->set_localhost_ref("not-loaded");
  const absl::Status refused = Cri().CreateContainer(CreateRequest(pod, config)).status();
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), testing::AnyOf(HasSubstr("not-loaded"), HasSubstr("AppArmor")));
}

TEST(Security, ANamedAppArmorProfileIsEnforcedAndTheOldFieldIsOnlyAskedWithoutTheNewOne) {
  if (TryReadFile("/sys/module/apparmor/parameters/enabled").value_or("N")[0] != 'Y')
    GTEST_SKIP() << "this kernel has no AppArmor (the test machine has)";
  const std::string file = Environment::Get().dir() + "/apparmor-profile";
  WriteFile(file, "profile berth-test-no-write flags=(attach_disconnected) {\n  file,\n  deny /** w,\n}\n");
  MustRun({"/sbin/apparmor_parser", "--replace", "--skip-cache", file});
  const Pod pod;
  const auto verdict = [&](const std::string& old_field, const std::string& new_field) {
    cri::ContainerConfig config = Shell("cat /proc/self/attr/current; touch /tmp/x && echo written; true");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    Security(&config)->set_apparmor_profile(old_field);
#pragma GCC diagnostic pop
    if (!new_field.empty()) {
      Security(&config)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
      Security(&config)->mutable_apparmor()->set_localhost_ref(new_field);
    }
    return OutputOf(pod, config);
  };
  const auto enforced =
      testing::AllOf(HasSubstr("berth-test-no-write (enforce)"), testing::Not(HasSubstr("written")));
  EXPECT_THAT(verdict("localhost/berth-test-no-write", ""), enforced);
  EXPECT_THAT(verdict("", "berth-test-no-write"), enforced);
  EXPECT_THAT(verdict("localhost/not-loaded", "localhost/berth-test-no-write"), enforced);
  EXPECT_THAT(verdict("unconfined", ""), testing::AllOf(HasSubstr("unconfined"), HasSubstr("written")));
  MustRun({"/sbin/apparmor_parser", "--remove", file});
}

TEST(Security, SelinuxLabelsAreTheKernelsOrANoOp) {
  if (Exists("/sys/fs/selinux/enforce")) GTEST_SKIP() << "this kernel has SELinux, and the image no policy";
  const Pod pod;
  cri::ContainerConfig config = Shell("echo runs");
  Security(&config)->mutable_selinux_options()->set_level("s0:c1,c2");
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(Environment::Get().dir());
  mount->set_container_path("/data");
  mount->set_selinux_relabel(true);
  EXPECT_EQ(OutputOf(pod, config), "runs");
}

}  // namespace
}  // namespace berth::e2e
