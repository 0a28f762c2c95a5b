// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/files.h"

namespace berth::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Loaded {
  Config config;
  Problems problems;
};

Loaded Apply(const std::string& text) {
  Loaded loaded;
  ApplyToml(text, "c.toml", &loaded.config, &loaded.problems);
  return loaded;
}

// A directory with a config.toml and a conf.d, removed afterwards.
class ConfigFiles : public testing::Test {
 protected:
  ConfigFiles() {
    char name[] = "/tmp/berth-test-config-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~ConfigFiles() override { static_cast<void>(base::RemoveTree(dir_)); }
  void Write(const std::string& name, const std::string& text) {
    static_cast<void>(base::MakeDirs(dir_ + "/conf.d"));
    ASSERT_TRUE(base::WriteFile(dir_ + "/" + name, text).ok());
  }
  Loaded Load() {
    Loaded loaded;
    loaded.config = LoadConfig(dir_ + "/config.toml", true, &loaded.problems);
    return loaded;
  }
  std::string dir_;
};

TEST(ConfigToml, ReadsEveryKeyThatIsDocumented) {
  const auto [config, problems] = Apply(R"(root = "/r"
state = "/s"
default_handlers = ["kata"]
[grpc]
socket = "/s/x.sock"
[streaming]
address = "[::1]:99"
idle_timeout = "90m"
max_sessions = 7
max_sessions_per_pod = 3
[streaming.tls]
enabled = true
certificate = "/t/c.pem"
key = "/t/k.pem"
client_ca = "/t/ca.pem"
min_version = "1.3"
ciphers = "ECDHE-RSA-AES256-GCM-SHA384"
[cgroup]
driver = "auto"
root = "/sub"
[cni]
conf_dir = "/net.d"
bin_dirs = ["/bin1", "/bin2"]
conf_template = "/t.conflist"
[registry]
config_path = "/certs"
[handlers.kata]
path = "/usr/bin/kata"
[kernel]
log = "/tmp/kmsg"
[log]
level = "debug"
format = "json"
)");
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.root, "/r");
  EXPECT_EQ(config.state, "/s");
  EXPECT_THAT(config.default_handlers, ElementsAre("kata"));
  EXPECT_EQ(config.grpc.socket, "/s/x.sock");
  EXPECT_EQ(config.streaming.address, "[::1]:99");
  EXPECT_EQ(config.streaming.idle_timeout, "90m");
  EXPECT_EQ(config.streaming.max_sessions, 7);
  EXPECT_EQ(config.streaming.max_sessions_per_pod, 3);
  EXPECT_TRUE(config.streaming.tls.enabled);
  EXPECT_EQ(config.streaming.tls.certificate, "/t/c.pem");
  EXPECT_EQ(config.streaming.tls.key, "/t/k.pem");
  EXPECT_EQ(config.streaming.tls.client_ca, "/t/ca.pem");
  EXPECT_EQ(config.streaming.tls.min_version, "1.3");
  EXPECT_EQ(config.streaming.tls.ciphers, "ECDHE-RSA-AES256-GCM-SHA384");
  EXPECT_EQ(config.cgroup.root, "/sub");
  EXPECT_EQ(config.cni.conf_dir, "/net.d");
  EXPECT_THAT(config.cni.bin_dirs, ElementsAre("/bin1", "/bin2"));
  EXPECT_EQ(config.cni.conf_template, "/t.conflist");
  EXPECT_EQ(config.registry.config_path, "/certs");
  EXPECT_EQ(config.handlers.at("kata").path, "/usr/bin/kata");
  EXPECT_EQ(config.handlers.at("runc").path, "/usr/sbin/runc") << "the built-in ones stay";
  EXPECT_EQ(config.kernel.log, "/tmp/kmsg");
  EXPECT_EQ(config.log.level, base::LogLevel::kDebug);
  EXPECT_EQ(config.log.format, base::LogFormat::kJson);
}

TEST(ConfigToml, NamesTheLineOfAnUnknownKeyAtTheTop) {
  EXPECT_THAT(Apply("root = \"/r\"\n\nrot = \"/x\"\n").problems, ElementsAre("c.toml:3: unknown key 'rot'"));
}

TEST(ConfigToml, NamesTheLineOfAnUnknownKeyInATable) {
  EXPECT_THAT(Apply("[cni]\nconf_dir = \"/x\"\nbin_dir = \"/y\"\n").problems,
              ElementsAre("c.toml:3: unknown key 'cni.bin_dir'"));
}

TEST(ConfigToml, NamesAnUnknownTableAndAnUnknownKeyOfAHandler) {
  EXPECT_THAT(Apply("[handlers.runc]\npath = \"/r\"\nrout = \"/x\"\n\n[plugins]\na = 1\n").problems,
              ElementsAre("c.toml:3: unknown key 'handlers.runc.rout'", "c.toml:5: unknown key 'plugins'"));
}

TEST(ConfigToml, RefusesWrongTypesWithTheLine) {
  EXPECT_THAT(Apply("root = 5\n").problems,
              ElementsAre("c.toml:1: 'root' is an integer, but must be a string"));
  EXPECT_THAT(Apply("\n[cni]\nbin_dirs = \"/x\"\n").problems,
              ElementsAre("c.toml:3: 'cni.bin_dirs' is a string, but must be an array of strings"));
  EXPECT_THAT(Apply("[cni]\nbin_dirs = [\"/x\",\n 7]\n").problems,
              ElementsAre("c.toml:3: 'cni.bin_dirs' holds an integer, but must hold strings"));
  EXPECT_THAT(Apply("grpc = true\n").problems,
              ElementsAre("c.toml:1: 'grpc' is a boolean, but must be a table"));
}

TEST(ConfigToml, RefusesValuesThatCannotBe) {
  EXPECT_THAT(Apply("root = \"var\"\n").problems, ElementsAre(HasSubstr("must be an absolute path")));
  EXPECT_THAT(Apply("root = \"/a/../b\"\n").problems, ElementsAre(HasSubstr("must not contain '..'")));
  EXPECT_THAT(
      Apply("[log]\nlevel = \"loud\"\n").problems,
      ElementsAre(
          "c.toml:2: 'log.level' = \"loud\" must be one of \"debug\", \"error\", \"info\", \"warning\""));
  EXPECT_THAT(Apply("[streaming]\naddress = \"localhost\"\n").problems,
              ElementsAre(HasSubstr("address and a port")));
  EXPECT_THAT(Apply("[streaming]\naddress = \"127.0.0.1:65536\"\n").problems,
              ElementsAre(HasSubstr("address and a port")));
  EXPECT_THAT(Apply("[grpc]\nsocket = \"/" + std::string(107, 'x') + "\"\n").problems,
              ElementsAre(HasSubstr("107 bytes")));
  EXPECT_THAT(Apply("[grpc]\nsocket = \"/var/run/crio/crio.sock\"\n").problems,
              ElementsAre(HasSubstr("CRI-O")));
  EXPECT_THAT(Apply("default_handlers = [\"Run C\"]\n").problems,
              ElementsAre(HasSubstr("no handler's name")));
}

TEST(ConfigToml, RefusesStreamingKeysThatCannotBe) {
  EXPECT_THAT(Apply("[streaming]\nidle_timeout = \"soon\"\n").problems,
              ElementsAre(HasSubstr("c.toml:2: 'streaming.idle_timeout' = \"soon\" must be a duration")));
  EXPECT_THAT(Apply("[streaming]\nmax_sessions = 0\n").problems,
              ElementsAre("c.toml:2: 'streaming.max_sessions' = 0 must be between 1 and 10000"));
  EXPECT_THAT(Apply("[streaming]\nmax_sessions = \"many\"\n").problems,
              ElementsAre(HasSubstr("must be an integer")));
  EXPECT_THAT(Apply("[streaming]\naddress = \"localhost:1\"\n").problems,
              ElementsAre(HasSubstr("must be an address")));
  EXPECT_THAT(Apply("[streaming.tls]\nenabled = \"yes\"\n").problems,
              ElementsAre(HasSubstr("must be true or false")));
  EXPECT_THAT(Apply("[streaming.tls]\nmin_version = \"1.1\"\n").problems,
              ElementsAre("c.toml:2: 'streaming.tls.min_version' = \"1.1\" must be \"1.2\" or \"1.3\""));
  Config half;
  half.streaming.tls.certificate = "/c.pem";
  Problems problems;
  Validate(&half, &problems);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("certificate and key belong together")));
}

TEST(ConfigToml, RefusesTheSystemdDriverWithASentence) {
  EXPECT_THAT(Apply("[cgroup]\ndriver = \"systemd\"\n").problems,
              ElementsAre(HasSubstr("is not possible yet")));
}

TEST(ConfigToml, TellsWhereTheSyntaxIsBroken) {
  EXPECT_THAT(Apply("root = \"/r\"\nstate = \n").problems, ElementsAre(HasSubstr("c.toml:2: ")));
}

TEST(ConfigToml, AHandlerWithoutAPathIsAProblemUnlessItHasOneAlready) {
  EXPECT_THAT(Apply("[handlers.kata]\n").problems, ElementsAre("c.toml:1: handler 'kata' has no path"));
  EXPECT_THAT(Apply("[handlers.runc]\n").problems, IsEmpty());
}

TEST(ConfigToml, AutoBecomesTheDriverOfThisVersion) {
  auto [config, problems] = Apply("[cgroup]\ndriver = \"auto\"\n");
  Validate(&config, &problems);
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.cgroup.driver, "cgroupfs");
}

TEST_F(ConfigFiles, LaterFilesReplaceWhatEarlierOnesSaid) {
  Write("config.toml", "root = \"/first\"\n[cni]\nbin_dirs = [\"/a\", \"/b\"]\nconf_dir = \"/kept\"\n");
  Write("conf.d/20-second.toml", "root = \"/third\"\n");
  Write("conf.d/10-first.toml",
        "root = \"/second\"\n[cni]\nbin_dirs = [\"/c\"]\n[handlers.kata]\npath = \"/k\"\n");
  Write("conf.d/30-not-toml.bak", "nonsense");
  const auto [config, problems] = Load();
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.root, "/third");
  EXPECT_THAT(config.cni.bin_dirs, ElementsAre("/c"));
  EXPECT_EQ(config.cni.conf_dir, "/kept");
  EXPECT_EQ(config.handlers.size(), 3U);
}

TEST_F(ConfigFiles, TellsAllProblemsOfAllFiles) {
  Write("config.toml", "a = 1\n");
  Write("conf.d/x.toml", "\nb = 1\n");
  EXPECT_THAT(Load().problems, ElementsAre(dir_ + "/config.toml:1: unknown key 'a'",
                                           dir_ + "/conf.d/x.toml:2: unknown key 'b'"));
}

TEST_F(ConfigFiles, AMissingFileIsAProblemOnlyWhenItWasNamed) {
  EXPECT_THAT(Load().problems, ElementsAre(HasSubstr("No such file")));
  Problems problems;
  const Config config = LoadConfig(dir_ + "/config.toml", false, &problems);
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.root, "/var/lib/berth");
}

TEST_F(ConfigFiles, ADefaultHandlerThatIsNotConfiguredIsNamed) {
  Write("config.toml", "default_handlers = [\"crun\", \"kata\"]\n");
  EXPECT_THAT(Load().problems, ElementsAre(HasSubstr("names 'kata'")));
}

TEST(Config, HandlersHaveOptionsOfTheirOwn) {
  const auto [config, problems] = Apply(R"([handlers.runc]
args = ["--debug"]
root = "/run/runc-of-ours"
base_spec = "/etc/berth/base.json"
seccomp_profile = "/etc/berth/seccomp.json"
pod_annotations = ["example.org/*"]
container_annotations = ["a"]
privileged_without_host_devices = true
hooks_dirs = ["/etc/containers/oci/hooks.d"]
)");
  EXPECT_THAT(problems, IsEmpty());
  const auto& runc = config.handlers.at("runc");
  EXPECT_EQ(runc.path, "/usr/sbin/runc") << "what is not said stays";
  EXPECT_THAT(runc.args, ElementsAre("--debug"));
  EXPECT_EQ(runc.root, "/run/runc-of-ours");
  EXPECT_EQ(runc.base_spec, "/etc/berth/base.json");
  EXPECT_EQ(runc.seccomp_profile, "/etc/berth/seccomp.json");
  EXPECT_THAT(runc.pod_annotations, ElementsAre("example.org/*"));
  EXPECT_THAT(runc.container_annotations, ElementsAre("a"));
  EXPECT_TRUE(runc.privileged_without_host_devices);
  EXPECT_THAT(runc.hooks_dirs, ElementsAre("/etc/containers/oci/hooks.d"));
}

TEST(Config, DefaultsOfContainersAreRead) {
  const auto [config, problems] = Apply(R"([defaults]
env = ["A=b=c"]
ulimits = ["nofile=1024:4096", "core=unlimited"]
umask = "0027"
timezone = "Europe/Vienna"
shm_size = "1GiB"
[defaults.sysctls]
"net.ipv4.ping_group_range" = "0 2147483647"
[cdi]
dirs = ["/cdi"]
)");
  EXPECT_THAT(problems, IsEmpty());
  const auto& defaults = config.defaults.containers;
  EXPECT_THAT(defaults.env, ElementsAre(testing::Pair("A", "b=c")));
  ASSERT_EQ(defaults.rlimits.size(), 2U);
  EXPECT_EQ(defaults.rlimits[0], (runtime::oci::Rlimit{"RLIMIT_NOFILE", 1024, 4096}));
  EXPECT_EQ(defaults.rlimits[1].hard, ~std::uint64_t{0});
  EXPECT_EQ(defaults.umask, 027U);
  EXPECT_EQ(defaults.timezone_file, "/usr/share/zoneinfo/Europe/Vienna");
  EXPECT_EQ(config.defaults.shm_bytes, std::uint64_t{1} << 30);
  EXPECT_EQ(config.defaults.sysctls.at("net.ipv4.ping_group_range"), "0 2147483647");
  EXPECT_THAT(config.cdi.dirs, ElementsAre("/cdi"));
}

TEST(Config, ImpossibleDefaultsAreNamed) {
  for (const char* line :
       {"env = [\"=x\"]", "ulimits = [\"nofile\"]", "ulimits = [\"nofile=5:4\"]", "ulimits = [\"files=5\"]",
        "umask = \"9\"", "umask = \"7777\"", "timezone = \"/etc/passwd\"", "timezone = \"../../etc/passwd\"",
        "shm_size = \"0\"", "shm_size = \"-1\"", "shm_size = \"64 MB\"",
        "sysctls = {\"vm.swappiness\" = \"1\"}"}) {
    EXPECT_EQ(Apply(std::string("[defaults]\n") + line + "\n").problems.size(), 1U) << line;
  }
}

TEST_F(ConfigFiles, TheFileThatWeShipIsValidAndSaysTheDefaults) {
  Problems problems;
  const Config shipped = LoadConfig(BERTH_SOURCE_DIR "/deploy/config.toml", true, &problems);
  const Config built_in;
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(shipped.root, built_in.root);
  EXPECT_EQ(shipped.state, built_in.state);
  EXPECT_EQ(shipped.default_handlers, built_in.default_handlers);
  EXPECT_EQ(shipped.grpc.socket, built_in.grpc.socket);
  EXPECT_EQ(shipped.streaming.address, built_in.streaming.address);
  EXPECT_EQ(shipped.streaming.idle_timeout, built_in.streaming.idle_timeout);
  EXPECT_EQ(shipped.streaming.max_sessions, built_in.streaming.max_sessions);
  EXPECT_EQ(shipped.streaming.max_sessions_per_pod, built_in.streaming.max_sessions_per_pod);
  EXPECT_EQ(shipped.streaming.tls.enabled, built_in.streaming.tls.enabled);
  EXPECT_EQ(shipped.streaming.tls.min_version, built_in.streaming.tls.min_version);
  EXPECT_EQ(shipped.cgroup.driver, built_in.cgroup.driver);
  EXPECT_EQ(shipped.cgroup.root, built_in.cgroup.root);
  EXPECT_EQ(shipped.cni.conf_dir, built_in.cni.conf_dir);
  EXPECT_EQ(shipped.cni.bin_dirs, built_in.cni.bin_dirs);
  EXPECT_EQ(shipped.cni.conf_template, built_in.cni.conf_template);
  EXPECT_EQ(shipped.registry.config_path, built_in.registry.config_path);
  EXPECT_EQ(shipped.handlers, built_in.handlers);
  EXPECT_EQ(shipped.defaults.containers, built_in.defaults.containers);
  EXPECT_EQ(shipped.defaults.sysctls, built_in.defaults.sysctls);
  EXPECT_EQ(shipped.defaults.shm_bytes, built_in.defaults.shm_bytes);
  EXPECT_EQ(shipped.defaults.apparmor_parser, built_in.defaults.apparmor_parser);
  EXPECT_EQ(shipped.cdi.dirs, built_in.cdi.dirs);
  EXPECT_EQ(shipped.kernel.log, built_in.kernel.log);
  EXPECT_EQ(shipped.log.level, built_in.log.level);
  EXPECT_EQ(shipped.log.format, built_in.log.format);
}

}  // namespace
}  // namespace berth::daemon
