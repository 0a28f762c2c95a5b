// SPDX-License-Identifier: Apache-2.0
// A request, an image and a host from which a specification is built, for tests to change.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/oci/spec.h"
#include "runtime/security/capabilities.h"

namespace berth::runtime::oci {

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
    handler_.features = {.seccomp = true,
                         .no_seccomp = "",
                         .recursive_read_only_mounts = true,
                         .user_namespaces = true,
                         .no_user_namespaces = ""};
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
                    .mount_sources = {},
                    .volumes = {},
                    .userns = ""};
    input_.user = {0, 0, {0}, "/root"};
    input_.cgroup = "/kubepods/pod1/c1";
    input_.container_id = "c1";
    input_.pod_id = "p1";
  }
  nlohmann::json Build() {
    auto spec = BuildSpec(input_);
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? *std::move(spec) : nlohmann::json::object();
  }
  void ExpectRefused(absl::StatusCode code, const std::string& words) {
    const auto spec = BuildSpec(input_);
    ASSERT_FALSE(spec.ok()) << words;
    EXPECT_EQ(spec.status().code(), code) << spec.status();
    EXPECT_THAT(spec.status().message(), ::testing::HasSubstr(words));
  }
  static std::vector<std::string> Destinations(const nlohmann::json& spec) {
    std::vector<std::string> out;
    for (const nlohmann::json& mount : spec["mounts"]) out.push_back(mount["destination"]);
    return out;
  }
  static nlohmann::json MountAt(const nlohmann::json& spec, const std::string& destination) {
    for (const nlohmann::json& mount : spec["mounts"]) {
      if (mount["destination"] == destination) return mount;
    }
    return nlohmann::json();
  }
  static std::vector<std::string> NamespaceTypes(const nlohmann::json& spec) {
    std::vector<std::string> out;
    for (const nlohmann::json& ns : spec["linux"]["namespaces"])
      out.push_back(ns["type"].get<std::string>() +
                    (ns.contains("path") ? "=" + ns["path"].get<std::string>() : ""));
    return out;
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

}  // namespace berth::runtime::oci
