// SPDX-License-Identifier: Apache-2.0
// Golden files show whole specifications (BERTH_UPDATE_GOLDEN=1 rewrites them: read the diff).
#include <cstdlib>

#include "base/files.h"
#include "runtime/oci/spec_fixture.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

class SpecGoldenTest : public SpecTest {
 protected:
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

TEST_F(SpecGoldenTest, GoldenKubeletDefault) {
  AsKubelet(container_);
  container_.seccomp = SecurityProfile{};
  Golden("default");
}

TEST_F(SpecGoldenTest, GoldenPrivilegedHostNamespaces) {
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

TEST_F(SpecGoldenTest, GoldenUserNamespaceOnCgroupV2) {
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

}  // namespace
}  // namespace berth::runtime::oci
