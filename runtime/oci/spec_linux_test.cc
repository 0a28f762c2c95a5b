// SPDX-License-Identifier: Apache-2.0
// Namespaces, limits and confinement.
#include "runtime/oci/spec_fixture.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

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
  handler_.features.seccomp = false;
  handler_.features.no_seccomp = "built without";
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "'runc' applies none on this node: built without");
  handler_.features.seccomp = true;
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
  host_.no_apparmor_default = "parser says no";
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "parser says no");
  container_.apparmor.reset();
  EXPECT_FALSE(Build()["process"].contains("apparmorProfile")) << "nobody asked";
  host_.apparmor_default = "berth-default";
  EXPECT_EQ(Build()["process"]["apparmorProfile"], "berth-default");
  container_.apparmor = SecurityProfile{};
  EXPECT_EQ(Build()["process"]["apparmorProfile"], "berth-default");
  container_.apparmor = SecurityProfile{ProfileType::kUnconfined, ""};
  EXPECT_FALSE(Build()["process"].contains("apparmorProfile"));
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

}  // namespace
}  // namespace berth::runtime::oci
