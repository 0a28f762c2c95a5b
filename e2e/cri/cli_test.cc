// SPDX-License-Identifier: Apache-2.0
// berth, the operator's program, against the daemon under test: what its verbs print and how they end.
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

std::string MustBerth(const std::vector<std::string>& arguments, Here where = Here::current()) {
  const RunResult result = Berth(arguments);
  if (result.exit_code != 0) {
    throw TestError(At(where) + "berth " + arguments[0] + " ended with " + std::to_string(result.exit_code) +
                    ": " + result.output);
  }
  return result.output;
}

std::string Json(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok())
    throw TestError("cannot print " + message.GetTypeName() + " as JSON");
  return text;
}

// A pod of one container, from files, as `berth run` takes it. The pod goes with it whatever the test found.
class RunByBerth {
 public:
  explicit RunByBerth(const cri::ContainerConfig& container) : pod_(PodConfig()) {
    const std::string base = Environment::Get().dir() + "/" + pod_.metadata().name();
    files_ = {base + "-pod.json", base + "-container.json"};
    WriteFile(files_[0], Json(pod_));
    WriteFile(files_[1], Json(container));
  }
  ~RunByBerth() {
    for (const std::string& id : Pods()) {
      static_cast<void>(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(id)));
      EXPECT_TRUE(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(id)).ok());
    }
  }
  RunResult RunAndWait() const { return Berth({"run", "--wait", files_[0], files_[1]}); }
  std::vector<std::string> Pods() const {
    cri::ListPodSandboxRequest request;
    (*request.mutable_filter()->mutable_label_selector())["io.kubernetes.pod.uid"] = pod_.metadata().uid();
    std::vector<std::string> ids;
    const auto reply = Cri().ListPodSandbox(request);
    if (!reply.ok()) return ids;
    for (const cri::PodSandbox& pod : reply->items()) ids.push_back(pod.id());
    return ids;
  }

 private:
  cri::PodSandboxConfig pod_;
  std::vector<std::string> files_;
};

// The first line is the container's id.
std::string IdOf(const RunResult& ran) {
  const std::vector<std::string> lines = Lines(ran.output);
  if (lines.empty() || lines[0].size() != 64) throw TestError("no container id in: " + ran.output);
  return lines[0];
}

TEST(Runtime, TheOperatorsProgramRunsListsPrintsExplainsAndRemovesByShortId) {
  BERTH_NEEDS_OWN_DAEMON();
  const RunByBerth example(Shell("echo to stdout; echo to stderr >&2; exit 7"));
  const RunResult ran = example.RunAndWait();
  EXPECT_EQ(ran.exit_code, 7) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("Error, exit code 7"));
  const std::string id = IdOf(ran), brief = id.substr(0, 12);
  ASSERT_EQ(example.Pods().size(), 1U);
  const std::string pod = example.Pods()[0].substr(0, 12);

  EXPECT_THAT(MustBerth({"version"}), HasSubstr("CRI level 0.37.2"));
  EXPECT_THAT(MustBerth({"ps", "-a"}), ContainsRegex(brief + " .*exited +Error +7 "));
  EXPECT_THAT(MustBerth({"ps"}), Not(HasSubstr(brief))) << "it does not run";
  EXPECT_THAT(nlohmann::json::parse(MustBerth({"ps", "-a", "-o", "json"})).dump(), HasSubstr(id));
  EXPECT_THAT(MustBerth({"pods"}), ContainsRegex(pod + " .*e2e .*ready"));
  EXPECT_THAT(MustBerth({"images"}), HasSubstr(Registry::Name("busybox:1")));
  EXPECT_THAT(Lines(MustBerth({"logs", brief})), testing::UnorderedElementsAre("to stdout", "to stderr"));
  const std::string story = MustBerth({"explain", brief});
  EXPECT_THAT(story, HasSubstr("Error, exit code 7"));
  EXPECT_THAT(story, HasSubstr("stderr to stderr")) << "the last lines of its log";
  EXPECT_THAT(MustBerth({"explain", pod}), HasSubstr(brief)) << "a pod's names its containers";

  MustBerth({"rmp", pod});
  EXPECT_THAT(example.Pods(), testing::IsEmpty());
  for (const char* verb : {"logs", "explain"}) {
    const RunResult gone = Berth({verb, brief});
    EXPECT_EQ(gone.exit_code, 1) << verb;
    EXPECT_THAT(gone.output, HasSubstr("'" + brief + "'")) << verb;
  }
  EXPECT_EQ(Berth({"no-such-verb"}).exit_code, 2);
}

TEST(Runtime, TheOperatorsProgramExplainsADeathByMemory) {
  BERTH_NEEDS_OWN_DAEMON();
  const RunByBerth example(WithMemory(Faults({"eat", "8"}), 50 * kMiB));
  const RunResult ran = example.RunAndWait();
  EXPECT_EQ(ran.exit_code, 137) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("OOMKilled"));
  const std::string story = MustBerth({"explain", IdOf(ran).substr(0, 12)});
  EXPECT_THAT(story, ContainsRegex("message +out of memory: killed faults "));
  EXPECT_THAT(story,
              ContainsRegex("memory +the main process was killed for memory; victim faults, host pid"));
  EXPECT_THAT(story, ContainsRegex("evidence +the kernel's log names the process"));
  EXPECT_THAT(story, ContainsRegex("\nlimits +memory 50\\.0 MiB"));
}

TEST(Runtime, TheSocketIsRootsAloneAndTheDoctorGivesARemedyForEachComplaint) {
  BERTH_NEEDS_OWN_DAEMON();
  struct stat facts {};
  const std::string socket = Environment::Get().daemon().endpoint().substr(sizeof("unix://") - 1);
  ASSERT_EQ(::stat(socket.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  const RunResult doctor = Berth({"doctor"});
  EXPECT_THAT(doctor.exit_code, testing::AnyOf(0, 1)) << doctor.output;
  for (const char* check : {"handler.", "cgroup.version", "network.cni", "image.overlayfs", "kernel.log"}) {
    EXPECT_THAT(doctor.output, HasSubstr(check));
  }
  const std::vector<std::string> lines = Lines(doctor.output);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].rfind("warning", 0) != 0 && lines[i].rfind("FAILURE", 0) != 0) continue;
    EXPECT_THAT(i + 1 < lines.size() ? lines[i + 1] : "", HasSubstr("→")) << lines[i];
  }
}

}  // namespace
}  // namespace berth::e2e
