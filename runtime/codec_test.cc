// SPDX-License-Identifier: Apache-2.0
#include "runtime/codec.h"

#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

using nlohmann::json;

// How many fields a struct has: a field that the codec forgot makes the counts differ.
struct Anything {
  template <typename T>
    requires(!std::is_same_v<T, std::nullopt_t> && !std::is_same_v<T, std::in_place_t>)
  operator T() const;  // NOLINT: implicit on purpose, never defined
};
template <typename T, typename... Args>
constexpr std::size_t CountFields() {
  if constexpr (requires { T{{Args{}}..., {Anything{}}}; }) {
    return CountFields<T, Args..., Anything>();
  } else {
    return sizeof...(Args);
  }
}

cgroupfs::Resources FullResources() {
  cgroupfs::Resources r;
  r.cpu_shares = 512;
  r.cpu_quota_us = cgroupfs::kUnlimited;
  r.cpu_period_us = 100000;
  r.memory_limit_bytes = INT64_MAX;
  r.memory_swap_limit_bytes = 1;
  r.pids_limit = 99;
  r.cpuset_cpus = "0-1";
  r.cpuset_mems = "0";
  r.hugepage_limits = {{"2MB", UINT64_MAX}, {"1GB", 0}};
  r.unified = {{"memory.oom.group", "1"}};
  return r;
}

NamespaceOptions FullNamespaces() {
  NamespaceOptions n;
  n.network = NamespaceMode::kNode;
  n.pid = NamespaceMode::kTarget;
  n.ipc = NamespaceMode::kNode;
  n.target_id = "abc";
  n.user_namespace = true;
  n.uid_mappings = {{65536, 0, UINT32_MAX}};
  n.gid_mappings = {{65536, 0, 65536}};
  return n;
}

PodConfig FullPod() {
  PodConfig p;
  p.metadata = {"web", "uid-1", "default", 3};
  p.hostname = "web-0";
  p.log_directory = "/var/log/pods/x";
  p.dns = DnsConfig{{"10.0.0.10"}, {"svc.local"}, {"ndots:5"}};
  p.port_mappings = {{Protocol::kSctp, 80, 8080, "127.0.0.1"}};
  p.labels = {{"a", "b"}};
  p.annotations = {{"c", "d\nmore \"text\""}};
  p.cgroup_parent = "/kubepods/pod1";
  p.sysctls = {{"net.core.somaxconn", "1024"}};
  p.overhead = FullResources();
  p.resources = FullResources();
  p.namespaces = FullNamespaces();
  p.selinux = SelinuxOptions{"u", "r", "t", "l"};
  p.run_as_user = -5;
  p.run_as_group = 6;
  p.readonly_rootfs = true;
  p.supplemental_groups = {1, 2};
  p.strict_supplemental_groups = true;
  p.privileged = true;
  p.seccomp = SecurityProfile{ProfileType::kLocalhost, "/p.json"};
  p.apparmor = SecurityProfile{ProfileType::kUnconfined, "x"};
  return p;
}

ContainerConfig FullContainer() {
  ContainerConfig c;
  c.metadata = {"nginx", 7};
  c.image = {"sha256:1", {{"k", "v"}}, "nginx:1", "runc", "nginx@sha256:2"};
  c.command = {"sh", ""};
  c.args = {"-c", "true"};
  c.working_dir = "/srv";
  c.envs = {{"A", "plain"}, {"B", std::string("\xff\x00\xc3(", 4)}, {"C", ""}, {"D", "snow \xe2\x98\x83"}};
  Mount m;
  m.container_path = "/data";
  m.host_path = "/host";
  m.readonly = true;
  m.selinux_relabel = true;
  m.propagation = MountPropagation::kBidirectional;
  m.uid_mappings = {{1, 2, 3}};
  m.gid_mappings = {{4, 5, 6}};
  m.recursive_read_only = true;
  m.image = c.image;
  m.image_sub_path = "sub";
  m.mount_options = {"noexec"};
  c.mounts = {m, Mount{}};
  c.devices = {{"/dev/a", "/dev/b", "rwm"}};
  c.labels = {{"l", "1"}};
  c.annotations = {{"an", "2"}};
  c.log_path = "nginx/7.log";
  c.stdin_open = c.stdin_once = c.tty = true;
  c.cdi_devices = {"vendor/x=1"};
  c.stop_signal = 3;
  c.resources = FullResources();
  c.oom_score_adj = -997;
  c.add_capabilities = {"NET_ADMIN"};
  c.drop_capabilities = {"ALL"};
  c.add_ambient_capabilities = {"CHOWN"};
  c.privileged = true;
  c.namespaces = FullNamespaces();
  c.selinux = SelinuxOptions{"u", "r", "t", "l"};
  c.run_as_user = 0;
  c.run_as_group = 0;
  c.run_as_username = "www";
  c.readonly_rootfs = true;
  c.supplemental_groups = {10};
  c.strict_supplemental_groups = true;
  c.no_new_privs = true;
  c.masked_paths = {"/proc/kcore"};
  c.readonly_paths = {"/proc/sys"};
  c.seccomp = SecurityProfile{};
  c.apparmor = SecurityProfile{ProfileType::kLocalhost, "x"};
  return c;
}

PodStatus FullPodStatus() {
  PodStatus p;
  p.id = "p1";
  p.state = PodState::kReady;
  p.created_at = 1732280000123456789;
  p.runtime_handler = "runc";
  p.config = FullPod();
  p.ips = {"10.0.0.2", "fd00::2"};
  p.network_namespace = "/run/x/net";
  p.cgroup = "/kubepods/pod1";
  p.cgroup_is_ours = true;
  p.message = "why";
  return p;
}

ContainerStatus FullContainerStatus() {
  ContainerStatus c;
  c.id = "c1";
  c.pod_id = "p1";
  c.state = ContainerState::kExited;
  c.created_at = 1;
  c.started_at = 2;
  c.config = FullContainer();
  c.image_id = "sha256:1";
  c.image_ref = "r@sha256:1";
  c.log_path = "/l";
  c.stop_signal = 9;
  c.user = ResolvedUser{4294967294, 5, {5, 6}, "/home/x"};
  c.pid = 4242;
  c.cgroup = "/kubepods/pod1/c1";
  c.exit = ContainerExit{137, "OOMKilled", "out of memory: \xfe", 99};
  return c;
}

// Through text and back, with every field of the struct in the JSON.
template <typename T>
T RoundTrip(const T& value) {
  const json first = value;
  EXPECT_EQ(first.size(), CountFields<T>()) << first.dump();
  const auto back = Decode<T>(Encode(value));
  EXPECT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(json(*back), first);
  return *back;
}

TEST(CodecTest, EveryFieldOfEveryStructIsWrittenAndReadBack) {
  RoundTrip(cgroupfs::HugepageLimit{"2MB", 5});
  RoundTrip(FullResources());
  RoundTrip(IdMapping{1, 2, 3});
  RoundTrip(FullNamespaces());
  RoundTrip(SecurityProfile{ProfileType::kLocalhost, "x"});
  RoundTrip(SelinuxOptions{"u", "r", "t", "l"});
  RoundTrip(PodMetadata{"n", "u", "ns", 1});
  RoundTrip(DnsConfig{{"s"}, {"d"}, {"o"}});
  RoundTrip(PortMapping{Protocol::kUdp, 1, 2, "h"});
  RoundTrip(FullPod());
  RoundTrip(FullContainer().image);
  RoundTrip(FullContainer().mounts[0]);
  RoundTrip(Device{"a", "b", "rwm"});
  RoundTrip(EnvVar{"k", "v"});
  RoundTrip(ContainerMetadata{"n", 1});
  RoundTrip(FullContainer());
  RoundTrip(ResolvedUser{1, 2, {3}, "/h"});
  RoundTrip(FullPodStatus());
  RoundTrip(ContainerExit{1, "Error", "m", 2});
  RoundTrip(FullContainerStatus());
}

TEST(CodecTest, ValuesOfAllKindsSurvive) {
  const ContainerStatus back = RoundTrip(FullContainerStatus());
  EXPECT_EQ(back.config.envs[1].value, std::string("\xff\x00\xc3(", 4));
  EXPECT_EQ(back.config.envs[2].value, "");
  EXPECT_EQ(back.config.envs[3].value, "snow \xe2\x98\x83");
  EXPECT_EQ(back.config.command[1], "");
  EXPECT_EQ(back.config.resources.hugepage_limits[0].limit_bytes, UINT64_MAX);
  EXPECT_EQ(back.config.resources.cpu_quota_us, cgroupfs::kUnlimited);
  EXPECT_EQ(back.config.run_as_user, 0);  // set to 0 is not the same as unset
  EXPECT_EQ(back.config.seccomp->type, ProfileType::kRuntimeDefault);
  EXPECT_EQ(back.exit->message, "out of memory: \xfe");
  EXPECT_EQ(back.user->uid, 4294967294);
  EXPECT_EQ(back.state, ContainerState::kExited);
}

TEST(CodecTest, AbsentFieldsKeepTheirDefaultsAndUnknownOnesAreIgnored) {
  const auto c =
      Decode<ContainerStatus>(R"({"id":"x","from_a_newer_release":{"a":[1]},"user":null,"config":{}})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->id, "x");
  EXPECT_EQ(c->state, ContainerState::kUnknown);
  EXPECT_EQ(c->stop_signal, 15);
  EXPECT_FALSE(c->user);
  EXPECT_FALSE(c->config.seccomp);
  EXPECT_FALSE(c->config.resources.memory_limit_bytes);
}

TEST(CodecTest, EmptyValuesMakeSmallRecords) { EXPECT_EQ(Encode(SecurityProfile{}), R"({"type":0})"); }

TEST(CodecTest, ARecordOfTheWrongShapeIsDataLossWithASentence) {
  EXPECT_EQ(Decode<PodStatus>("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Decode<PodStatus>("[]").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(Decode<PodStatus>(R"({"id":7})").ok());
  EXPECT_FALSE(Decode<PodStatus>(R"({"state":9})").ok());
  EXPECT_FALSE(Decode<PodStatus>(R"({"created_at":1.5})").ok());
  EXPECT_FALSE(Decode<PodMetadata>(R"({"attempt":-1})").ok());
  EXPECT_FALSE(Decode<PodMetadata>(R"({"attempt":4294967296})").ok());
  EXPECT_FALSE(Decode<EnvVar>(R"({"value":{"base64":"*"}})").ok());
  EXPECT_FALSE(Decode<EnvVar>(R"({"value":{}})").ok());
  EXPECT_FALSE(Decode<ContainerConfig>(R"({"command":{"0":"a"}})").ok());
}

TEST(CodecTest, TextThatOnlyLooksLikeUtf8IsKeptByteForByte) {
  for (const std::string& text :
       {std::string("\xc0\xaf"), std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"),
        std::string("a\xe2\x98"), std::string("\xf0\x80\x80\x80"), std::string(1, '\0')}) {
    const auto back = Decode<EnvVar>(Encode(EnvVar{"k", text}));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->value, text);
  }
}

}  // namespace
}  // namespace berth::runtime
