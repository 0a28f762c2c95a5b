// SPDX-License-Identifier: Apache-2.0
#include "monitor/oom_watch.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "base/clock.h"
#include "base/files.h"
#include "monitor/reaper.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {

// Inode of the initial PID namespace (PROC_PID_INIT_INO of the kernel's proc_ns.h).
bool InInitialPidNamespace() {
  struct stat info {};
  return ::stat("/proc/self/ns/pid", &info) != 0 || info.st_ino == 0xEFFFFFFCU;
}

// v1's eventfd fires before the kill: the counter is sampled again after these.
constexpr std::int64_t kSampleAgain[] = {10 * base::kMillisecondNs, 100 * base::kMillisecondNs,
                                         base::kSecondNs};

bool SigkillPending(pid_t pid) {
  const auto status = base::ReadFile("/proc/" + std::to_string(pid) + "/status", 16384);
  if (!status) return true;  // gone
  for (const char* field : {"\nSigPnd:\t", "\nShdPnd:\t"}) {
    const auto at = status->find(field);
    if (at == std::string::npos) continue;
    std::uint64_t mask = 0;
    const char* begin = status->data() + at + 9;
    std::from_chars(begin, status->data() + status->size(), mask, 16);
    if ((mask & (1ULL << (SIGKILL - 1))) != 0) return true;
  }
  const auto state = status->find("\nState:\t");
  return state != std::string::npos && ((*status)[state + 8] == 'Z' || (*status)[state + 8] == 'X');
}

constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING

}  // namespace

OomWatch::~OomWatch() { Stop(); }

void OomWatch::Stop() {
  if (events_) loop_.Unwatch(events_.get());
  events_.Reset();
  control_.Reset();
  for (const auto id : samples_) loop_.Cancel(id);
  samples_.clear();
  loop_.Cancel(settling_);
}

void OomWatch::OpenLog(const std::string& path) {
  auto log = KernelLog::Open(path);
  if (log) {
    log_ = std::move(*log);
  } else {
    Say("the kernel log cannot be read, memory kills are told from counters: " + log.error().Message());
  }
}

base::Result<void> OomWatch::Arm(pid_t first_process) {
  pid_ = first_process;
  if (auto at = host_.At(cgroup_)) container_ = std::move(*at);
  if (!pod_cgroup_.empty()) {
    if (auto at = host_.At(pod_cgroup_)) pod_ = std::move(*at);
  }
  if (log_) early_ = log_->Read();
  OomLedger::Setup setup;
  setup.cgroup = cgroup_;
  setup.pod_cgroup = pod_cgroup_;
  setup.pid = first_process;
  setup.log_readable = log_.has_value();
  setup.nested = !InInitialPidNamespace();
  if (container_) {
    if (const auto counters = container_->ReadOomCounters()) {
      setup.counter = counters->oom_kill_tree;
      setup.oom_local = counters->oom_local;
    }
  }
  if (pod_) {
    if (const auto counters = pod_->ReadOomCounters()) setup.pod_oom_local = counters->oom_local;
  }
  ledger_.Arm(setup);
  const std::string dir = host_.MemoryDir(cgroup_);
  return host_.version() == cgroupfs::Version::kV2 ? WatchUnified(dir) : WatchLegacy(dir);
}

base::Result<void> OomWatch::WatchUnified(const std::string& dir) {
  auto fd = base::OpenAt(AT_FDCWD, dir + "/memory.events", O_RDONLY);
  if (!fd) return fd.TakeError();
  events_ = std::move(*fd);
  const auto reread = [this] {
    // kernfs tells of changes since the last read of this very descriptor.
    char buffer[512];
    (void)!::pread(events_.get(), buffer, sizeof buffer, 0);
  };
  reread();
  return loop_.Watch(events_.get(), EPOLLPRI, [this, reread](std::uint32_t) {
    reread();
    Look();
  });
}

base::Result<void> OomWatch::WatchLegacy(const std::string& dir) {
  auto control = base::OpenAt(AT_FDCWD, dir + "/memory.oom_control", O_RDONLY);
  if (!control) return control.TakeError();
  base::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return base::SyscallFailed(errno, "eventfd");
  const std::string binding = std::to_string(event.get()) + " " + std::to_string(control->get());
  if (auto bound = base::WriteControl(dir + "/cgroup.event_control", binding); !bound) return bound;
  control_ = std::move(*control);
  events_ = std::move(event);
  return loop_.Watch(events_.get(), EPOLLIN, [this](std::uint32_t) {
    std::uint64_t count = 0;
    (void)!::read(events_.get(), &count, sizeof count);
    Look();
    for (const auto id : samples_) loop_.Cancel(id);
    samples_.clear();
    for (const std::int64_t after : kSampleAgain) samples_.push_back(loop_.After(after, [this] { Look(); }));
  });
}

bool OomWatch::FirstProcessDying() const {
  const auto flags = ProcessFlags(pid_);
  return !flags || (*flags & kExiting) != 0 || SigkillPending(pid_);
}

OomLedger::Look OomWatch::Read(bool dying) {
  OomLedger::Look look;
  // The log before the counters: then the counter has every kill that a line tells.
  if (log_) look.log = log_->Read();
  if (InInitialPidNamespace()) {
    for (auto& victim : look.log.victims) {
      // The kernel kept the line with the cgroup to itself. /proc has it for a while
      // (v1: until it exits, v2: until it is reaped).
      if (victim.task_memcg) continue;
      if (const auto text = base::ReadFile("/proc/" + std::to_string(victim.pid) + "/cgroup", 65536))
        victim.task_memcg = MemoryCgroupOf(*text);
    }
  }
  if (container_) {
    if (const auto counters = container_->ReadOomCounters()) {
      look.counter = counters->oom_kill_tree;
      look.oom_local = counters->oom_local;
    }
  }
  if (pod_) {
    if (const auto counters = pod_->ReadOomCounters()) look.pod_oom_local = counters->oom_local;
  }
  look.first_process_dying = dying || FirstProcessDying();  // asked last: a SIGKILL sent meanwhile is seen
  look.at_ns = base::MonotonicNs();
  if (auto comm = base::ReadFile("/proc/" + std::to_string(pid_) + "/comm", 256)) {
    while (!comm->empty() && comm->back() == '\n') comm->pop_back();
    look.first_process_comm = *comm;
  }
  return look;
}

// By the peaks. The kernel charges in batches of 64 pages (mm/memcontrol.c, MEMCG_CHARGE_BATCH), so a limit
// may be reached that much below it. A pod's peak is as old as the pod.
OomLedger::LimitsMet OomWatch::ReadLimitsMet() const {
  if (host_.version() == cgroupfs::Version::kV2) return {};  // memory.events.local tells
  const auto met = [](const cgroupfs::Cgroup* cgroup) {
    constexpr std::uint64_t kBatch = 64 * 4096;
    if (cgroup == nullptr) return false;
    const auto stats = cgroup->ReadStats();
    return stats && stats->memory.limit_bytes &&
           stats->memory.peak_bytes.value_or(*stats->memory.limit_bytes) + kBatch >=
               *stats->memory.limit_bytes;
  };
  OomLedger::LimitsMet limits{met(container_.get()), met(pod_.get()), false};
  for (auto end = pod_cgroup_.rfind('/'); end != std::string::npos && end > 0 && !limits.above;
       end = pod_cgroup_.rfind('/', end - 1)) {
    const auto above = host_.At(pod_cgroup_.substr(0, end));
    limits.above = above && met(above->get());
  }
  return limits;
}

void OomWatch::Look() {
  if (!ledger_.armed() || ended_) return;
  ledger_.Add(Read(false));
  // What is open must be settled soon, or a SIGKILL from elsewhere could be taken for the kernel's.
  if (!ledger_.HasOpen() || settling_ != 0) return;
  settling_ = loop_.After(kSampleAgain[0], [this] {
    settling_ = 0;
    Look();
  });
}

// Peak and, where the scope is a cgroup's, limit of `cgroup`.
void OomWatch::ReadScope(const cgroupfs::Cgroup* cgroup, OomEvidence& oom) {
  if (cgroup == nullptr) return;
  const auto stats = cgroup->ReadStats();
  if (!stats) return;
  oom.peak_bytes = stats->memory.peak_bytes;
  if (oom.scope == "container" || oom.scope == "pod") oom.limit_bytes = stats->memory.limit_bytes;
}

OomEvidence OomWatch::Judge(const base::ExitStatus& status, bool killed_by_us,
                            std::optional<std::int64_t> memory_limit) {
  if (!ledger_.armed()) return {};
  ledger_.Add(Read(true));
  ended_ = true;
  const OomLedger::LimitsMet met = ReadLimitsMet();
  OomEvidence oom = ledger_.Judge(status, killed_by_us, met);
  const bool either = oom.scope == "unknown" && oom.victim && met.container && met.pod && !met.above;
  if (either) oom.scope = "pod";  // told below if it is the same limit
  if (oom.kills > 0) ReadScope(oom.scope == "pod" ? pod_.get() : container_.get(), oom);
  // A pod of one limited container has that container's limit, and the kernel names the one that it charged
  // first. The number is the same; the limit that somebody wrote down is the container's.
  if (oom.scope == "pod" && oom.limit_bytes && memory_limit &&
      static_cast<std::int64_t>(*oom.limit_bytes) == *memory_limit) {
    oom.scope = "container";
    ReadScope(container_.get(), oom);
  } else if (either) {
    oom.scope = "unknown";
    oom.limit_bytes.reset();
    ReadScope(container_.get(), oom);
  }
  if (oom.scope == "container" && !oom.limit_bytes && memory_limit && *memory_limit > 0) {
    oom.limit_bytes = static_cast<std::uint64_t>(*memory_limit);
  }
  return oom;
}

std::uint64_t OomWatch::CountKills() {
  Look();
  return ledger_.kills();
}

bool OomWatch::KilledExec(const OomLedger::Exec& exec) {
  Look();
  return ledger_.Claim(exec);
}

bool OomWatch::KilledWhileStarting() {
  if (ledger_.armed()) {
    Look();
    if (ledger_.kills() > 0) return true;
  } else if (log_) {
    auto news = log_->Read();
    early_.victims.insert(early_.victims.end(), news.victims.begin(), news.victims.end());
  }
  for (const auto& victim : early_.victims) {
    if (victim.task_memcg && NamesCgroup(*victim.task_memcg, cgroup_, true)) return true;
    if (pid_ > 0 && victim.pid == pid_) return true;
  }
  // The kernel may have kept the line that names the cgroup to itself: its counter tells too, while the
  // cgroup is there.
  if (auto at = host_.At(cgroup_)) {
    const auto counters = (*at)->ReadOomCounters();
    if (counters && counters->oom_kill_tree > 0) return true;
  }
  return false;
}

}  // namespace berth::monitor
