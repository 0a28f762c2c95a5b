// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/side.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "e2e/bench/machine.h"
#include "e2e/bench/progress.h"
#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {
namespace {

std::vector<pid_t> AllPids() {
  std::vector<pid_t> pids;
  for (const std::string& name : ListDir("/proc")) {
    if (name.find_first_not_of("0123456789") == std::string::npos)
      pids.push_back(static_cast<pid_t>(std::atol(name.c_str())));
  }
  return pids;
}

// unix(7): SO_PEERCRED of a connected client names the process that called listen(2). -1: nobody listens.
pid_t ListenerOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -1;
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  ::close(fd);
  return known ? peer.pid : -1;
}

// launch PROCS_FILE… -- HIDDEN… -- PROGRAM…; every failure ends it, but the one to hide what is not there.
constexpr char kLaunchScript[] = R"(#!/bin/sh
set -eu
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done
shift
while [ "$1" != -- ]; do ! mountpoint -q "$1" || umount "$1"; shift; done
shift
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /var/lib/cni
mount -t tmpfs -o mode=755 tmpfs /run
exec "$@"
)";

std::vector<std::string> ProcsFiles(const std::string& cgroup) {
  if (CgroupV2()) return {CgroupDir("", cgroup) + "/cgroup.procs"};
  std::vector<std::string> files;
  for (const std::string& name : ListDir("/sys/fs/cgroup")) {
    const std::string file = CgroupDir(name, cgroup) + "/cgroup.procs";
    if (Exists(file)) files.push_back(file);
  }
  return files;
}

}  // namespace

void EnterCgroup(const std::string& cgroup) {
  for (const std::string& file : ProcsFiles(cgroup)) WriteFile(file, std::to_string(::getpid()));
}

void WriteConflist(const std::string& conf_dir, const std::string& ipam_dir, int number) {
  MakeDirs(conf_dir);
  const std::string n = std::to_string(number);
  WriteFile(conf_dir + "/10-bench.conflist", R"({"cniVersion":"0.4.0","name":"bench","plugins":[
 {"type":"bridge","bridge":"bench)" + n + R"(","isGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":")" + ipam_dir +
                                                 R"(","ranges":[[{"subnet":"10.)" +
                                                 std::to_string(90 + number) + R"(.0.0/16"}]],
          "routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true},"snat":false}]}
)");
}

std::vector<std::string> CniBinDirs() {
  std::vector<std::string> dirs;
  for (const char* dir : {"/opt/cni/bin", "/usr/lib/cni"}) {
    if (Exists(std::string(dir) + "/bridge")) dirs.emplace_back(dir);
  }
  if (dirs.empty()) throw TestError("no CNI plugins in /opt/cni/bin or /usr/lib/cni: see tools/deps");
  return dirs;
}

Side::Side(std::string name, std::string processes, const Ground& ground)
    : name_(std::move(name)), processes_(std::move(processes)) {
  dir_ = ground.dir + "/" + Slug();
  state_ = ground.state_dir + "/" + Slug();
  log_dir_ = dir_ + "/podlogs";
  MakeDirs(log_dir_);
  MakeDirs(state_);
}

std::string Side::Slug() const {
  std::string slug = name_;
  std::replace(slug.begin(), slug.end(), '/', '-');
  return slug;
}

void Side::Connect(const std::string& endpoint) {
  constexpr char kScheme[] = "unix://";
  if (endpoint.rfind(kScheme, 0) != 0) throw TestError("not a unix:///PATH: '" + endpoint + "'");
  socket_ = endpoint.substr(sizeof kScheme - 1);
  client_ = std::make_unique<Client>(endpoint);
}

void Side::AwaitReady(const std::string& what) const {
  WaitFor(
      what + " to be ready",
      [&] {
        const auto status = client().Status({}, milliseconds(2000));
        if (!status.ok()) return false;
        const auto& conditions = status->status().conditions();
        return std::all_of(conditions.begin(), conditions.end(), [](const auto& condition) {
          return condition.status() || condition.type().find("Ready") == std::string::npos;
        });
      },
      seconds(60));
}

std::vector<std::string> Side::Launcher(const std::vector<std::string>& hide) const {
  MakeCgroup(cgroup_);
  WriteProgram(dir_ + "/launch", kLaunchScript);
  std::vector<std::string> words{"unshare", "--mount", "--propagation", "private", dir_ + "/launch"};
  // The daemon has a cgroup below its side's, or v2 would refuse it: processes live in leaves only.
  MakeCgroup(cgroup_ + "/daemon");
  for (const std::string& file : ProcsFiles(cgroup_ + "/daemon")) words.push_back(file);
  words.emplace_back("--");
  words.insert(words.end(), hide.begin(), hide.end());
  words.emplace_back("--");
  return words;
}

std::vector<pid_t> Side::Matching(const std::string& pattern) const {
  const std::regex regex(pattern);
  std::vector<pid_t> found = cgroup_.empty() ? AllPids() : CgroupPids(cgroup_);
  std::erase_if(found, [&](pid_t pid) { return !std::regex_match(ProgramName(pid), regex); });
  return found;
}

double Side::CpuNow() const {
  double sum = 0;
  for (const pid_t pid : Processes()) sum += CpuSeconds(pid);
  return sum;
}

Memory Side::MemoryNow() const {
  Memory memory;
  const pid_t daemon = ListenerOf(socket_);
  for (const pid_t pid : Processes()) {
    const long long kib = PssKib(pid);
    if (pid == daemon) {
      memory.daemon_kib = kib;
    } else {
      memory.helpers_kib += kib;
      ++memory.helpers;
    }
  }
  for (const pid_t pid : Matching("pause")) memory.pause_kib += PssKib(pid);
  return memory;
}

void Side::Settle() const {
  const Clock::time_point deadline = Clock::now() + seconds(10);
  double before = CpuNow();
  while (Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(250));
    double now = 0;
    bool at_disk = false;
    for (const pid_t pid : Processes()) {
      now += CpuSeconds(pid);
      at_disk = at_disk || WaitsForDisk(pid);  // deleting an image may take seconds and no CPU time
    }
    if (now - before < 0.010 && !at_disk) return;
    before = now;
  }
}

}  // namespace berth::e2e::bench
