// SPDX-License-Identifier: Apache-2.0
// Runs what BuildSpec makes through the OCI runtimes of this host, with the host's own /usr inside and python
// to look around.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/process.h"
#include "cgroupfs/testing/delegated.h"
#include "runtime/oci/devices.h"
#include "runtime/oci/handler.h"
#include "runtime/oci/host_facts.h"
#include "runtime/oci/spec.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Tries system calls and prints what came of them: 0 or the errno.
constexpr char kLook[] = R"(
import ctypes, json, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(*[ctypes.c_long(a) for a in args]) == -1 else 0
def child_of(flags):
    ctypes.set_errno(0)
    pid = libc.syscall(ctypes.c_long(56), ctypes.c_long(flags | 17), *[ctypes.c_long(0)] * 4)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return ctypes.get_errno()
    os.waitpid(pid, 0)
    return 0
def in_child(*args):  # what succeeds there must not change us
    pid = os.fork()
    if pid == 0:
        os._exit(call(*args))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def status(name):
    return next(l.split(':')[1].strip() for l in open('/proc/self/status') if l.startswith(name + ':'))
def attempt(f):
    try:
        f(); return 0
    except OSError as e:
        return e.errno
def make_cgroup():  # on v2 a privileged container's is the host's: nothing may stay
    path = '/sys/fs/cgroup/memory/x' if os.path.isdir('/sys/fs/cgroup/memory') else '/sys/fs/cgroup/x'
    os.mkdir(path); os.rmdir(path)
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
out = {
  'unshare_user': in_child(272, 0x10000000), 'unshare_uts': in_child(272, 0x04000000), 'keyctl': call(250, 0, -3, 0),
  'mount': call(165, 0, 0, 0, 0, 0), 'clone_user': child_of(0x10000000), 'clone3': call(435, 0, 0),
  'io_uring': call(425, 1, 0), 'unknown': call(1000), 'vsock': call(41, 40, 1, 0), 'alg': call(41, 38, 5, 0),
  'vsock_upper': call(41, (7 << 32) | 40, 1, 0), 'inet': call(41, 2, 1, 0), 'unix': call(41, 1, 1, 0), 'inet6_upper': call(41, (1 << 32) | 1, 1, 0),
  'personality': call(135, 0x40000), 'personality_ask': call(135, 0xffffffff), 'bpf': call(321, 0, 0, 0),
  'child': subprocess.run(['/usr/bin/true']).returncode,
  'null': attempt(lambda: open('/dev/null', 'w').write('x')), 'kmsg': attempt(lambda: open('/dev/kmsg')),
  'mknod': attempt(lambda: os.mknod('/tmp/null', 0o20666, os.makedev(1, 3))),
  'mknod_open': attempt(lambda: (os.mknod('/tmp/mem', 0o20666, os.makedev(1, 1)), open('/tmp/mem'))),
  'sysctl': attempt(lambda: open('/proc/sys/kernel/panic', 'w')), 'masked': len(open('/proc/cpuinfo').read()),
  'sysfs': attempt(lambda: open('/sys/kernel/mm/ksm/run', 'w') if os.path.exists('/sys/kernel/mm/ksm/run') else os.mkdir('/sys/x')),
  'cgroup': attempt(make_cgroup),
  'root': attempt(lambda: open('/new', 'w')), 'shm': attempt(lambda: open('/dev/shm/x', 'w')),
  'bnd': status('CapBnd'), 'eff': status('CapEff'), 'inh': status('CapInh'), 'amb': status('CapAmb'), 'nnp': status('NoNewPrivs'),
  'seccomp': status('Seccomp'), 'oom': open('/proc/self/oom_score_adj').read().strip(), 'pid': os.getpid(),
  'ids': [os.getuid(), os.getgid()], 'groups': sorted(os.getgroups()), 'cwd': os.getcwd(), 'env': dict(os.environ), 'argv': sys.argv[1:],
  'host': socket.gethostname(), 'hosts': open('/etc/hosts').read(), 'net': sorted(os.listdir('/sys/class/net')),
  'mqueue': os.path.ismount('/dev/mqueue'),
}
print(json.dumps(out))
)";

class SpecRealTest : public ::testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (access(GetParam().second, X_OK) != 0) GTEST_SKIP() << GetParam().second << " is not installed";
    if (access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
    char name[] = "/tmp/berth-test-oci-spec-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    auto host = cgroupfs::Host::Detect();
    ASSERT_TRUE(host.ok());
    host_ = *host;
    ProbeOptions options;
    HandlerConfig handler;
    handler.name = GetParam().first;
    handler.path = GetParam().second;
    options.handlers = {handler};
    options.default_order = {GetParam().first};
    options.work_dir = dir_ + "/probe";
    options.cgroup_root = cgroupfs::DelegatedCgroup();
    options.probe_program = BERTH_TEST_PROBE;
    options.cgroups = host_.get();
    const auto handlers = Handlers::Probe(options);
    ASSERT_TRUE(handlers.ok()) << handlers.status();
    ASSERT_NE((*handlers)->Default(), nullptr) << (*handlers)->all()[0].why_not;
    handler_ = *(*handlers)->Default();
    facts_ = GatherHostFacts(*host_);
    if (facts_.architecture != "amd64") GTEST_SKIP() << "the numbers of the system calls are amd64's";

    // Namespaces to join, as the pod's pins would be.
    base::SpawnOptions spawn;
    spawn.argv = {"/usr/bin/unshare",
                  "--net",
                  "--ipc",
                  "--uts",
                  "/bin/sh",
                  "-c",
                  "hostname pod-host; echo ready; exec sleep 300"};
    spawn.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    base::UniqueFd in(ends[0]), out(ends[1]);
    spawn.fds = {{out.get(), 1}};
    auto child = base::Spawn(spawn);
    ASSERT_TRUE(child.ok()) << child.error().Message();
    holder_ = std::move(*child);
    out.Reset();
    char byte;
    ASSERT_EQ(read(in.get(), &byte, 1), 1);

    rootfs_ = dir_ + "/rootfs";
    for (const char* path : {"/etc", "/tmp", "/proc", "/sys", "/dev", "/work", "/usr"})
      ASSERT_TRUE(base::MakeDirs(rootfs_ + path, 0755).ok());
    for (const char* link : {"/bin", "/lib", "/lib64", "/sbin"}) {
      ASSERT_EQ(symlink((std::string("usr") + link).c_str(), (rootfs_ + link).c_str()), 0);
    }
    ASSERT_TRUE(base::MakeDirs(dir_ + "/shm", 01777).ok());
    ASSERT_TRUE(base::WriteFile(dir_ + "/hosts", "127.0.0.1 berth-hosts\n", 0644).ok());
    chmod(dir_.c_str(), 0755);

    pod_.metadata = {"pod", "uid", "ns", 0};
    pod_.hostname = "pod-host";
    container_.metadata.name = "c";
    container_.command = {"/usr/bin/python3", "-c", kLook, "word"};
    container_.working_dir = "/work";
    Mount usr;
    usr.container_path = usr.host_path = "/usr";
    usr.readonly = true;
    container_.mounts.push_back(usr);
    container_.seccomp = SecurityProfile{};
    container_.masked_paths = {"/proc/cpuinfo", "/proc/no-such"};
    container_.readonly_paths = {"/proc/sys", "/proc/no-such"};
    container_.resources.cpu_shares = 2048;
    container_.resources.memory_limit_bytes = 256 << 20;
    container_.resources.pids_limit = 64;
    container_.resources.hugepage_limits = {{"2MB", 0}, {"1GB", 0}, {"64KB", 0}};
    if (facts_.cgroup_v2) container_.resources.unified["memory.oom.group"] = "1";
    id_ = absl::StrCat("berth-test-oci-", getpid(), "-", GetParam().first);
  }
  void TearDown() override {
    if (holder_.pidfd) {
      (void)base::PidfdSignal(holder_.pidfd.get(), SIGKILL);
      (void)base::WaitChild(holder_);
    }
    if (host_ != nullptr && !id_.empty()) {
      if (auto cgroup = host_->At(Cgroup()); cgroup.ok()) {
        (void)(*cgroup)->KillAll(base::Deadline::After(5 * base::kSecondNs));
        EXPECT_TRUE((*cgroup)->Remove().ok());
      }
    }
    if (!dir_.empty()) {
      EXPECT_TRUE(base::RemoveTree(dir_).ok());
    }
  }

  SpecInput Input() {
    SpecInput input;
    input.pod = &pod_;
    input.container = &container_;
    input.image = &image_;
    input.host = &facts_;
    input.handler = &handler_;
    input.namespaces.pid = NamespaceMode::kContainer;
    const std::string ns = absl::StrCat("/proc/", holder_.pid, "/ns/");
    input.paths.rootfs = rootfs_;
    input.paths.netns = ns + "net";
    input.paths.ipcns = ns + "ipc";
    input.paths.utsns = ns + "uts";
    input.paths.hosts = dir_ + "/hosts";
    input.paths.shm = dir_ + "/shm";
    input.user = user_;
    input.cgroup = Cgroup();
    input.container_id = id_;
    input.pod_id = "p";
    input.localhost_seccomp = localhost_;
    auto devices = ResolveDevices(container_);
    EXPECT_TRUE(devices.ok()) << devices.status();
    input.devices = devices.value_or(std::vector<SpecInput::ResolvedDevice>{});
    return input;
  }
  json Run(const SpecInput& input) {
    const auto spec = BuildSpec(input);
    EXPECT_TRUE(spec.ok()) << spec.status();
    if (!spec.ok()) return json();
    EXPECT_TRUE(base::MakeDirs(dir_ + "/bundle").ok());
    EXPECT_TRUE(base::WriteFile(dir_ + "/bundle/config.json", spec->dump()).ok());
    base::SpawnOptions spawn;
    spawn.argv = {handler_.path, "--root", dir_ + "/state", "run", "--bundle", dir_ + "/bundle", id_};
    spawn.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    spawn.hide_mount = handler_.hide_mount;
    const auto result = base::RunCommand(spawn, "", base::Deadline::After(60 * base::kSecondNs));
    EXPECT_TRUE(result.ok()) << result.error().Message();
    if (!result.ok()) return json();
    err_ = result->err;
    code_ = result->status.ShellCode();
    const json out = json::parse(result->out, nullptr, false);
    EXPECT_TRUE(out.is_object()) << result->out << result->err;
    return out;
  }

  std::string Cgroup() const { return cgroupfs::DelegatedCgroup() + "/" + id_; }

  std::string dir_, rootfs_, id_, err_;
  int code_ = 0;
  std::shared_ptr<const cgroupfs::Host> host_;
  HostFacts facts_;
  Handler handler_;
  base::Child holder_;
  PodConfig pod_;
  ContainerConfig container_;
  image::ImageConfig image_;
  ResolvedUser user_{0, 0, {0, 7}, "/root"};
  std::optional<json> localhost_;
};

TEST_P(SpecRealTest, ADefaultContainerIsConfinedAndWorks) {
  container_.devices = {{"/dev/berth-zero", "/dev/zero", "rw"}};
  container_.oom_score_adj = -1000;
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  // Refused, and with the errno that programs expect.
  for (const char* name :
       {"unshare_user", "unshare_uts", "keyctl", "mount", "clone_user", "io_uring", "bpf", "personality"}) {
    EXPECT_EQ(out[name], EPERM) << name;
  }
  for (const char* name : {"clone3", "unknown"}) EXPECT_EQ(out[name], ENOSYS) << name;
  for (const char* name : {"vsock", "vsock_upper", "alg"}) EXPECT_EQ(out[name], EAFNOSUPPORT) << name;
  // Ordinary life.
  for (const char* name :
       {"child", "null", "mknod", "inet", "unix", "inet6_upper", "personality_ask", "root", "shm"})
    EXPECT_EQ(out[name], 0) << name;
  EXPECT_NE(out["mknod_open"], 0);  // making a node is a capability, opening it the device cgroup's matter
  EXPECT_NE(out["kmsg"], 0);
  for (const char* name : {"sysctl", "sysfs", "cgroup"}) EXPECT_NE(out[name], 0) << name;
  EXPECT_EQ(out["masked"], 0);
  EXPECT_EQ(out["bnd"], "00000000a80425fb");
  EXPECT_EQ(out["eff"], "00000000a80425fb");
  EXPECT_EQ(out["inh"], "0000000000000000");
  EXPECT_EQ(out["amb"], "0000000000000000");
  EXPECT_EQ(out["seccomp"], "2");
  EXPECT_EQ(out["nnp"], "0");
  EXPECT_EQ(out["oom"], std::to_string(std::max(-1000, facts_.oom_score_adj_floor)));
  EXPECT_EQ(out["pid"], 1);
  EXPECT_EQ(out["groups"], json({0, 7}));
  EXPECT_EQ(out["cwd"], "/work");
  EXPECT_EQ(out["argv"], json({"word"}));
  EXPECT_EQ(out["host"], "pod-host");
  EXPECT_EQ(out["env"]["HOSTNAME"], "pod-host");
  EXPECT_EQ(out["env"]["HOME"], "/root");
  EXPECT_EQ(out["hosts"], "127.0.0.1 berth-hosts\n");
  EXPECT_EQ(out["net"], json({"lo"}));
  EXPECT_EQ(out["mqueue"], true);
  EXPECT_TRUE(base::Exists(dir_ + "/shm/x"));
}

TEST_P(SpecRealTest, PrivilegedOpensEverythingThatWeHave) {
  container_.privileged = true;
  container_.devices = {{"/dev/zero", "/dev/zero", "rwm"}};  // also one of the runtime's own
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  for (const char* name :
       {"unshare_uts", "clone_user", "keyctl", "child", "null", "kmsg", "cgroup", "sysctl"}) {
    EXPECT_EQ(out[name], 0) << name;
  }
  EXPECT_EQ(out["seccomp"], "0");
  EXPECT_EQ(CapabilityNames(out["eff"]), facts_.capabilities);
  EXPECT_NE(out["masked"], 0);
}

TEST_P(SpecRealTest, AnUnprivilegedUserWithNoNewPrivilegesAndAReadOnlyRoot) {
  user_ = {1000, 2000, {2000, 3000}, "/"};
  container_.no_new_privs = true;
  container_.readonly_rootfs = true;
  container_.drop_capabilities = {"ALL"};
  chmod((dir_ + "/shm").c_str(), 01777);
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  EXPECT_EQ(out["ids"], json({1000, 2000}));
  EXPECT_EQ(out["groups"], json({2000, 3000}));
  EXPECT_EQ(out["nnp"], "1");
  EXPECT_EQ(out["bnd"], "0000000000000000");
  EXPECT_EQ(out["root"], EROFS);
  EXPECT_EQ(out["shm"], 0);
}

TEST_P(SpecRealTest, CapabilitiesOpenTheFilter) {
  container_.add_capabilities = {"SYS_ADMIN"};
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  EXPECT_EQ(out["unshare_uts"], 0);
  EXPECT_EQ(out["clone_user"], 0);
  EXPECT_EQ(out["clone3"], EINVAL);  // reached the kernel
  EXPECT_EQ(out["keyctl"], EPERM);
}

TEST_P(SpecRealTest, AmbientCapabilitiesReachAnOrdinaryUser) {
  user_ = {1000, 1000, {1000}, "/"};
  chmod((rootfs_ + "/tmp").c_str(), 01777);
  container_.add_ambient_capabilities = {"NET_BIND_SERVICE"};
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  EXPECT_EQ(out["amb"], "0000000000000400");
  EXPECT_EQ(out["inh"], "0000000000000400");
  EXPECT_EQ(out["eff"], "0000000000000400");
}

TEST_P(SpecRealTest, ALocalhostProfileInDockersFormIsHonoured) {
  container_.seccomp = SecurityProfile{ProfileType::kLocalhost, "/profile.json"};
  localhost_ = json::parse(R"({"defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
                 {"names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78, "includes": {"caps": ["CAP_SYS_BOOT"]}}]})");
  const json out = Run(Input());
  ASSERT_TRUE(out.is_object());
  EXPECT_EQ(out["keyctl"], 77);
  EXPECT_EQ(out["mknod"], 0);
  EXPECT_EQ(out["clone_user"], 0);
}

TEST_P(SpecRealTest, HostNamespacesAreTheHosts) {
  SpecInput input = Input();
  input.namespaces.network = input.namespaces.ipc = input.namespaces.pid = NamespaceMode::kNode;
  input.paths.netns = input.paths.ipcns = input.paths.utsns = "";
  container_.command = {"/bin/sh", "-c",
                        "echo \"{\\\"net\\\": \\\"$(readlink /proc/self/ns/net)\\\", \\\"pid\\\": "
                        "\\\"$(readlink /proc/self/ns/pid)\\\"}\""};
  const json out = Run(input);
  ASSERT_TRUE(out.is_object());
  char link[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/net", link, sizeof link - 1), 0);
  EXPECT_EQ(out["net"], link);
  ASSERT_GT(readlink("/proc/self/ns/pid", link, sizeof link - 1), 0);
  EXPECT_EQ(out["pid"], link);
}

INSTANTIATE_TEST_SUITE_P(Runtimes, SpecRealTest,
                         ::testing::Values(std::pair{"crun", "/usr/bin/crun"},
                                           std::pair{"runc", "/usr/sbin/runc"}),
                         [](const auto& value) { return std::string(value.param.first); });

}  // namespace
}  // namespace berth::runtime::oci
