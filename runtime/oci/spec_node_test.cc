// SPDX-License-Identifier: Apache-2.0
// What berthd prepared for a container, and what the node's configuration says: other sources of mounts,
// volumes of the image, defaults, a handler's options.
#include "runtime/oci/spec_fixture.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;

TEST_F(SpecTest, AMountMayHaveAnotherSourceThanItsHostPath) {
  container_.mounts = {Bind("/a", "/host"), Bind("/b", "/host"), Bind("/c", "")};
  container_.mounts[2].image = ImageSpec{"sha256:1", {}, "", "", ""};
  container_.mounts[2].readonly = true;
  input_.paths.mount_sources = {"", "/mapped/1", "/image/rootfs"};
  const json spec = Build();
  EXPECT_EQ(MountAt(spec, "/a")["source"], "/host");
  EXPECT_EQ(MountAt(spec, "/b")["source"], "/mapped/1");
  EXPECT_EQ(MountAt(spec, "/c")["source"], "/image/rootfs");
  EXPECT_THAT(MountAt(spec, "/c")["options"], testing::IsSupersetOf({"ro", "nosuid", "nodev"}));
}

TEST_F(SpecTest, VolumesOfTheImageAreWritableAndLieInTheOrderOfDepth) {
  container_.readonly_rootfs = true;
  container_.mounts = {Bind("/data/deep/er")};
  input_.paths.volumes = {{"/data/deep", "/v/0"}, {"/data", "/v/1"}};
  const json spec = Build();
  EXPECT_THAT(MountAt(spec, "/data")["options"], Contains("rw"));
  std::vector<std::string> places;
  for (const json& mount : spec["mounts"]) {
    if (mount["destination"].get<std::string>().rfind("/data", 0) == 0)
      places.push_back(mount["destination"]);
  }
  EXPECT_THAT(places, ElementsAre("/data", "/data/deep", "/data/deep/er"));
}

TEST_F(SpecTest, DefaultsOfTheConfigurationAreWhatNobodyElseSays) {
  ContainerDefaults defaults;
  defaults.env = {{"LANG", "default"}, {"MORE", "default"}, {"PATH", "/never"}};
  defaults.rlimits = {{"RLIMIT_NOFILE", 5, 6}};
  defaults.umask = 027;
  defaults.timezone_file = "/usr/share/zoneinfo/UTC";
  input_.defaults = &defaults;
  json spec = Build();
  EXPECT_THAT(spec["process"]["env"],
              testing::IsSupersetOf({"LANG=C", "MORE=default", "PATH=/opt/bin:/bin"}));
  EXPECT_EQ(spec["process"]["rlimits"],
            (json::array({{{"type", "RLIMIT_NOFILE"}, {"soft", 5}, {"hard", 6}}})));
  // What berthd was started with counts only where nobody says another thing.
  host_.descriptors = Rlimit{"RLIMIT_NOFILE", 7, 8};
  EXPECT_EQ(Build()["process"]["rlimits"], spec["process"]["rlimits"]);
  defaults.rlimits = {{"RLIMIT_CORE", 0, 0}};
  EXPECT_EQ(Build()["process"]["rlimits"],
            (json::array({{{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}},
                          {{"type", "RLIMIT_NOFILE"}, {"soft", 7}, {"hard", 8}}})));
  EXPECT_EQ(spec["process"]["user"]["umask"], 027);
  EXPECT_EQ(MountAt(spec, "/etc/localtime")["source"], "/usr/share/zoneinfo/UTC");
  container_.mounts = {Bind("/etc/localtime", "/mine")};
  spec = Build();
  EXPECT_EQ(MountAt(spec, "/etc/localtime")["source"], "/mine");
}

TEST_F(SpecTest, AHandlersConfigurationShapesTheSpecification) {
  pod_.annotations = {{"example.org/pod", "1"}, {"other", "2"}};
  container_.annotations = {{"example.org/container", "3"}};
  handler_.config.pod_annotations = {"example.org/*"};
  handler_.config.container_annotations = {"example.org/*"};
  handler_.base_spec = {{"annotations", {{"base", "4"}}},
                        {"linux", {{"seccomp", {{"defaultAction", "SCMP_ACT_ALLOW"}}}}}};
  handler_.seccomp_profile = {{"defaultAction", "SCMP_ACT_LOG"}};
  container_.seccomp = SecurityProfile{};
  const json spec = Build();
  EXPECT_EQ(spec["annotations"]["example.org/pod"], "1");
  EXPECT_EQ(spec["annotations"]["example.org/container"], "3");
  EXPECT_EQ(spec["annotations"]["base"], "4");
  EXPECT_FALSE(spec["annotations"].contains("other"));
  EXPECT_EQ(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_LOG");
  container_.privileged = true;
  EXPECT_EQ(Build()["linux"]["resources"]["devices"][0]["allow"], true);
  handler_.config.privileged_without_host_devices = true;
  EXPECT_EQ(Build()["linux"]["resources"]["devices"][0]["allow"], false);
}

}  // namespace
}  // namespace berth::runtime::oci
