// SPDX-License-Identifier: Apache-2.0
// Asks the kernel and the OCI runtimes of this host. Without root or without any runtime it is skipped, with
// the reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/files.h"
#include "cgroupfs/testing/delegated.h"
#include "runtime/oci/handler.h"
#include "runtime/oci/host_facts.h"
#include "runtime/oci/probe.h"

namespace berth::runtime::oci {
namespace {

using ::testing::HasSubstr;

HandlerConfig At(const std::string& name, const std::string& path) {
  HandlerConfig config;
  config.name = name;
  config.path = path;
  return config;
}

class HandlerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/tmp/berth-test-oci-probe-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    auto host = cgroupfs::Host::Detect();
    ASSERT_TRUE(host.ok()) << host.error().Message();
    host_ = *host;
    options_.work_dir = dir_ + "/work";
    options_.cgroup_root = cgroupfs::DelegatedCgroup();
    options_.probe_program = BERTH_TEST_PROBE;
    options_.cache_file = dir_ + "/probes.json";
    options_.cgroups = host_.get();
    for (const auto& [name_of, path] :
         {std::pair{"crun", "/usr/bin/crun"}, std::pair{"runc", "/usr/sbin/runc"}}) {
      if (access(path, X_OK) != 0) continue;
      options_.handlers.push_back(At(name_of, path));
      options_.default_order.push_back(name_of);
    }
    if (options_.handlers.empty()) GTEST_SKIP() << "neither crun nor runc is installed";
  }
  void TearDown() override {
    if (!dir_.empty()) {
      EXPECT_TRUE(base::RemoveTree(dir_).ok());
    }
  }
  std::shared_ptr<const Handlers> Probe() {
    auto handlers = Handlers::Probe(options_);
    EXPECT_TRUE(handlers.ok()) << handlers.status();
    return handlers.ok() ? *handlers : std::make_shared<const Handlers>();
  }
  // Executable script that stands in for a runtime.
  std::string Script(const std::string& name, const std::string& text) {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << text;
    chmod(path.c_str(), 0755);
    return path;
  }
  std::string dir_;
  std::shared_ptr<const cgroupfs::Host> host_;
  ProbeOptions options_;
};

TEST_F(HandlerTest, TheInstalledRuntimesWorkAndLeaveNothingBehind) {
  const auto handlers = Probe();
  for (const Handler& handler : handlers->all()) {
    EXPECT_TRUE(handler.usable) << handler.name << ": " << handler.why_not;
    EXPECT_THAT(handler.version, HasSubstr(handler.name));
    EXPECT_FALSE(handler.spec_version.empty());
    EXPECT_EQ(handler.features.seccomp, KernelHasSeccomp()) << handler.features.no_seccomp;
    RecordProperty(handler.name + "_rro", handler.features.recursive_read_only_mounts);
    RecordProperty(handler.name + "_userns", handler.features.user_namespaces);
    printf("%s: %s hide='%s' rro=%d userns=%d\n", handler.name.c_str(), handler.version.c_str(),
           handler.hide_mount.c_str(), handler.features.recursive_read_only_mounts,
           handler.features.user_namespaces);
  }
  ASSERT_NE(handlers->Default(), nullptr);
  EXPECT_EQ(handlers->Find(""), handlers->Default());
  EXPECT_EQ(handlers->Find("no-such"), nullptr);
  const auto left = base::ListDir(options_.work_dir);
  ASSERT_TRUE(left.ok());
  EXPECT_TRUE(left->empty()) << (*left)[0];
}

TEST_F(HandlerTest, AHybridHostsTreeIsHiddenFromCrunOnlyWhereItMustBe) {
  const auto handlers = Probe();
  for (const Handler& handler : handlers->all()) {
    if (handler.name != "crun") {
      EXPECT_EQ(handler.hide_mount, "");
    }
    if (!handler.hide_mount.empty()) {
      EXPECT_EQ(handler.hide_mount, host_->UnifiedMountToHide());
    }
  }
}

TEST_F(HandlerTest, OneThatDoesNotWorkSaysWhyAndTheNextIsTheDefault) {
  options_.handlers.insert(
      options_.handlers.begin(),
      {At("missing", dir_ + "/none"),
       At("broken",
          Script(
              "broken",
              "[ \"$1\" = --version ] && exit 0\necho 'time=\"x\" msg=\"no such feature\"' >&2\nexit 1\n")),
       At("mute", "/bin/false")});
  options_.default_order = {"missing", "broken", "mute", options_.handlers.back().name};
  const auto handlers = Probe();
  EXPECT_FALSE(handlers->Find("missing")->usable);
  EXPECT_THAT(handlers->Find("missing")->why_not, HasSubstr("No such file"));
  EXPECT_THAT(handlers->Find("broken")->why_not, HasSubstr("create: no such feature"));
  EXPECT_FALSE(handlers->Find("mute")->usable);
  ASSERT_NE(handlers->Default(), nullptr);
  EXPECT_EQ(handlers->Default()->name, options_.handlers.back().name);
}

// As an OCI runtime built without libseccomp: crun ignores the filter, runc refuses a container that has one.
TEST_F(HandlerTest, ARuntimeThatDropsOrRefusesFiltersWorksButDoesNotPassForOneThatHasThem) {
  if (!KernelHasSeccomp()) GTEST_SKIP() << "this kernel has no seccomp filters";
  const auto real = options_.handlers;
  const auto wrapper = [&](const HandlerConfig& of, const std::string& name, const std::string& then) {
    return At(name,
              Script(name,
                     "for word; do [ \"$last\" = --bundle ] && config=$word/config.json; last=$word; done\n"
                     "if [ -n \"$config\" ]; then " +
                         then + "; fi\nexec " + of.path + " \"$@\"\n"));
  };
  for (const HandlerConfig& config : real) {
    options_.handlers = {
        wrapper(config, config.name + "-drops", "sed -i 's/\"seccomp\":/\"x\":/' $config"),
        wrapper(config, config.name + "-refuses",
                "grep -q '\"seccomp\":' $config && { echo seccomp not supported >&2; exit 1; }"),
        config};
    options_.default_order = {config.name + "-drops", config.name + "-refuses"};
    for (int start = 0; start < 2; ++start) {  // the second has a cache
      const auto handlers = Probe();
      const Handler* drops = handlers->Find(config.name + "-drops");
      EXPECT_TRUE(drops->usable) << drops->why_not;
      EXPECT_FALSE(drops->features.seccomp);
      EXPECT_THAT(drops->features.no_seccomp, HasSubstr("ran without the filter"));
      const Handler* refuses = handlers->Find(config.name + "-refuses");
      EXPECT_TRUE(refuses->usable) << refuses->why_not;
      EXPECT_FALSE(refuses->features.seccomp);
      EXPECT_THAT(refuses->features.no_seccomp, HasSubstr("create: seccomp not supported"));
      EXPECT_EQ(handlers->Default(), drops) << "better than none";
      const Handler* whole = handlers->Find(config.name);
      EXPECT_TRUE(whole->features.seccomp) << whole->features.no_seccomp;
      EXPECT_EQ(drops->features.user_namespaces, whole->features.user_namespaces);
      EXPECT_EQ(refuses->features.recursive_read_only_mounts, whole->features.recursive_read_only_mounts);
    }
    options_.default_order.push_back(config.name);
    EXPECT_EQ(Probe()->Default()->name, config.name) << "one with filters is preferred";
  }
}

TEST_F(HandlerTest, AProgramThatFailsInTheContainerIsSeen) {
  options_.probe_program = Script("seven", "exit 7\n");  // no shell in the empty root: exec fails
  const auto handlers = Probe();
  for (const Handler& handler : handlers->all()) {
    EXPECT_FALSE(handler.usable) << handler.name;
    EXPECT_FALSE(handler.why_not.empty());
  }
}

TEST_F(HandlerTest, AProgramThatNeverRanIsSeenAlsoWhereNobodyTellsHowItEnded) {
  // Ends well and says nothing, as an exec that failed looks after somebody else reaped it (before
  // Linux 6.15).
  options_.probe_program = "/bin/true";
  const auto handlers = Probe();
  for (const Handler& handler : handlers->all()) {
    EXPECT_FALSE(handler.usable) << handler.name;
    EXPECT_THAT(handler.why_not, HasSubstr("without having run its program"));
  }
}

TEST_F(HandlerTest, ADynamicProgramRunsWithTheHostsLibraries) {
  options_.probe_program = BERTH_TEST_PROBE_DYNAMIC;  // sanitizer builds of berth-monitor are such
  const auto handlers = Probe();
  for (const Handler& handler : handlers->all())
    EXPECT_TRUE(handler.usable) << handler.name << ": " << handler.why_not;
}

TEST_F(HandlerTest, ResultsAreKeptForThisBootAndThisBinary) {
  const auto first = Probe();
  const std::string name = options_.handlers[0].name;
  // With the cache even a program that cannot run any more is not tried...
  auto options = options_;
  const auto again = Handlers::Probe(options);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->Find(name)->version, first->Find(name)->version);
  EXPECT_EQ((*again)->Find(name)->features.seccomp, KernelHasSeccomp());
  EXPECT_EQ((*again)->Find(name)->features.user_namespaces, first->Find(name)->features.user_namespaces);
  // ...and a changed binary is.
  const std::string path = Script("runtime", "exit 1\n");
  options.handlers = {At(name, path)};
  options.default_order = {};
  const auto changed = Handlers::Probe(options);
  ASSERT_TRUE(changed.ok());
  EXPECT_FALSE((*changed)->Find(name)->usable);
  // A spoilt cache is no obstacle.
  ASSERT_TRUE(base::WriteFile(options_.cache_file, "{\"" + name + "\": 7, \"x\"").ok());
  EXPECT_TRUE(Probe()->Find(name)->usable);
}

TEST_F(HandlerTest, ADefaultThatIsNotConfiguredIsAConfigurationError) {
  options_.default_order = {"kata"};
  const auto handlers = Handlers::Probe(options_);
  EXPECT_EQ(handlers.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(handlers.status().message(), HasSubstr("'kata'"));
}

TEST_F(HandlerTest, FactsOfThisHostArePlausible) {
  const HostFacts facts = GatherHostFacts(*host_);
  EXPECT_FALSE(facts.architecture.empty());
  EXPECT_FALSE(facts.node_name.empty());
  EXPECT_THAT(facts.cgroup_controllers, ::testing::IsSupersetOf({"cpu", "memory", "pids"}));
  EXPECT_THAT(facts.capabilities, ::testing::Contains("CAP_CHOWN"));
  EXPECT_GE(facts.oom_score_adj_floor, -1000);
  EXPECT_LE(facts.oom_score_adj_floor, 1000);
}

TEST(HostFactsTest, CapabilityMasksAreReadByNumber) {
  EXPECT_THAT(CapabilityNames("0000000000000021"), ::testing::ElementsAre("CAP_CHOWN", "CAP_KILL"));
  EXPECT_THAT(CapabilityNames("000001fffeffffff"), ::testing::Not(::testing::Contains("CAP_SYS_RESOURCE")));
  EXPECT_EQ(CapabilityNames("000001fffeffffff").size(), 40u);
  EXPECT_TRUE(CapabilityNames("nonsense").empty());
}

TEST(ProbeTest, StaticAndDynamicProgramsAreToldApart) {
  EXPECT_TRUE(NeedsInterpreter("/bin/sh"));
  EXPECT_FALSE(NeedsInterpreter("/etc/passwd"));
  EXPECT_FALSE(NeedsInterpreter("/nonexistent"));
}

}  // namespace
}  // namespace berth::runtime::oci
