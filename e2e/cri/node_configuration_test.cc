// SPDX-License-Identifier: Apache-2.0
// What the node's configuration adds to containers: defaults, options of handlers, hooks, CDI.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// A daemon with this text at the end of its configuration; "%" is its directory.
class Configured {
 public:
  Configured(const std::string& name, std::string toml) {
    DaemonConfig config = Environment::Get().AnotherDaemon(name);
    dir_ = config.dir;
    MakeDirs(dir_);
    for (size_t at = toml.find('%'); at != std::string::npos; at = toml.find('%', at + dir_.size()))
      toml.replace(at, 1, dir_);
    config.more_toml = toml;
    daemon_ = std::make_unique<ScopedDaemon>(std::move(config));
  }
  const std::string& dir() const { return dir_; }

  // For files that must be there before the daemon starts.
  static std::string Prepare(const std::string& name, const std::string& file, const std::string& text,
                             mode_t mode = 0644) {
    std::string path = Environment::Get().AnotherDaemon(name).dir + "/" + file;
    MakeDirs(path.substr(0, path.rfind('/')));
    WriteFile(path, text, mode);
    return path;
  }

 private:
  std::string dir_;
  std::unique_ptr<ScopedDaemon> daemon_;
};

// For both handlers: whichever is the default here.
std::string ForHandlers(const std::string& lines) {
  return "[handlers.crun]\npath = \"/usr/bin/crun\"\n" + lines +
         "\n[handlers.runc]\npath = \"/usr/sbin/runc\"\n" + lines + "\n";
}

class NodeConfiguration : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
};

TEST_F(NodeConfiguration, DefaultsHoldWhereNobodySaysAnotherThing) {
  const Configured daemon("defaults", R"([defaults]
env = ["FROM_NODE=node", "PATH=/never"]
ulimits = ["nofile=777:888", "core=0"]
umask = "0027"
timezone = "Europe/Vienna"
shm_size = "1MiB"
sysctls = {"net.ipv4.ip_default_ttl" = "33", "net.ipv4.ip_local_port_range" = "1 2"}
)");
  cri::PodSandboxConfig pod_config = PodConfig();
  (*pod_config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_local_port_range"] = "20000 30000";
  const Pod pod(pod_config);
  const std::string script =
      "echo $FROM_NODE; ulimit -Sn; ulimit -Hn; ulimit -c; umask; df -k /dev/shm | tail -n 1 | awk '{print "
      "$2}'; "
      "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/ip_local_port_range; "
      "dd if=/etc/localtime bs=1 count=4 2>/dev/null; echo";
  EXPECT_EQ(OutputOf(pod, Shell(script)), "node\n777\n888\n0\n0027\n1024\n33\n20000\t30000\nTZif");
  cri::ContainerConfig config = Shell(script);
  cri::KeyValue* env = config.add_envs();
  env->set_key("FROM_NODE");
  env->set_value("pod");
  EXPECT_THAT(OutputOf(pod, config), testing::StartsWith("pod\n"));
}

TEST_F(NodeConfiguration, HooksRunWhereTheirConditionsHold) {
  const std::string name = "hooks";
  const std::string out = Configured::Prepare(name, "out", "");
  const std::string program =
      Configured::Prepare(name, "hook.sh", "#!/bin/sh\ncat > /dev/null\necho \"$1\" >> " + out + "\n", 0755);
  const auto hook = [&](const std::string& word, const std::string& when) {
    Configured::Prepare(name, "hooks.d/" + word + ".json",
                        R"({"version":"1.0.0","stages":["prestart"],"when":)" + when +
                            R"(,"hook":{"path":")" + program + R"(","args":["hook","ran-)" + word + "\"]}}");
  };
  hook("always", R"({"always":true})");
  hook("annotated", R"({"annotations":{"^example.org/hook$":"^yes$"}})");
  hook("of-pod", R"({"annotations":{"^example.org/pod$":"^yes$"}})");
  const Configured daemon(
      name, ForHandlers("hooks_dirs = [\"%/hooks.d\"]\ncontainer_annotations = [\"example.org/*\"]\n"
                        "pod_annotations = [\"example.org/pod\"]"));
  const Pod pod;
  OutputOf(pod, Shell("true"));
  EXPECT_EQ(ReadFile(out), "ran-always\n");
  cri::ContainerConfig config = Shell("true");
  (*config.mutable_annotations())["example.org/hook"] = "yes";
  OutputOf(pod, config);
  EXPECT_THAT(Lines(ReadFile(out)),
              testing::UnorderedElementsAre("ran-always", "ran-always", "ran-annotated"));
  cri::PodSandboxConfig annotated = PodConfig();
  (*annotated.mutable_annotations())["example.org/pod"] = "yes";
  (*annotated.mutable_annotations())["example.org/hook"] = "yes";  // not among those that the handler lets in
  WriteFile(out, "");
  OutputOf(Pod(annotated), Shell("true"));
  EXPECT_THAT(Lines(ReadFile(out)), testing::UnorderedElementsAre("ran-always", "ran-of-pod"));
}

TEST_F(NodeConfiguration, ABrokenHookMakesItsHandlerUnusableAndIsNamed) {
  Configured::Prepare("badhook", "hooks.d/bad.json", "{");
  const Configured daemon("badhook",
                          "[handlers.other]\npath = \"/usr/sbin/runc\"\nhooks_dirs = [\"%/hooks.d\"]\n");
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  request.set_runtime_handler("other");
  EXPECT_THAT(std::string(Cri().RunPodSandbox(request).status().message()), HasSubstr("bad.json"));
}

TEST_F(NodeConfiguration, ABaseSpecFillsAndAProfileReplacesTheDefault) {
  Configured::Prepare(
      "base", "base.json",
      R"({"process":{"env":["FROM_BASE=base"],"rlimits":[{"type":"RLIMIT_NOFILE","soft":99,"hard":99}]},
    "mounts":[{"destination":"/from-base","type":"tmpfs","source":"tmpfs","options":["size=64k"]}]})");
  Configured::Prepare(
      "base", "seccomp.json",
      R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]})");
  const Configured daemon("base",
                          ForHandlers("base_spec = \"%/base.json\"\nseccomp_profile = \"%/seccomp.json\""));
  const Pod pod;
  EXPECT_EQ(OutputOf(pod, Shell("echo $FROM_BASE; ulimit -n; grep -c ' /from-base tmpfs' /proc/mounts; "
                                "mkdir /x 2>/dev/null || echo blocked")),
            "base\n99\n1\nblocked");
}

// An OCI runtime built without libseccomp must not run unconfined what asked for a filter.
TEST_F(NodeConfiguration, AHandlerWithoutSeccompRefusesContainersThatAskForAProfile) {
  const std::string runtime =
      Configured::Prepare("noseccomp", "runtime",
                          "#!/bin/sh\nfor word; do\n"
                          "  [ \"$last\" = --bundle ] && sed -i 's/\"seccomp\":/\"x\":/' $word/config.json\n"
                          "  last=$word\ndone\nexec /usr/sbin/runc \"$@\"\n",
                          0755);
  const Configured daemon("noseccomp", "[handlers.old]\npath = \"" + runtime + "\"\n");
  cri::StatusRequest verbose;
  verbose.set_verbose(true);
  const cri::StatusResponse status = Must(Cri().Status(verbose));
  EXPECT_THAT(status.info().at("handlers"),
              HasSubstr("\"noSeccomp\":\"its container ran without the filter"));
  EXPECT_THAT(status.info().at("degradations"), HasSubstr("handler.old.seccomp"));

  cri::RunPodSandboxRequest run;
  *run.mutable_config() = PodConfig();
  run.set_runtime_handler("old");
  const std::string pod = Must(Cri().RunPodSandbox(run)).pod_sandbox_id();
  const auto create = [&](cri::SecurityProfile::ProfileType type) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    *request.mutable_config() = Server();
    *request.mutable_sandbox_config() = run.config();
    Security(request.mutable_config())->mutable_seccomp()->set_profile_type(type);
    return Cri().CreateContainer(request);
  };
  const auto refused = create(cri::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("runtime handler 'old' applies none on this node"));
  EXPECT_TRUE(create(cri::SecurityProfile::Unconfined).ok());
  cri::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod);
  Must(Cri().RemovePodSandbox(remove));
}

TEST_F(NodeConfiguration, PrivilegedMayGoWithoutTheHostsDevices) {
  const Configured daemon("nodevices",
                          ForHandlers("privileged_without_host_devices = true\nroot = \"%/oci\""));
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const Pod pod(pod_config);
  cri::ContainerConfig config = Server();
  Security(&config)->set_privileged(true);
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(container.Sh("test -e /dev/kmsg || echo none"), "none");
  EXPECT_THAT(ListDir(daemon.dir() + "/oci/" + pod.id()), testing::Not(testing::IsEmpty()))
      << "the configured root";
}

TEST_F(NodeConfiguration, CdiDevicesAreInjectedAndUnknownOnesRefused) {
  const Configured daemon("cdi", "[cdi]\ndirs = [\"%/etc-cdi\", \"%/run-cdi\"]\n");
  MakeDirs(daemon.dir() + "/lib");
  WriteFile(daemon.dir() + "/lib/driver", "driver\n");
  MakeDirs(daemon.dir() + "/run-cdi");
  // After the daemon began: drivers write these while the node runs.
  WriteFile(daemon.dir() + "/run-cdi/vendor.yaml", R"(cdiVersion: 0.6.0
kind: example.org/dev
devices:
- name: one
  containerEdits:
    env: [DEVICE=one]
    deviceNodes:
    - {path: /dev/injected, hostPath: /dev/zero}
    mounts:
    - {hostPath: )" + daemon.dir() + R"(/lib, containerPath: /opt/driver, options: [ro]}
)");
  const Pod pod;
  cri::ContainerConfig config =
      Shell("echo $DEVICE; head -c 3 /dev/injected | wc -c; cat /opt/driver/driver");
  config.add_cdi_devices()->set_name("example.org/dev=one");
  EXPECT_EQ(OutputOf(pod, config), "one\n3\ndriver");
  cri::ContainerConfig unknown = Server();
  unknown.add_cdi_devices()->set_name("example.org/dev=two");
  EXPECT_THAT(std::string(Cri().CreateContainer(CreateRequest(pod, unknown)).status().message()),
              HasSubstr("example.org/dev=two"));
}

}  // namespace
}  // namespace berth::e2e
