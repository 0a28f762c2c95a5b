// SPDX-License-Identifier: Apache-2.0
// Golden files show whole specifications (BERTH_UPDATE_GOLDEN=1 rewrites them: read the diff); the rest takes
// one topic each.
#include "runtime/oci/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SpecTest : public ::testing::Test {
 protected:
  SpecTest() {
    host_.cgroup_controllers = {"cpu", "cpuset", "memory", "pids", "hugetlb"};
    host_.hugepage_sizes = {"2MB"};
    host_.swap_accounting = true;
    host_.capabilities = security::KnownCapabilities();
    std::erase(host_.capabilities, "CAP_SYS_RESOURCE");
    host_.oom_score_adj_floor = -500;
    host_.architecture = "amd64";
    host_.node_name = "node-1";
    handler_.name = "runc";
    handler_.spec_version = "1.0.2";
    handler_.features = {true, true};
    pod_.metadata = {"web", "uid-1", "default", 0};
    pod_.hostname = "web-0";
    container_.metadata = {"nginx", 0};
    image_.entrypoint = {"/entry"};
    image_.cmd = {"serve"};
    image_.env = {"PATH=/opt/bin:/bin", "LANG=C", "HOSTNAME=builder"};
    image_.working_dir = "/srv";
    input_.pod = &pod_;
    input_.container = &container_;
    input_.image = &image_;
    input_.host = &host_;
    input_.handler = &handler_;
    input_.namespaces.pid = NamespaceMode::kContainer;
    input_.paths = {.rootfs = "/r/rootfs",
                    .resolv_conf = "/s/resolv.conf",
                    .hostname = "/s/hostname",
                    .shm = "/s/shm",
                    .hosts = "/s/hosts",
                    .netns = "/s/ns/net",
                    .ipcns = "/s/ns/ipc",
                    .utsns = "/s/ns/uts",
                    .pidns = "",
                    .userns = ""};
    input_.user = {0, 0, {0}, "/root"};
    input_.cgroup = "/kubepods/pod1/c1";
    input_.container_id = "c1";
    input_.pod_id = "p1";
  }
  json Build() {
    auto spec = BuildSpec(input_);
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? *std::move(spec) : json::object();
  }
  void ExpectRefused(absl::StatusCode code, const std::string& words) {
    const auto spec = BuildSpec(input_);
    ASSERT_FALSE(spec.ok()) << words;
    EXPECT_EQ(spec.status().code(), code) << spec.status();
    EXPECT_THAT(spec.status().message(), HasSubstr(words));
  }
  static std::vector<std::string> Destinations(const json& spec) {
    std::vector<std::string> out;
    for (const json& mount : spec["mounts"]) out.push_back(mount["destination"]);
    return out;
  }
  static json MountAt(const json& spec, const std::string& destination) {
    for (const json& mount : spec["mounts"]) {
      if (mount["destination"] == destination) return mount;
    }
    return json();
  }
  static std::vector<std::string> NamespaceTypes(const json& spec) {
    std::vector<std::string> out;
    for (const json& ns : spec["linux"]["namespaces"])
      out.push_back(ns["type"].get<std::string>() +
                    (ns.contains("path") ? "=" + ns["path"].get<std::string>() : ""));
    return out;
  }
  void Golden(const std::string& name) {
    const json spec = Build();
    const std::string path = std::string(BERTH_TESTDATA) + "/" + name + ".json";
    if (std::getenv("BERTH_UPDATE_GOLDEN") != nullptr) {
      ASSERT_TRUE(base::WriteFile(path, spec.dump(2) + "\n", 0644).ok());
    }
    const auto text = base::ReadFile(path);
    ASSERT_TRUE(text.ok()) << text.error().Message();
    EXPECT_EQ(json::diff(json::parse(*text), spec), json::array())
        << "run with BERTH_UPDATE_GOLDEN=1 and read the diff";
  }
  static Mount Bind(const std::string& inside, const std::string& host = "/h") {
    Mount m;
    m.container_path = inside;
    m.host_path = host;
    return m;
  }

  HostFacts host_;
  Handler handler_;
  PodConfig pod_;
  ContainerConfig container_;
  image::ImageConfig image_;
  SpecInput input_;
};

// What kubelet sends for a plain container.
void AsKubelet(ContainerConfig& c) {
  c.mounts.clear();
  Mount hosts;
  hosts.container_path = "/etc/hosts";
  hosts.host_path = "/k/etc-hosts";
  Mount log;
  log.container_path = "/dev/termination-log";
  log.host_path = "/k/term";
  Mount secret;
  secret.container_path = "/var/run/secrets/x";
  secret.host_path = "/k/secret";
  secret.readonly = true;
  c.mounts = {hosts, log, secret};
  c.resources.cpu_shares = 102;
  c.resources.cpu_quota_us = 20000;
  c.resources.cpu_period_us = 100000;
  c.resources.memory_limit_bytes = 52428800;
  c.resources.memory_swap_limit_bytes = 52428800;
  c.resources.hugepage_limits = {{"2MB", 0}, {"1GB", 0}};
  c.oom_score_adj = 999;
  c.masked_paths = {"/proc/kcore", "/proc/keys"};
  c.readonly_paths = {"/proc/sys"};
  c.envs = {{"KUBERNETES_PORT", "tcp://10.0.0.1:443"}};
}

TEST_F(SpecTest, GoldenKubeletDefault) {
  AsKubelet(container_);
  container_.seccomp = SecurityProfile{};
  Golden("default");
}

TEST_F(SpecTest, GoldenPrivilegedHostNamespaces) {
  AsKubelet(container_);
  container_.privileged = true;
  container_.oom_score_adj = -997;
  input_.namespaces = {.network = NamespaceMode::kNode,
                       .pid = NamespaceMode::kNode,
                       .ipc = NamespaceMode::kNode,
                       .target_id = "",
                       .user_namespace = false,
                       .uid_mappings = {},
                       .gid_mappings = {}};
  input_.paths.netns = input_.paths.ipcns = input_.paths.utsns = input_.paths.shm = "";
  input_.devices = {{"/dev/sda", "b", 8, 0, 0660, 0, 6, "rwm"}};
  pod_.hostname = "";
  Golden("privileged");
}

TEST_F(SpecTest, GoldenUserNamespaceOnCgroupV2) {
  AsKubelet(container_);
  host_.cgroup_v2 = true;
  container_.resources.unified = {{"memory.oom.group", "1"}, {"memory.swap.max", "0"}};
  input_.namespaces.user_namespace = true;
  input_.namespaces.uid_mappings = input_.namespaces.gid_mappings = {{65536, 0, 65536}};
  input_.paths.userns = "/s/ns/user";
  for (Mount& m : container_.mounts) m.uid_mappings = m.gid_mappings = {{65536, 0, 65536}};
  container_.tty = true;
  Golden("userns");
}

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

TEST_F(SpecTest, PathsAreCleanedWithoutLeavingTheRoot) {
  EXPECT_EQ(CleanPath("a"), "/a");
  EXPECT_EQ(CleanPath("//a/./b//"), "/a/b");
  EXPECT_EQ(CleanPath("/../../x"), "/x");
  EXPECT_EQ(CleanPath(""), "/");
}

TEST_F(SpecTest, ParentsAreMountedBeforeChildrenAndEqualsKeepTheirOrder) {
  container_.mounts = {Bind("/data/a/b", "/1"), Bind("/data", "/2"), Bind("rel", "/3"), Bind("/data", "/4"),
                       Bind("/etc", "/5")};
  const json spec = Build();
  EXPECT_THAT(
      Destinations(spec),
      ElementsAre("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/data",
                  "/rel", "/data", "/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/data/a/b"));
  EXPECT_EQ(spec["mounts"][7]["source"], "/2");
  EXPECT_EQ(spec["mounts"][9]["source"], "/4");
}

TEST_F(SpecTest, WhatTheRequestMountsTakesThePlaceOfOurs) {
  container_.mounts = {Bind("/dev/", "/mydev"), Bind("/etc/hosts", "/h"), Bind("/sys/fs/cgroup", "/cg")};
  const json spec = Build();
  EXPECT_THAT(Destinations(spec), ElementsAre("/proc", "/sys", "/dev", "/etc/hostname", "/etc/resolv.conf",
                                              "/etc/hosts", "/sys/fs/cgroup"));
  EXPECT_EQ(MountAt(spec, "/etc/hosts")["source"], "/h");
  container_.mounts = {Bind("/devices", "/d")};  // a name that only begins alike
  EXPECT_THAT(Destinations(Build()), Contains("/dev/shm"));
}

TEST_F(SpecTest, MountOptionsFollowTheRequest) {
  Mount m = Bind("/m");
  container_.mounts = {m};
  EXPECT_EQ(MountAt(Build(), "/m")["options"], json({"rbind", "rprivate", "rw"}));
  EXPECT_FALSE(Build()["linux"].contains("rootfsPropagation"));
  m.readonly = m.recursive_read_only = true;
  m.mount_options = {"noexec", "nosuid", "nodev", "noexec"};
  container_.mounts = {m};
  EXPECT_EQ(MountAt(Build(), "/m")["options"],
            json({"rbind", "rprivate", "ro", "rro", "noexec", "nosuid", "nodev"}));
  Mount slave = Bind("/s"), shared = Bind("/t");
  slave.propagation = MountPropagation::kHostToContainer;
  shared.propagation = MountPropagation::kBidirectional;
  container_.mounts = {slave};
  EXPECT_EQ(Build()["linux"]["rootfsPropagation"], "rslave");
  container_.mounts = {shared, slave};
  EXPECT_EQ(Build()["linux"]["rootfsPropagation"], "rshared");
  EXPECT_EQ(MountAt(Build(), "/s")["options"][1], "rslave");
  EXPECT_EQ(MountAt(Build(), "/t")["options"][1], "rshared");
}

TEST_F(SpecTest, MountsThatCannotBeHonouredAreRefused) {
  const auto refused = [&](const Mount& m, absl::StatusCode code, const std::string& words) {
    container_.mounts = {m};
    ExpectRefused(code, words);
  };
  using absl::StatusCode;
  Mount m = Bind("/m");
  m.recursive_read_only = true;
  refused(m, StatusCode::kInvalidArgument, "'/m' is recursively read-only but not read-only");
  m.readonly = true;
  m.propagation = MountPropagation::kHostToContainer;
  refused(m, StatusCode::kInvalidArgument, "private propagation");
  m.propagation = MountPropagation::kPrivate;
  handler_.features.recursive_read_only_mounts = false;
  refused(m, StatusCode::kFailedPrecondition, "handler 'runc'");
  m = Bind("/m");
  m.mount_options = {"suid"};
  refused(m, StatusCode::kInvalidArgument, "'suid'");
  m.mount_options = {"noexec,bind"};
  refused(m, StatusCode::kInvalidArgument, "'noexec,bind'");
  refused(Bind("/"), StatusCode::kInvalidArgument, "whole root");
  refused(Bind("/a/.."), StatusCode::kInvalidArgument, "whole root");
  refused(Bind(""), StatusCode::kInvalidArgument, "no container path");
  refused(Bind("/m", ""), StatusCode::kInvalidArgument, "neither");
  refused(Bind("/m", "rel"), StatusCode::kInvalidArgument, "not absolute");
  refused(Bind("/m", "/\xff"), StatusCode::kInvalidArgument, "UTF-8");
  m = Bind("/m", "");
  m.image = ImageSpec{"sha256:1", {}, "", "", ""};
  refused(m, StatusCode::kUnimplemented, "image volumes");
  m.host_path = "/h";
  refused(m, StatusCode::kInvalidArgument, "both an image and a host path");
  m = Bind("/m");
  m.uid_mappings = {{1, 2, 3}};
  refused(m, StatusCode::kInvalidArgument, "not both");
  m.gid_mappings = {{1, 2, 3}};
  handler_.features.user_namespaces = false;
  refused(m, StatusCode::kFailedPrecondition, "id mapping");
}

TEST_F(SpecTest, KernelFileSystemsFitTheNamespaces) {
  EXPECT_EQ(MountAt(Build(), "/sys")["type"], "sysfs");
  EXPECT_THAT(MountAt(Build(), "/sys")["options"], Contains("ro"));
  EXPECT_THAT(MountAt(Build(), "/sys/fs/cgroup")["options"], Contains("ro"));
  EXPECT_EQ(MountAt(Build(), "/dev/shm")["source"], "/s/shm");
  container_.privileged = true;
  EXPECT_THAT(MountAt(Build(), "/sys")["options"], Contains("rw"));
  EXPECT_THAT(MountAt(Build(), "/sys/fs/cgroup")["options"], Contains("rw"));
  container_.privileged = false;
  input_.namespaces.network = NamespaceMode::kNode;
  input_.namespaces.user_namespace = true;
  input_.namespaces.uid_mappings = input_.namespaces.gid_mappings = {{65536, 0, 5}};
  input_.paths.userns = "/u";
  EXPECT_EQ(MountAt(Build(), "/sys")["source"], "/sys");  // a fresh sysfs would be EPERM
  EXPECT_THAT(MountAt(Build(), "/dev/pts")["options"], Not(Contains("gid=5")));  // group 5 is not mapped
  input_.namespaces.gid_mappings[0].length = 6;
  EXPECT_THAT(MountAt(Build(), "/dev/pts")["options"], Contains("gid=5"));
  input_.namespaces.ipc = NamespaceMode::kNode;
  EXPECT_EQ(MountAt(Build(), "/dev/shm")["source"], "/dev/shm");
  EXPECT_EQ(MountAt(Build(), "/dev/mqueue")["type"], "bind");
}

TEST_F(SpecTest, NamespacesAreThePodsAndNeverTheHostsByAccident) {
  EXPECT_THAT(NamespaceTypes(Build()),
              ElementsAre("mount", "network=/s/ns/net", "ipc=/s/ns/ipc", "uts=/s/ns/uts", "pid"));
  EXPECT_FALSE(Build().contains("hostname"));
  host_.cgroup_v2 = true;
  EXPECT_THAT(NamespaceTypes(Build()), Contains("cgroup"));
  container_.privileged = true;
  EXPECT_THAT(NamespaceTypes(Build()), Not(Contains("cgroup")));
  input_.namespaces.pid = NamespaceMode::kTarget;
  ExpectRefused(absl::StatusCode::kInternal, "no pid namespace");
  input_.paths.pidns = "/proc/7/ns/pid";
  EXPECT_THAT(NamespaceTypes(Build()), Contains("pid=/proc/7/ns/pid"));
  input_.namespaces.pid = NamespaceMode::kNode;
  EXPECT_THAT(NamespaceTypes(Build()),
              ElementsAre("mount", "network=/s/ns/net", "ipc=/s/ns/ipc", "uts=/s/ns/uts"));
  for (std::string* path : {&input_.paths.netns, &input_.paths.ipcns, &input_.paths.utsns}) {
    const std::string was = std::exchange(*path, "");
    ExpectRefused(absl::StatusCode::kInternal, "must not use the host's");
    *path = was;
  }
  input_.namespaces.user_namespace = true;
  input_.paths.userns = "/u";
  ExpectRefused(absl::StatusCode::kInvalidArgument, "without id mappings");
  input_.namespaces.uid_mappings = input_.namespaces.gid_mappings = {{65536, 0, 65536}};
  handler_.features.user_namespaces = false;
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "user namespace was asked for");
}

TEST_F(SpecTest, TheOomScoreIsAlwaysWrittenAndClamped) {
  EXPECT_EQ(Build()["process"]["oomScoreAdj"], 0);
  container_.oom_score_adj = -997;
  EXPECT_EQ(Build()["process"]["oomScoreAdj"], -500);
  container_.oom_score_adj = 5000;
  EXPECT_EQ(Build()["process"]["oomScoreAdj"], 1000);
  host_.oom_score_adj_floor = 300;
  container_.oom_score_adj.reset();
  EXPECT_EQ(Build()["process"]["oomScoreAdj"], 300);
}

TEST_F(SpecTest, LimitsAreWrittenOnlyWhereTheyMeanSomething) {
  EXPECT_EQ(Build()["linux"]["resources"], json::parse(R"({"devices":[{"allow":false,"access":"rwm"}]})"));
  auto& r = container_.resources;
  r = {0, 0, 0, 0, 0, 0, "", "", {{"2MB", 0}, {"1GB", 0}}, {}};
  EXPECT_EQ(Build()["linux"]["resources"]["hugepageLimits"],
            json::parse(R"([{"pageSize":"2MB","limit":0}])"));
  EXPECT_FALSE(Build()["linux"]["resources"].contains("memory"));
  EXPECT_FALSE(Build()["linux"]["resources"].contains("cpu"));
  r = {2, -1, 100000, 1 << 20, 2 << 20, 7, "0-1", "0", {}, {}};
  const json out = Build()["linux"]["resources"];
  EXPECT_EQ(out["cpu"], json::parse(R"({"shares":2,"quota":-1,"period":100000,"cpus":"0-1","mems":"0"})"));
  EXPECT_EQ(out["memory"], json::parse(R"({"limit":1048576,"swap":2097152})"));
  EXPECT_EQ(out["pids"]["limit"], 7);
  host_.swap_accounting = false;
  EXPECT_FALSE(Build()["linux"]["resources"]["memory"].contains("swap"));
}

TEST_F(SpecTest, ALimitThatTheHostCannotKeepIsRefused) {
  auto& r = container_.resources;
  r.hugepage_limits = {{"1GB", 5}};
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "huge pages of 1GB");
  r = {};
  r.unified = {{"memory.oom.group", "1"}};
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "cgroup v2");
  host_.cgroup_v2 = true;
  for (const char* bad : {"../memory.max", "cgroup.procs", "memory", "a/b.c", ".x", "memory..max"}) {
    r.unified = {{bad, "1"}};
    ExpectRefused(absl::StatusCode::kInvalidArgument, "no cgroup setting");
  }
  r = {};
  r.memory_limit_bytes = 100;
  r.memory_swap_limit_bytes = 50;
  ExpectRefused(absl::StatusCode::kInvalidArgument, "below the memory limit");
  host_.cgroup_controllers = {};
  r.memory_swap_limit_bytes.reset();
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "'memory'");
  r = {};
  r.pids_limit = 5;
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "'pids'");
  r = {};
  r.cpu_quota_us = 5000;
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "'cpu'");
  r = {};
  r.cpu_shares = 2;
  EXPECT_FALSE(Build()["linux"]["resources"].contains("cpu"));
}

TEST_F(SpecTest, MaskedPathsAreLiteralAndDroppedWhenPrivileged) {
  EXPECT_FALSE(Build()["linux"].contains("maskedPaths"));
  container_.masked_paths = {"/proc/kcore"};
  container_.readonly_paths = {"/proc/sys"};
  EXPECT_EQ(Build()["linux"]["maskedPaths"], json({"/proc/kcore"}));
  EXPECT_EQ(Build()["linux"]["readonlyPaths"], json({"/proc/sys"}));
  container_.privileged = true;
  EXPECT_FALSE(Build()["linux"].contains("maskedPaths"));
  EXPECT_FALSE(Build()["linux"].contains("readonlyPaths"));
}

TEST_F(SpecTest, SeccompIsWhatWasAskedForOrAnError) {
  EXPECT_FALSE(Build()["linux"].contains("seccomp"));
  container_.seccomp = SecurityProfile{ProfileType::kUnconfined, ""};
  EXPECT_FALSE(Build()["linux"].contains("seccomp"));
  container_.seccomp = SecurityProfile{};
  EXPECT_EQ(Build()["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
  host_.seccomp = false;
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "no seccomp");
  host_.seccomp = true;
  container_.seccomp = SecurityProfile{ProfileType::kLocalhost, "/p.json"};
  ExpectRefused(absl::StatusCode::kInternal, "'/p.json' was not read");
  input_.localhost_seccomp = json{{"defaultAction", "SCMP_ACT_FLY"}};
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                "'/p.json': seccomp profile: unknown action 'SCMP_ACT_FLY'");
  input_.localhost_seccomp = json{{"defaultAction", "SCMP_ACT_LOG"}};
  EXPECT_EQ(Build()["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_LOG");
  container_.privileged = true;
  EXPECT_FALSE(Build()["linux"].contains("seccomp"));
}

TEST_F(SpecTest, AppArmorAndSelinuxOnHostsWithAndWithout) {
  container_.apparmor = SecurityProfile{};
  container_.selinux = SelinuxOptions{"", "", "spc_t", "s0:c1,c2"};
  EXPECT_FALSE(Build()["process"].contains("apparmorProfile"));
  EXPECT_FALSE(Build()["process"].contains("selinuxLabel"));
  container_.apparmor = SecurityProfile{ProfileType::kLocalhost, "mine"};
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "'mine'");
  host_.apparmor = host_.selinux = true;
  EXPECT_EQ(Build()["process"]["apparmorProfile"], "mine");
  EXPECT_EQ(Build()["process"]["selinuxLabel"], "system_u:system_r:spc_t:s0:c1,c2");
  EXPECT_EQ(Build()["linux"]["mountLabel"], "system_u:object_r:container_file_t:s0:c1,c2");
  container_.apparmor = SecurityProfile{};
  ExpectRefused(absl::StatusCode::kUnimplemented, "no AppArmor profile of its own");
  container_.privileged = true;
  EXPECT_FALSE(Build()["process"].contains("apparmorProfile"));
}

TEST_F(SpecTest, DevicesAreListedAndAllowed) {
  input_.devices = {{"/dev/fuse", "c", 10, 229, 0100666, 0, 0, "rw"}};
  const json linux = Build()["linux"];
  EXPECT_EQ(
      linux["devices"],
      json::parse(
          R"([{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":0,"gid":0}])"));
  EXPECT_EQ(linux["resources"]["devices"][1],
            json::parse(R"({"allow":true,"type":"c","major":10,"minor":229,"access":"rw"})"));
  container_.privileged = true;
  EXPECT_EQ(Build()["linux"]["resources"]["devices"], json::parse(R"([{"allow":true,"access":"rwm"}])"));
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
