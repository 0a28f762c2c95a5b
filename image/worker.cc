// SPDX-License-Identifier: Apache-2.0
#include "image/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "image/digest.h"
#include "image/unpack/exit_codes.h"

namespace berth::image {
namespace {

// Kept free for everybody else on the disk: exit records and the database among them.
constexpr std::uint64_t kReserve = 32ULL << 20;
// Below this much dirty data in the whole node one syncfs is quicker than an fsync per file; above, it would
// wait for everybody's pages.
constexpr std::uint64_t kDirtyLimitKib = 256 * 1024;
constexpr std::size_t kReportCap = 16 << 20;
constexpr timeval kStalled{300,
                           0};  // a worker that takes nothing for so long is stuck (D state): the pull fails

std::uint64_t DirtyKib() {
  auto info = base::ReadFile("/proc/meminfo");
  if (!info) return 0;
  const auto at = info->find("\nDirty:");
  return at == std::string::npos ? 0 : std::strtoull(info->c_str() + at + 7, nullptr, 10);
}

absl::StatusOr<UnpackReport> ParseReport(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  UnpackReport report;
  // The worker may be in a hostile layer's hands: its words are checked like anybody's.
  try {
    report.diff_id = json.at("diff_id").get<std::string>();
    report.archive_bytes = json.at("archive_bytes").get<std::uint64_t>();
    report.entries = json.at("entries").get<std::uint64_t>();
    report.size_bytes = json.at("size_bytes").get<std::uint64_t>();
    report.disk_bytes = json.at("disk_bytes").get<std::uint64_t>();
    report.inodes = json.at("inodes").get<std::uint64_t>();
    report.xattrs_dropped = json.at("xattrs_dropped").get<std::uint64_t>();
    report.implicit = json.at("implicit").get<std::vector<std::string>>();
    report.root_named = json.at("root_named").get<bool>();
  } catch (const nlohmann::json::exception&) {
    return absl::InternalError("berth-unpack's report is unreadable");
  }
  if (!IsDigest(report.diff_id)) return absl::InternalError("berth-unpack reported no digest");
  return report;
}

std::vector<std::string> Environment() {
  std::vector<std::string> env;
#ifdef BERTH_FAULTS
  for (const char* name : {"BERTH_FAULT", "BERTH_FAULT_LIST"}) {
    if (const char* value = std::getenv(name); value != nullptr)
      env.push_back(absl::StrCat(name, "=", value));
  }
#endif
#ifdef BERTH_SANITIZED
  env.emplace_back("ASAN_OPTIONS=detect_leaks=0");
#endif
  return env;
}

}  // namespace

absl::StatusOr<std::uint64_t> FreeBytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0)
    return base::SyscallError(errno, absl::StrCat("statvfs '", path, "'"));
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free <= kReserve) {
    return absl::ResourceExhaustedError(absl::StrCat("disk full: '", path, "' has ", free >> 20,
                                                     " MiB left, of which ", kReserve >> 20, " are kept"));
  }
  return free - kReserve;
}

absl::StatusOr<UnpackWorker> UnpackWorker::Start(const WorkerOptions& options, const std::string& directory) {
  BERTH_ASSIGN_OR_RETURN(const std::uint64_t free, FreeBytes(directory));
  BERTH_ASSIGN_OR_RETURN(auto target,
                         base::ToStatusOr(base::OpenAt(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY)));
  // A socket pair, not a pipe: a worker that ends early is EPIPE without a signal.
  int in[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0)
    return base::SyscallError(errno, "socketpair for berth-unpack");
  base::UniqueFd in_child(in[0]);
  UnpackWorker worker;
  worker.input_.Reset(in[1]);
  worker.directory_ = directory;
  constexpr int kBuffer = 1 << 20;
  ::setsockopt(in[1], SOL_SOCKET, SO_SNDBUF, &kBuffer, sizeof kBuffer);
  ::setsockopt(in[1], SOL_SOCKET, SO_SNDTIMEO, &kStalled, sizeof kStalled);
  int out[2];
  int err[2];
  if (::pipe2(out, O_CLOEXEC) != 0) return base::SyscallError(errno, "pipe for berth-unpack");
  worker.output_.Reset(out[0]);
  base::UniqueFd out_child(out[1]);
  if (::pipe2(err, O_CLOEXEC) != 0) return base::SyscallError(errno, "pipe for berth-unpack");
  worker.errors_.Reset(err[0]);
  base::UniqueFd err_child(err[1]);

  base::SpawnOptions spawn;
  spawn.argv = {options.program, options.layer ? "--mode=layer" : "--mode=files",
                absl::StrCat("--max-bytes=", free), absl::StrCat("--max-entries=", options.max_entries),
                DirtyKib() < kDirtyLimitKib ? "--sync=filesystem" : "--sync=files"};
  spawn.env = Environment();
  spawn.fds = {
      {in_child.get(), 0}, {out_child.get(), 1}, {err_child.get(), 2}, {target.get(), unpack::kTargetFd}};
  spawn.new_session = true;
  // Dies with the thread that feeds it, and so with a killed berthd: nothing is left that writes into a swept
  // directory.
  spawn.parent_death_signal = SIGKILL;
  BERTH_ASSIGN_OR_RETURN(worker.child_, base::ToStatusOr(base::Spawn(spawn)));
  return worker;
}

UnpackWorker::~UnpackWorker() {
  if (!child_.pidfd) return;
  (void)base::PidfdSignal(child_.pidfd.get(), SIGKILL);
  (void)base::WaitChild(child_, base::Deadline::After(30 * base::kSecondNs));
}

absl::Status UnpackWorker::Feed(std::string_view data) {
  while (!data.empty()) {
    const ssize_t put = ::send(input_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return absl::DeadlineExceededError("unpacking stalled for 300 s: the disk takes nothing");
    }
    if (put < 0) return base::SyscallError(errno, "feed berth-unpack");
    data.remove_prefix(static_cast<std::size_t>(put));
  }
  return absl::OkStatus();
}

absl::StatusOr<UnpackReport> UnpackWorker::Finish() {
  input_.Reset();
  // Its errors are short and never fill a pipe, so one after the other is safe.
  auto report = base::ReadFd(output_.get(), kReportCap);
  auto errors = base::ReadFd(errors_.get());
  auto status = base::WaitChild(child_);
  child_.pidfd.Reset();
  if (!status) return base::ToStatus(status.error());
  std::string words = errors.ok() ? *errors : std::string();
  while (!words.empty() && words.back() == '\n') words.pop_back();
  if (status->signaled)
    return absl::InternalError(
        absl::StrCat("berth-unpack died: ", status->ToString(), words.empty() ? "" : ": ", words));
  switch (status->code) {
    case unpack::kExitDone:
      break;
    case unpack::kExitFull:
      return absl::ResourceExhaustedError(
          absl::StrCat("disk full while unpacking below '", directory_, "': ", words));
    case unpack::kExitArchive:
      return absl::FailedPreconditionError(words);
    default:
      return absl::InternalError(absl::StrCat("unpack: ", words.empty() ? status->ToString() : words));
  }
  if (!report.ok()) return base::ToStatus(report.error());
  return ParseReport(*report);
}

}  // namespace berth::image
