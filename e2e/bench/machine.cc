// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/machine.h"

#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/process.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {
namespace {

// The rest of the first line of `file` that starts with `key` and has a colon.
std::string Field(const std::string& file, const std::string& key) {
  for (const std::string& line : Lines(TryReadFile(file).value_or(""))) {
    const size_t colon = line.find(':');
    if (line.rfind(key, 0) == 0 && colon != std::string::npos) return Trim(line.substr(colon + 1));
  }
  return "";
}

double Seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::string FileSystem(const std::string& dir) {
  const RunResult said = RunProgram({"stat", "-f", "-c", "%T", dir});
  return said.exit_code == 0 ? Trim(said.output) : "unknown";
}

}  // namespace

nlohmann::json DescribeMachine(const std::string& dir) {
  utsname name{};
  ::uname(&name);
  return {{"processor", Field("/proc/cpuinfo", "model name")},
          {"processors", std::thread::hardware_concurrency()},
          {"memory_mib", std::atoll(Field("/proc/meminfo", "MemTotal").c_str()) / 1024},
          {"kernel", std::string(name.sysname) + " " + name.release},
          {"file_system", FileSystem(dir)},
          {"cgroups", CgroupV2()                         ? "v2"
                      : Exists("/sys/fs/cgroup/unified") ? "v1, hybrid"
                                                         : "v1"}};
}

std::string VersionOf(const std::string& program) {
  const std::vector<std::string> lines = Lines(RunProgram({program, "--version"}).output);
  return lines.empty() ? "" : lines.front();
}

std::string ProgramName(pid_t pid) {
  char target[4096];
  const ssize_t length =
      ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target, sizeof target - 1);
  if (length <= 0) return "";
  std::string path(target, static_cast<size_t>(length));
  return path.substr(path.rfind('/') + 1);
}

long long PssKib(pid_t pid) {
  return std::atoll(Field("/proc/" + std::to_string(pid) + "/smaps_rollup", "Pss").c_str());
}

double CpuSeconds(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return Seconds(time);
}

bool WaitsForDisk(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task/";
  for (const std::string& task : ListDir(tasks)) {
    const std::string stat = TryReadFile(tasks + task + "/stat").value_or("");
    const size_t name_end = stat.rfind(") ");
    if (name_end != std::string::npos && stat.compare(name_end + 2, 1, "D") == 0) return true;
  }
  return false;
}

double CgroupCpuSeconds(const std::string& cgroup) {
  if (!CgroupV2()) {
    return std::stod(TryReadFile(CgroupDir("cpuacct", cgroup) + "/cpuacct.usage").value_or("0")) / 1e9;
  }
  std::istringstream words(TryReadFile(CgroupDir("cpu", cgroup) + "/cpu.stat").value_or(""));
  for (std::string key, value; words >> key >> value;) {
    if (key == "usage_usec") return std::stod(value) / 1e6;
  }
  return 0;
}

LoadMeter::LoadMeter(std::string own_cgroup) : own_cgroup_(std::move(own_cgroup)), last_(Read()) {}

LoadMeter::Reading LoadMeter::Read() const {
  Reading reading;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  reading.wall = Seconds(now);
  // proc(5): cpu user nice system idle iowait irq softirq steal guest guest_nice, in ticks; guest is in user.
  std::istringstream words(TryReadFile("/proc/stat").value_or(""));
  std::string label;
  double ticks[8] = {};
  words >> label;
  for (double& tick : ticks) words >> tick;
  const double per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  reading.busy = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / per_second;
  reading.stolen = ticks[7] / per_second;
  reading.own = CgroupCpuSeconds(own_cgroup_);
  return reading;
}

nlohmann::json LoadMeter::Take() {
  const Reading now = Read(), before = last_;
  last_ = now;
  const double wall = std::max(now.wall - before.wall, 1e-3);
  const auto percent = [wall](double seconds) { return std::max(0.0, 100 * seconds / wall); };
  return {{"others_percent", percent(now.busy - before.busy - (now.own - before.own))},
          {"stolen_percent", percent(now.stolen - before.stolen)},
          {"load_average", std::atof(TryReadFile("/proc/loadavg").value_or("0").c_str())}};
}

}  // namespace berth::e2e::bench
