// SPDX-License-Identifier: Apache-2.0
// Bad input: each refusal is a status with a sentence, and the next attempt with the same names works.
#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(Refusals, UnknownIdsAreNotFoundWhereTheContractSaysSo) {
  const std::string id = "feedfacefeedface";
  const auto not_found = absl::StatusCode::kNotFound;
  EXPECT_EQ(Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(id)).status().code(), not_found);
  EXPECT_EQ(Cri().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(id)).status().code(), not_found);
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(id)).ok());
  EXPECT_FALSE(Cri().UpdateContainerResources(WithContainer<cri::UpdateContainerResourcesRequest>(id)).ok());
  const Pod pod;
  cri::CreateContainerRequest request = CreateRequest(pod, Server());
  request.set_pod_sandbox_id(id);
  EXPECT_FALSE(Cri().CreateContainer(request).ok());
}

TEST(Refusals, EmptyRequestsNameWhatIsMissing) {
  EXPECT_FALSE(Cri().RunPodSandbox({}).ok());
  EXPECT_FALSE(Cri().CreateContainer({}).ok());
  EXPECT_FALSE(Cri().PodSandboxStatus({}).ok());
  EXPECT_FALSE(Cri().ContainerStatus({}).ok());
  if (OwnDaemon()) {
    EXPECT_EQ(Cri().RunPodSandbox({}).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(Cri().RunPodSandbox({}).status()), HasSubstr("metadata"));
  }
}

TEST(Refusals, APodWithoutMetadataOrName) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  request.mutable_config()->clear_metadata();
  EXPECT_FALSE(Cri().RunPodSandbox(request).ok());
  if (OwnDaemon()) {
    *request.mutable_config() = PodConfig();
    request.mutable_config()->mutable_metadata()->clear_name();
    EXPECT_FALSE(Cri().RunPodSandbox(request).ok());
  }
}

TEST(Refusals, AContainerWithoutMetadataOrImage) {
  const Pod pod;
  cri::ContainerConfig config = Server();
  config.clear_metadata();
  EXPECT_FALSE(Cri().CreateContainer(CreateRequest(pod, config)).ok());
  config = Server();
  config.clear_image();
  EXPECT_FALSE(Cri().CreateContainer(CreateRequest(pod, config)).ok());
}

TEST(Refusals, AnUnknownHandlerIsNamed) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  request.set_runtime_handler("no-such-handler");
  const absl::Status status = Cri().RunPodSandbox(request).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr("no-such-handler"));
}

TEST(Refusals, AnImageThatIsNotThereIsNamedAndTheNameStaysFree) {
  const Pod pod;
  cri::ContainerConfig config = Server();
  const std::string good = config.image().image();
  config.mutable_image()->set_image("sha256:" + std::string(64, 'a'));
  const absl::Status status = Cri().CreateContainer(CreateRequest(pod, config)).status();
  ASSERT_FALSE(status.ok());
  config.mutable_image()->set_image(good);
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
}

TEST(Refusals, ACommandThatDoesNotExistFailsStartAndLeavesAnExitedRecord) {
  const Pod pod;
  const Container container(pod, Command({"/no/such/program"}));
  const absl::Status status =
      Cri().StartContainer(WithContainer<cri::StartContainerRequest>(container.id())).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr("/no/such/program"));
  const cri::ContainerStatus after = container.Status();
  EXPECT_EQ(after.state(), cri::CONTAINER_EXITED);
  EXPECT_GT(after.finished_at(), 0);
  EXPECT_THAT(after.exit_code(), AnyOf(127, 128));
  if (OwnDaemon()) {
    EXPECT_EQ(after.exit_code(), 127);
    EXPECT_EQ(after.reason(), "StartError");
  }
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST(Refusals, ANameThatIsNowhereInPathFailsTheSameWay) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container(pod, Command({"nosuchprogram"}));
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(container.id())).ok());
  EXPECT_EQ(container.Status().exit_code(), 127);
  EXPECT_EQ(container.Status().reason(), "StartError");
}

TEST(Refusals, AFileThatIsNotExecutableIs126) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  for (const char* path : {"/etc/passwd", "/etc"}) {
    const Container container(pod, Command({path}));
    const absl::Status status =
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(container.id())).status();
    ASSERT_FALSE(status.ok()) << path;
    EXPECT_EQ(container.Status().exit_code(), 126) << path << ": " << status;
    EXPECT_EQ(container.Status().reason(), "StartError");
    EXPECT_GT(container.Status().finished_at(), 0);
  }
}

TEST(Refusals, AWorkingDirectoryThatIsAFileFailsStart) {
  const Pod pod;
  cri::ContainerConfig config = Command({"true"});
  config.set_working_dir("/etc/passwd");
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  if (!created.ok()) return;  // refused even earlier
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).ok());
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
}

TEST(Refusals, ALimitTooSmallToStartSaysTheLimitAndWhatStartingNeeds) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const auto created = Cri().CreateContainer(CreateRequest(pod, WithMemory(Server(), 32 * 1024)));
  absl::Status status = created.status();
  if (created.ok()) {
    status =
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
    const cri::ContainerStatus after =
        Must(Cri().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(created->container_id())))
            .status();
    EXPECT_EQ(after.state(), cri::CONTAINER_EXITED);
    EXPECT_GT(after.finished_at(), 0);
    Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  }
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr("limit"));
  EXPECT_THAT(Message(status), HasSubstr("iB")) << "with its number and unit";
}

TEST(Refusals, AnUnwritableLogDirectoryFailsTheStartAndNamesTheFile) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = Server();
  config.set_log_path("is-a-directory/0.log");
  MakeDirs(pod.config().log_directory() +
           "/is-a-directory/0.log");  // a directory stands where the log belongs
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  absl::Status status = created.status();
  if (created.ok()) {
    status =
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
    Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  }
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr("is-a-directory/0.log"));
}

TEST(Refusals, BadSysctlsNamesAndHostnames) {
  BERTH_NEEDS_OWN_DAEMON();
  // Words of the answer; of no pod, if none was refused.
  const auto refusal = [](const std::function<void(cri::PodSandboxConfig*)>& edit) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = PodConfig();
    edit(request.mutable_config());
    const auto reply = Cri().RunPodSandbox(request);
    if (reply.ok()) {
      static_cast<void>(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(reply->pod_sandbox_id())));
      static_cast<void>(
          Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(reply->pod_sandbox_id())));
    }
    return reply.ok() ? "" : Message(reply.status());
  };
  const auto sysctl = [&](const std::string& name,
                          const std::function<void(cri::NamespaceOption*)>& share = nullptr) {
    return refusal([&](cri::PodSandboxConfig* c) {
      (*c->mutable_linux()->mutable_sysctls())[name] = "8192";
      if (share != nullptr) share(Namespaces(c));
      if (Namespaces(c)->network() == cri::NODE) c->clear_hostname();
    });
  };
  EXPECT_THAT(sysctl("kernel.panic"), HasSubstr("'kernel.panic' is not kept per pod"));
  EXPECT_THAT(sysctl("../../etc/passwd"), HasSubstr("'../../etc/passwd' is malformed"));
  EXPECT_THAT(sysctl("net.ipv4.no_such_file"), HasSubstr("'net.ipv4.no_such_file'"));
  EXPECT_THAT(sysctl("net.ipv4.ip_forward", [](auto* n) { n->set_network(cri::NODE); }),
              HasSubstr("'net.ipv4.ip_forward' cannot be set in a pod that uses the host's network"));
  EXPECT_THAT(sysctl("kernel.msgmax", [](auto* n) { n->set_ipc(cri::NODE); }),
              HasSubstr("'kernel.msgmax' cannot be set in a pod that uses the host's IPC"));
  EXPECT_THAT(refusal([](auto* c) { c->set_hostname(std::string(65, 'h')); }), HasSubstr("65 bytes"));
  EXPECT_THAT(refusal([](auto* c) { c->set_hostname("two\nlines"); }),
              HasSubstr("'two\\nlines' has other characters"));
  EXPECT_THAT(refusal([](auto* c) { c->mutable_linux()->set_cgroup_parent("/../../etc"); }),
              HasSubstr("/../../etc"));
}

TEST(Refusals, NamespaceModesThatNoPodOrContainerCanHave) {
  BERTH_NEEDS_OWN_DAEMON();
  const auto code = [](const std::function<void(cri::NamespaceOption*)>& edit) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = PodConfig();
    edit(Namespaces(request.mutable_config()));
    return Cri().RunPodSandbox(request).status().code();
  };
  for (const cri::NamespaceMode mode : {cri::CONTAINER, cri::TARGET}) {
    EXPECT_EQ(code([&](auto* n) { n->set_network(mode); }), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([&](auto* n) { n->set_ipc(mode); }), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(code([](auto* n) { n->set_pid(cri::TARGET); }), absl::StatusCode::kInvalidArgument);
  const Pod pod;
  cri::ContainerConfig config = Server();
  Security(&config)->mutable_namespace_options()->set_pid(cri::TARGET);
  EXPECT_FALSE(Cri().CreateContainer(CreateRequest(pod, config)).ok()) << "no target is named";
  Security(&config)->mutable_namespace_options()->set_target_id("0123456789abcdef");
  EXPECT_THAT(std::string(Cri().CreateContainer(CreateRequest(pod, config)).status().message()),
              HasSubstr("0123456789abcdef"));
}

TEST(Refusals, UserNamespaceModesThatCritestWantsRefused) {
  BERTH_NEEDS_OWN_DAEMON();
  for (const cri::NamespaceMode mode : {cri::CONTAINER, cri::TARGET}) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = PodConfig();
    Namespaces(request.mutable_config())->mutable_userns_options()->set_mode(mode);
    EXPECT_FALSE(Cri().RunPodSandbox(request).ok());
  }
  struct {
    uint32_t host, container, length;
    int count;
  } const bad[] = {
      {1000000, 0, 65536, 2}, {1000000, 1, 65536, 1}, {1000000, 0, 0, 1}, {4294967290U, 0, 65536, 1}};
  for (const auto& mapping : bad) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = PodConfig();
    cri::UserNamespace* user = Namespaces(request.mutable_config())->mutable_userns_options();
    user->set_mode(cri::POD);
    for (int i = 0; i < mapping.count; ++i) {
      for (cri::IDMapping* one : {user->add_uids(), user->add_gids()}) {
        one->set_host_id(mapping.host);
        one->set_container_id(mapping.container);
        one->set_length(mapping.length);
      }
    }
    EXPECT_EQ(Cri().RunPodSandbox(request).status().code(), absl::StatusCode::kInvalidArgument)
        << mapping.host << " " << mapping.container << " " << mapping.length << " " << mapping.count;
  }
}

TEST(Refusals, AFailedPodLeavesItsNameFreeAndNothingElse) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  request.set_runtime_handler("no-such-handler");
  ASSERT_FALSE(Cri().RunPodSandbox(request).ok());
  EXPECT_FALSE(MemoryCgroupExists(request.config().linux().cgroup_parent()));
  const Pod pod(request.config());
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
}

TEST(Refusals, AContainerInAStoppedPod) {
  const Pod pod;
  pod.Stop();
  const auto created = Cri().CreateContainer(CreateRequest(pod, Server()));
  absl::Status status = created.status();
  if (created.ok()) {
    status =
        Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
  }
  EXPECT_FALSE(status.ok());
}

TEST(Refusals, ALogPathThatLeadsOutOfThePodsDirectory) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = Server();
  config.set_log_path("../../../../../../tmp/berth-e2e-escaped.log");
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  if (created.ok())
    Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  EXPECT_FALSE(Exists("/tmp/berth-e2e-escaped.log"));
  EXPECT_FALSE(created.ok());
}

TEST(Refusals, MessagesNameNoInternalsAndEndWithoutNoise) {
  BERTH_NEEDS_OWN_DAEMON();
  const absl::Status status = Cri().RunPodSandbox({}).status();
  EXPECT_THAT(Message(status), Not(HasSubstr("\n")));
  EXPECT_THAT(Message(status), Not(HasSubstr("absl")));
}

}  // namespace
}  // namespace berth::e2e
