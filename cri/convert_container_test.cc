// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace berth::cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::ContainerConfig Minimal() {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name("main");
  config.mutable_metadata()->set_attempt(2);
  config.mutable_image()->set_image("sha256:abc");
  return config;
}

v1::LinuxContainerSecurityContext* Security(v1::ContainerConfig& config) {
  return config.mutable_linux()->mutable_security_context();
}

std::string Refusal(const v1::ContainerConfig& config) {
  const auto converted = ContainerConfigFrom(config);
  EXPECT_EQ(converted.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(converted.status().message());
}

TEST(ContainerConfigFromCri, CarriesTheProcess) {
  auto in = Minimal();
  in.add_command("/bin/sh");
  in.add_args("-c");
  in.set_working_dir("/w");
  auto* env = in.add_envs();
  env->set_key("K");
  env->set_value("\xff");
  in.set_log_path("main/2.log");
  in.set_stdin(true);
  in.set_stdin_once(true);
  in.set_tty(true);
  in.set_stop_signal(v1::SIGNAL_SIGQUIT);
  in.add_cdi_devices()->set_name("vendor.com/gpu=0");
  (*in.mutable_labels())["io.kubernetes.container.name"] = "main";
  (*in.mutable_annotations())["io.kubernetes.container.restartCount"] = "2";
  in.mutable_image()->set_user_specified_image("nginx");
  const auto out = ContainerConfigFrom(in);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->metadata.name, "main");
  EXPECT_EQ(out->metadata.attempt, 2U);
  EXPECT_EQ(out->image.image, "sha256:abc");
  EXPECT_EQ(out->image.user_specified_image, "nginx");
  EXPECT_THAT(out->command, ElementsAre("/bin/sh"));
  EXPECT_THAT(out->args, ElementsAre("-c"));
  EXPECT_EQ(out->working_dir, "/w");
  ASSERT_EQ(out->envs.size(), 1U);
  EXPECT_EQ(out->envs[0].value, "\xff") << "bytes, not text";
  EXPECT_EQ(out->log_path, "main/2.log");
  EXPECT_TRUE(out->stdin_open && out->stdin_once && out->tty);
  EXPECT_EQ(out->stop_signal, SIGQUIT);
  EXPECT_THAT(out->cdi_devices, ElementsAre("vendor.com/gpu=0"));
  EXPECT_EQ(out->labels.at("io.kubernetes.container.name"), "main");
  EXPECT_EQ(out->annotations.at("io.kubernetes.container.restartCount"), "2");
}

TEST(ContainerConfigFromCri, CarriesTheSecurityContext) {
  auto in = Minimal();
  auto* security = Security(in);
  security->mutable_capabilities()->add_add_capabilities("NET_ADMIN");
  security->mutable_capabilities()->add_drop_capabilities("ALL");
  security->mutable_capabilities()->add_add_ambient_capabilities("CHOWN");
  security->set_privileged(true);
  security->mutable_run_as_user()->set_value(0);
  security->mutable_run_as_group()->set_value(5);
  security->set_readonly_rootfs(true);
  security->add_supplemental_groups(9);
  security->set_no_new_privs(true);
  security->add_masked_paths("/proc/kcore");
  security->add_readonly_paths("/proc/sys");
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
  security->mutable_seccomp()->set_localhost_ref("/p.json");
  security->mutable_namespace_options()->set_pid(v1::TARGET);
  security->mutable_namespace_options()->set_target_id("other");
  const auto out = ContainerConfigFrom(in);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_THAT(out->add_capabilities, ElementsAre("NET_ADMIN"));
  EXPECT_THAT(out->drop_capabilities, ElementsAre("ALL"));
  EXPECT_THAT(out->add_ambient_capabilities, ElementsAre("CHOWN"));
  EXPECT_TRUE(out->privileged);
  EXPECT_EQ(out->run_as_user, 0) << "0 that was asked for is root, not absence";
  EXPECT_EQ(out->run_as_group, 5);
  EXPECT_TRUE(out->readonly_rootfs);
  EXPECT_THAT(out->supplemental_groups, ElementsAre(9));
  EXPECT_FALSE(out->strict_supplemental_groups);
  EXPECT_TRUE(out->no_new_privs);
  EXPECT_THAT(out->masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(out->readonly_paths, ElementsAre("/proc/sys"));
  EXPECT_EQ(out->seccomp->type, runtime::ProfileType::kLocalhost);
  EXPECT_EQ(out->seccomp->localhost_ref, "/p.json");
  EXPECT_EQ(out->namespaces->pid, runtime::NamespaceMode::kTarget);
  EXPECT_EQ(out->namespaces->target_id, "other");
}

// critest writes the new field with the prefix of the old one.
TEST(ContainerConfigFromCri, TheOldPrefixOfALocalhostProfileIsNotPartOfItsName) {
  auto in = Minimal();
  Security(in)->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Localhost);
  Security(in)->mutable_apparmor()->set_localhost_ref("localhost/mine");
  const auto out = ContainerConfigFrom(in);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->apparmor->localhost_ref, "mine");
  Security(in)->mutable_apparmor()->set_localhost_ref("localhost/");
  EXPECT_THAT(Refusal(in), HasSubstr("apparmor profile is Localhost, but localhost_ref is empty"));
}

TEST(ContainerConfigFromCri, WhatIsNotAskedForStaysAbsent) {
  const auto out = ContainerConfigFrom(Minimal());
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->stop_signal, std::nullopt);
  EXPECT_EQ(out->oom_score_adj, std::nullopt);
  EXPECT_EQ(out->run_as_user, std::nullopt);
  EXPECT_EQ(out->seccomp, std::nullopt) << "unconfined";
  EXPECT_EQ(out->namespaces.has_value(), false) << "the pod's";
  EXPECT_THAT(out->masked_paths, testing::IsEmpty()) << "unmasked, literally";
}

TEST(ContainerConfigFromCri, SaysWhatIsMissing) {
  EXPECT_THAT(Refusal({}), HasSubstr("metadata"));
  auto in = Minimal();
  in.mutable_metadata()->clear_name();
  EXPECT_THAT(Refusal(in), HasSubstr("metadata with a name"));
  in = Minimal();
  in.clear_image();
  EXPECT_THAT(Refusal(in), HasSubstr("no image"));
}

TEST(ContainerConfigFromCri, AGroupNeedsAUser) {
  auto in = Minimal();
  Security(in)->mutable_run_as_group()->set_value(5);
  EXPECT_THAT(Refusal(in), HasSubstr("run_as_group"));
  Security(in)->set_run_as_username("nobody");
  EXPECT_TRUE(ContainerConfigFrom(in).ok());
}

TEST(ContainerConfigFromCri, RefusesMountsThatMakeNoSense) {
  const auto with = [](const std::function<void(v1::Mount*)>& edit) {
    auto in = Minimal();
    auto* mount = in.add_mounts();
    mount->set_container_path("/c");
    mount->set_host_path("/h");
    edit(mount);
    return in;
  };
  EXPECT_THAT(Refusal(with([](auto* m) { m->clear_container_path(); })), HasSubstr("container_path"));
  EXPECT_THAT(Refusal(with([](auto* m) { m->clear_host_path(); })), HasSubstr("neither"));
  EXPECT_THAT(Refusal(with([](auto* m) { m->mutable_image()->set_image("i"); })), HasSubstr("both"));
  EXPECT_THAT(Refusal(with([](auto* m) {
                m->clear_host_path();
                m->mutable_image()->set_image("i");
              })),
              HasSubstr("read-only"));
  EXPECT_THAT(Refusal(with([](auto* m) { m->set_propagation(static_cast<v1::MountPropagation>(9)); })),
              HasSubstr("propagation"));
}

TEST(ContainerConfigFromCri, RefusesScoresSignalsAndNamesOutOfRange) {
  auto in = Minimal();
  in.mutable_linux()->mutable_resources()->set_oom_score_adj(1001);
  EXPECT_THAT(Refusal(in), HasSubstr("1001"));
  in = Minimal();
  in.set_stop_signal(static_cast<v1::Signal>(77));
  EXPECT_THAT(Refusal(in), HasSubstr("77"));
  in = Minimal();
  in.add_envs()->set_key("A=B");
  EXPECT_THAT(Refusal(in), HasSubstr("A=B"));
}

runtime::ContainerStatus Exited() {
  runtime::ContainerStatus container;
  container.id = "c1";
  container.pod_id = "p1";
  container.state = runtime::ContainerState::kExited;
  container.created_at = 10;
  container.started_at = 20;
  container.config.metadata = {"main", 2};
  container.config.image.image = "sha256:abc";
  container.config.image.user_specified_image = "nginx:1";
  container.config.resources.memory_limit_bytes = 100;
  container.config.oom_score_adj = -997;
  container.image_id = "sha256:abc";
  container.image_ref = "r/nginx@sha256:def";
  container.log_path = "/var/log/pods/x/main/2.log";
  container.stop_signal = SIGQUIT;
  container.user = runtime::ResolvedUser{1000, 1000, {7}, "/"};
  container.exit = runtime::ContainerExit{137, "OOMKilled", "out of memory: killed x", 30};
  runtime::Mount mount;
  mount.container_path = "/dev/termination-log";
  mount.host_path = "/pods/x";
  container.config.mounts.push_back(mount);
  runtime::Mount volume;
  volume.container_path = "/vol";
  volume.image = runtime::ImageSpec{"sha256:vol", {}, "", "", ""};
  volume.readonly = true;
  container.config.mounts.push_back(volume);
  return container;
}

TEST(ContainerStatusToCri, SaysHowItEnded) {
  const auto status =
      ContainerStatusMessage(Exited(), [](const std::string& id) { return "digest of " + id; });
  EXPECT_EQ(status.id(), "c1");
  EXPECT_EQ(status.metadata().attempt(), 2U);
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.created_at(), 10);
  EXPECT_EQ(status.started_at(), 20);
  EXPECT_EQ(status.finished_at(), 30);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_EQ(status.message(), "out of memory: killed x");
  EXPECT_EQ(status.log_path(), "/var/log/pods/x/main/2.log");
  EXPECT_EQ(status.stop_signal(), v1::SIGNAL_SIGQUIT);
  EXPECT_EQ(status.user().linux().uid(), 1000);
  EXPECT_THAT(status.user().linux().supplemental_groups(), ElementsAre(7));
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 100);
  EXPECT_EQ(status.resources().linux().oom_score_adj(), -997);
}

TEST(ContainerStatusToCri, NamesTheImageAsThePersonDid) {
  const auto status = ContainerStatusMessage(Exited(), [](const std::string&) { return ""; });
  EXPECT_EQ(status.image().image(), "nginx:1");
  EXPECT_EQ(status.image_id(), "sha256:abc");
  EXPECT_EQ(status.image_ref(), "r/nginx@sha256:def");
  auto container = Exited();
  container.config.image.user_specified_image.clear();
  container.image_ref.clear();
  const auto plain = ContainerItem(container);
  EXPECT_EQ(plain.image().image(), "sha256:abc");
  EXPECT_EQ(plain.image_ref(), "sha256:abc") << "never empty: kubelet refuses that";
  EXPECT_EQ(plain.pod_sandbox_id(), "p1");
}

TEST(ContainerStatusToCri, KeepsTheMountsInWhichKubeletFindsTheTerminationMessage) {
  const auto status =
      ContainerStatusMessage(Exited(), [](const std::string& id) { return "digest of " + id; });
  ASSERT_EQ(status.mounts_size(), 2);
  EXPECT_EQ(status.mounts(0).container_path(), "/dev/termination-log");
  EXPECT_EQ(status.mounts(0).host_path(), "/pods/x");
  EXPECT_FALSE(status.mounts(0).has_image());
  EXPECT_EQ(status.mounts(1).image().image(), "sha256:vol");
  EXPECT_EQ(status.mounts(1).image().image_ref(), "digest of sha256:vol");
}

TEST(ContainerStatusToCri, ARunningOneHasNoEnd) {
  auto container = Exited();
  container.state = runtime::ContainerState::kRunning;
  container.exit.reset();
  const auto status = ContainerStatusMessage(container, [](const std::string&) { return ""; });
  EXPECT_EQ(status.state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(status.finished_at(), 0);
  EXPECT_EQ(status.reason(), "");
}

}  // namespace
}  // namespace berth::cri
