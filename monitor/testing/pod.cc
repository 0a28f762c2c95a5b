// SPDX-License-Identifier: Apache-2.0
#include "monitor/testing/pod.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/files.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/testing/delegated.h"
#include "monitor/birth.h"
#include "monitor/testing/wait.h"

namespace berth::monitor::testing {
namespace {

using nlohmann::json;

std::string Bin(const std::string& name) { return std::string(BERTH_TEST_BIN) + "/" + name; }

const cgroupfs::Host& Cgroups() {
  static const auto host = cgroupfs::Host::Detect();
  if (!host) {
    ADD_FAILURE() << host.error().Message();
    std::abort();
  }
  return **host;
}

json Namespaces() {
  json namespaces = json::array();
  for (const char* type : {"pid", "mount", "ipc", "uts", "network"}) namespaces.push_back({{"type", type}});
  return namespaces;
}

json Process(const std::vector<std::string>& args, bool tty) {
  json process{{"terminal", tty}, {"user", {{"uid", 0}, {"gid", 0}}},
               {"args", args},    {"env", json::array({"PATH=/bin:/"})},
               {"cwd", "/"},      {"oomScoreAdj", 0}};
  process["noNewPrivileges"] = true;
  return process;
}

json Config(const std::vector<std::string>& args, const TestPod::Options& options, const std::string& rootfs,
            const std::string& cgroup) {
  json config{{"ociVersion", "1.0.0"},
              {"process", Process(args, options.tty)},
              {"root", {{"path", rootfs}, {"readonly", false}}},
              {"hostname", "busy"}};
  config["mounts"] = json::array({json{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
                                  json{{"destination", "/dev"},
                                       {"type", "tmpfs"},
                                       {"source", "tmpfs"},
                                       {"options", {"nosuid", "mode=755", "size=65536k"}}},
                                  json{{"destination", "/dev/pts"},
                                       {"type", "devpts"},
                                       {"source", "devpts"},
                                       {"options", {"newinstance", "ptmxmode=0666"}}}});
  config["linux"] = {{"cgroupsPath", cgroup}, {"namespaces", Namespaces()}};
  if (options.memory_limit > 0) config["linux"]["resources"]["memory"]["limit"] = options.memory_limit;
  if (options.patch.is_object()) config.merge_patch(options.patch);
  return config;
}

void CopyProgram(const std::string& from, const std::string& to) {
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary);
  out << in.rdbuf();
  out.close();
  ::chmod(to.c_str(), 0755);
}

std::string MakeDir() {
  char pattern[] = "/tmp/berth-test-monitor-XXXXXX";
  return ::mkdtemp(pattern);
}

}  // namespace

std::vector<RuntimeUnderTest> Runtimes() {
  std::vector<RuntimeUnderTest> runtimes;
  // What the daemon finds out by trying: crun needs the v2 tree of a hybrid host hidden where it owns a
  // controller, and there only.
  std::string hide = Cgroups().UnifiedMountToHide();
  if (const auto owned = base::ReadFile(hide + "/cgroup.controllers"); !owned.ok() || owned->size() <= 1)
    hide.clear();
  if (::access("/usr/bin/crun", X_OK) == 0) runtimes.push_back({"crun", "/usr/bin/crun", hide});
  if (::access("/usr/sbin/runc", X_OK) == 0) runtimes.push_back({"runc", "/usr/sbin/runc", ""});
  return runtimes;
}

TestPod::TestPod(const RuntimeUnderTest& runtime, const std::string& kmsg, std::optional<int> oom_score_adj)
    : runtime_(runtime), dir_(MakeDir()) {
  // With no parent of its own: another test would remove that between our making it and what is below.
  cgroup_ = cgroupfs::DelegatedCgroup() + "/berth-test-monitor-" + dir_.substr(dir_.find_last_of('-') + 1);
  for (const char* name : {"/pod", "/logs", "/root", "/rootfs", "/rootfs/bin", "/rootfs/dev", "/rootfs/proc",
                           "/rootfs/sys", "/rootfs/tmp"}) {
    ::mkdir((dir_ + name).c_str(), 0755);
  }
  CopyProgram(Bin("berth-test-busy"), dir_ + "/rootfs/busy");
  std::ofstream(dir_ + "/rootfs/garbage") << "garbage";
  ::chmod((dir_ + "/rootfs/garbage").c_str(), 0755);
  std::ofstream(dir_ + "/rootfs/plain") << "text";
  auto cgroup = Cgroups().At(cgroup_);
  if (const auto created = (*cgroup)->Create(); !created.ok()) ADD_FAILURE() << created.error().Message();
  LaunchOptions launch;
  launch.program = Bin("berth-monitor");
  launch.pod_id = "pod";
  launch.pod_dir = dir_ + "/pod";
  launch.log_file = dir_ + "/monitor.log";
  launch.kmsg_path = kmsg;
  launch.oom_score_adj = oom_score_adj;
  auto monitor = Launch(launch, Soon());
  if (!monitor.ok()) {
    ADD_FAILURE() << monitor.status();
    return;
  }
  monitor_ = *monitor;
  hub_ = std::move(*Hub::Start());
  Connect();
}

void TestPod::Connect() {
  auto client = hub_->Connect(dir_ + "/pod", Events(), Soon());
  ASSERT_TRUE(client.ok()) << client.status();
  client_ = std::move(*client);
}

ClientEvents TestPod::Events() {
  ClientEvents events;
  events.exited = [this](const std::string& id) {
    const std::lock_guard lock(mutex_);
    exited_.insert(id);
    changed_.notify_all();
  };
  events.exec_exited = [this](const ExecExit& exit) {
    const std::lock_guard lock(mutex_);
    execs_[exit.exec_id] = exit;
    changed_.notify_all();
  };
  events.holder_exited = [this](const std::string&) { holder_exited_ = true; };
  events.log_dropped = [this](const std::string& id, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    dropped_[id] = bytes;
  };
  return events;
}

bool TestPod::MonitorEnds() {
  const auto gone = [this] { return !base::OpenProcess(monitor_).ok(); };
  if (!Eventually(gone)) return false;
  client_.reset();
  hub_.reset();
  return true;
}

TestPod::~TestPod() {
  if (client_ == nullptr && hub_ != nullptr) Connect();
  if (client_ != nullptr) {
    if (auto listed = client_->List(Soon()); listed.ok()) {
      for (const auto& container : listed->containers) {
        if (container.state != "exited") (void)client_->Kill({container.id, "remove", 0}, Soon());
      }
    }
    absl::Status ended;
    for (int i = 0; i < 500; ++i) {
      ended = client_->Shutdown(Soon());
      if (ended.ok()) break;
      ::usleep(10'000);
    }
    EXPECT_TRUE(ended.ok()) << ended;
  }
  EXPECT_TRUE(Unpin(dir_ + "/pod/ns").ok());
  if (auto cgroup = Cgroups().At(cgroup_)) {
    (void)(*cgroup)->KillAll(Soon());
    const auto removed = (*cgroup)->Remove();
    EXPECT_TRUE(removed.ok()) << removed.error().Message();
  }
  if (::testing::Test::HasFailure()) {
    if (auto log = base::ReadFile(dir_ + "/monitor.log")) std::fputs(log->c_str(), stderr);
  }
  const auto removed = base::RemoveTree(dir_);
  EXPECT_TRUE(removed.ok()) << removed.error().Message();
}

StartRequest TestPod::Prepare(const std::string& id, const std::vector<std::string>& args,
                              const Options& options) {
  {
    const std::lock_guard lock(mutex_);
    exited_.erase(id);  // a name used before
  }
  const std::string bundle = dir_ + "/bundle-" + id;
  for (const auto& path : {bundle, dir_ + "/record-" + id, dir_ + "/run-" + id}) ::mkdir(path.c_str(), 0700);
  std::vector<std::string> argv = args;
  argv.insert(argv.begin(), options.command.empty() ? "/busy" : options.command);
  std::ofstream(bundle + "/config.json")
      << Config(argv, options, dir_ + "/rootfs", cgroup_ + "/" + id).dump();
  StartRequest request;
  request.container_id = id;
  request.bundle = bundle;
  request.runtime = runtime_.path;
  request.runtime_root = dir_ + "/root";
  request.hide_mount = runtime_.hide_mount;
  request.log_path = options.log_path.empty() ? LogPath(id) : options.log_path;
  request.tty = options.tty;
  request.stdin_open = options.stdin_open;
  request.record_dir = dir_ + "/record-" + id;
  request.fallback_dir = dir_ + "/run-" + id + "/fallback";
  request.run_dir = dir_ + "/run-" + id;
  request.cgroup = cgroup_ + "/" + id;
  request.pod_cgroup = cgroup_;
  if (options.memory_limit > 0) request.memory_limit_bytes = options.memory_limit;
  return request;
}

Started TestPod::Run(const std::string& id, const std::vector<std::string>& args, const Options& options) {
  auto started = client_->Start(Prepare(id, args, options), Soon());
  EXPECT_TRUE(started.ok()) << started.status();
  return started.ok() ? *started : Started();
}

ExitRecord TestPod::Wait(const std::string& id) {
  std::unique_lock lock(mutex_);
  const bool ended = changed_.wait_for(lock, base::Patient(std::chrono::seconds(20)),
                                       [&] { return exited_.count(id) != 0; });
  EXPECT_TRUE(ended) << "no exited event of " << id;
  lock.unlock();
  return Record(id);
}

ExitRecord TestPod::Record(const std::string& id) const {
  auto record = ReadExitRecord(dir_ + "/record-" + id, dir_ + "/run-" + id + "/fallback");
  EXPECT_TRUE(record.ok()) << record.error().Message();
  return record.ok() ? *record : ExitRecord();
}

std::vector<std::string> TestPod::Log(const std::string& id) const {
  std::vector<std::string> lines;
  std::ifstream file(LogPath(id));
  for (std::string line; std::getline(file, line);) {
    EXPECT_GT(line.size(), 31U) << line;
    EXPECT_EQ(line[29], 'Z') << line;
    lines.push_back(line.size() > 31 ? line.substr(31) : line);
  }
  return lines;
}

absl::Status TestPod::StartExec(Client& client, const std::string& container, const std::string& exec_id,
                                const std::vector<std::string>& args, int out_fd) {
  std::vector<std::string> argv = args;
  argv.insert(argv.begin(), "/busy");
  const std::string file = dir_ + "/process-" + exec_id + ".json";
  // The container's own, with other arguments, as berthd writes it.
  json process = json::parse(std::ifstream(dir_ + "/bundle-" + container + "/config.json")).at("process");
  process["args"] = argv;
  process["terminal"] = false;
  std::ofstream(file) << process.dump();
  ExecRequest request;
  request.container_id = container;
  request.exec_id = exec_id;
  request.process_file = file;
  return client.Exec(request, {out_fd, out_fd}, Soon()).status();
}

ExecExit TestPod::WaitExec(const std::string& exec_id) {
  std::unique_lock lock(mutex_);
  const bool ended = changed_.wait_for(lock, base::Patient(std::chrono::seconds(20)),
                                       [&] { return execs_.count(exec_id) != 0; });
  EXPECT_TRUE(ended) << "no exec_exited event of " << exec_id;
  return execs_[exec_id];
}

ExecExit TestPod::Exec(const std::string& container, const std::string& exec_id,
                       const std::vector<std::string>& args, std::string* out) {
  auto pipe = MakePipe();
  const auto status = StartExec(*client_, container, exec_id, args, pipe->write.get());
  EXPECT_TRUE(status.ok()) << status;
  if (!status.ok()) return {};
  const ExecExit exit = WaitExec(exec_id);
  if (out != nullptr) *out = TakeAvailable(pipe->read.get());
  return exit;
}

void TestPod::LimitPod(std::int64_t bytes) {
  cgroupfs::Resources resources;
  resources.memory_limit_bytes = bytes;
  auto cgroup = Cgroups().At(cgroup_);
  const auto applied = (*cgroup)->Apply(resources);
  EXPECT_TRUE(applied.ok()) << applied.error().Message();
}

bool TestPod::HasChildCgroup(const std::string& id, const std::string& name) const {
  return (*Cgroups().ExecAt(cgroup_ + "/" + id + "/" + name))->Exists();
}

std::vector<int> TestPod::Pids(const std::string& id) const {
  auto cgroup = Cgroups().At(cgroup_ + "/" + id);
  auto pids = (*cgroup)->Processes();
  return pids ? std::vector<int>(pids->begin(), pids->end()) : std::vector<int>();
}

std::uint64_t TestPod::Dropped(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return dropped_[id];
}

}  // namespace berth::monitor::testing
