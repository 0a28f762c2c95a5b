// SPDX-License-Identifier: Apache-2.0
#include "monitor/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"

namespace berth::monitor {
namespace {

template <typename T>
bool Number(std::string_view text, T& into, std::string_view* rest = nullptr) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), into);
  if (parsed.ec != std::errc()) return false;
  if (rest != nullptr) *rest = text.substr(static_cast<std::size_t>(parsed.ptr - text.data()));
  return true;
}

// "<prefix>,<sequence>,<time>,<flags>;<message>\n key=value…": the message of a record of the kernel's own.
std::optional<std::string_view> KernelMessage(std::string_view record) {
  unsigned prefix = 0;
  if (!Number(record, prefix) || prefix >> 3 != 0) return std::nullopt;
  const auto semicolon = record.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  const auto message = record.substr(semicolon + 1);
  return message.substr(0, message.find('\n'));
}

std::uint64_t KilobytesAfter(std::string_view text, std::string_view name) {
  const auto at = text.find(name);
  std::uint64_t kilobytes = 0;
  if (at == std::string_view::npos || !Number(text.substr(at + name.size()), kilobytes)) return 0;
  return kilobytes * 1024;
}

bool IsWithin(std::string_view path, std::string_view parent) {
  if (parent == "/" || path == parent) return true;
  return path.size() > parent.size() && path.substr(0, parent.size()) == parent && path[parent.size()] == '/';
}

// "oom-kill:constraint=…,oom_memcg=A,task_memcg=B,task=COMM,pid=N,uid=N". A, B and COMM may hold anything,
// commas and all, so it is read from the right, and COMM and N are those of the victim's own line, which no
// name can disturb.
void ReadConstraint(std::string_view line, KernelVictim& victim) {
  const auto uid = line.rfind(",uid=");
  if (uid == std::string_view::npos) return;
  const std::string tail = ",task=" + victim.comm + ",pid=" + std::to_string(victim.pid);
  line = line.substr(0, uid);
  if (line.size() < tail.size() || line.substr(line.size() - tail.size()) != tail)
    return;  // another victim's
  line.remove_suffix(tail.size());
  constexpr std::string_view kTask = ",task_memcg=";
  constexpr std::string_view kOom = ",oom_memcg=";
  const auto task = line.rfind(kTask);
  if (task == std::string_view::npos) return;
  const std::string_view task_memcg = line.substr(task + kTask.size());
  line = line.substr(0, task);
  if (victim.global) {
    victim.task_memcg = std::string(task_memcg);
    return;
  }
  const auto oom = line.rfind(kOom);
  if (oom == std::string_view::npos) return;
  const std::string_view oom_memcg = line.substr(oom + kOom.size());
  // The victim lives at or below the cgroup whose limit was hit. If not, a name fooled us: believe neither.
  if (task_memcg.empty() || task_memcg.front() != '/' || !IsWithin(task_memcg, oom_memcg)) return;
  victim.task_memcg = std::string(task_memcg);
  victim.oom_memcg = std::string(oom_memcg);
}

// "Memory cgroup out of memory: Killed process 25323 (python3) total-vm:…kB, anon-rss:…kB, file-rss:…kB,
// shmem-rss:…kB, UID:0 …"
std::optional<KernelVictim> ReadVictim(std::string_view message) {
  constexpr std::string_view kMemcg = "Memory cgroup out of memory";
  constexpr std::string_view kGlobal = "Out of memory";
  KernelVictim victim;
  if (message.substr(0, kGlobal.size()) == kGlobal) {
    victim.global = true;
  } else if (message.substr(0, kMemcg.size()) != kMemcg) {
    return std::nullopt;
  }
  // Before the first "(" of the name there is kernel text only ("Out of memory (oom_kill_allocating_task)"
  // has its own brackets).
  constexpr std::string_view kKilled = ": Killed process ";
  const auto killed = message.find(kKilled);
  if (killed == std::string_view::npos) return std::nullopt;
  std::string_view rest;
  if (!Number(message.substr(killed + kKilled.size()), victim.pid, &rest) || rest.substr(0, 2) != " (")
    return std::nullopt;
  const auto end = rest.rfind(") total-vm:");  // the last one: the numbers after it are the kernel's
  if (end == std::string_view::npos || end < 2) return std::nullopt;
  victim.comm = std::string(rest.substr(2, end - 2));
  const std::string_view numbers = rest.substr(end);
  victim.rss_bytes = KilobytesAfter(numbers, "anon-rss:") + KilobytesAfter(numbers, "file-rss:") +
                     KilobytesAfter(numbers, "shmem-rss:");
  return victim;
}

}  // namespace

std::optional<KernelVictim> KernelLogParser::Feed(std::string_view record) {
  const auto message = KernelMessage(record);
  if (!message) return std::nullopt;
  constexpr std::string_view kConstraint = "oom-kill:constraint=";
  if (message->substr(0, kConstraint.size()) == kConstraint) {
    constraint_ = std::string(*message);
    return std::nullopt;
  }
  auto victim = ReadVictim(*message);
  if (victim) ReadConstraint(constraint_, *victim);
  return victim;
}

std::optional<std::string> MemoryCgroupOf(std::string_view proc_cgroup) {
  std::optional<std::string> unified;
  for (std::size_t begin = 0; begin < proc_cgroup.size();) {
    // "hierarchy:controller,controller:path"; the path may hold colons. v2's line is "0::path".
    const std::size_t end = std::min(proc_cgroup.find('\n', begin), proc_cgroup.size());
    const std::string_view line = proc_cgroup.substr(begin, end - begin);
    begin = end + 1;
    const auto first = line.find(':');
    const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string_view path = line.substr(second + 1);
    constexpr std::string_view kDeleted = " (deleted)";
    if (path.size() > kDeleted.size() && path.substr(path.size() - kDeleted.size()) == kDeleted)
      path.remove_suffix(kDeleted.size());
    if (path == "/") path = {};
    const auto named = path.empty() ? std::nullopt : std::optional<std::string>(path);
    if (controllers.find(",memory,") != std::string::npos) return named;
    if (controllers == ",,") unified = named;
  }
  return unified;
}

base::Result<KernelLog> KernelLog::Open(const std::string& path) {
  auto fd = base::OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!fd) return fd.TakeError();
  if (::lseek(fd->get(), 0, SEEK_END) < 0) return base::SyscallFailed(errno, "seek '" + path + "'");
  return KernelLog(std::move(*fd));
}

KernelLogNews KernelLog::Read() {
  KernelLogNews news;
  // More than the kernel's longest record (CONSOLE_EXT_LOG_MAX is 8192). Each read(2) is one record.
  static char buffer[16384];
  constexpr int kMostRecords = 1 << 20;
  for (int i = 0; i < kMostRecords; ++i) {
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got > 0) {
      if (auto victim = parser_.Feed(std::string_view(buffer, static_cast<std::size_t>(got))))
        news.victims.push_back(std::move(*victim));
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EPIPE) {  // overrun: the next read goes on with the oldest record there is
      news.lost = true;
      continue;
    }
    if (got == 0 || errno != EAGAIN) news.lost = news.lost || got < 0;
    break;
  }
  return news;
}

}  // namespace berth::monitor
