// SPDX-License-Identifier: Apache-2.0
#include "network/plugin.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/process.h"
#include "base/status.h"
#include "network/capabilities.h"
#include "network/json.h"
#include "network/result.h"

namespace berth::network {
namespace {

constexpr std::int64_t kVersionBudget = 5 * base::kSecondNs;
constexpr int kBusyTries = 40;
constexpr int kBusyWaitMs = 50;

std::string Signature(const struct stat& info) {
  return absl::StrCat(info.st_dev, ":", info.st_ino, ":", info.st_size, ":", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec, ":", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec);
}

// A plugin that is being copied into its place is "text file busy" for a moment.
base::Result<base::CommandResult> RunPastBusy(const base::SpawnOptions& options, const std::string& request,
                                              base::Deadline deadline) {
  for (int tries = 1;; ++tries) {
    auto result = base::RunCommand(options, request, deadline, kMaxJsonBytes + 1);
    if (result.ok() || result.error().err != ETXTBSY || tries == kBusyTries || deadline.Passed())
      return result;
    (void)::poll(nullptr, 0, kBusyWaitMs);  // nothing announces the end of the copying
  }
}

}  // namespace

absl::StatusOr<std::string> FindPlugin(const std::vector<std::string>& bin_dirs, const std::string& type) {
  for (const auto& dir : bin_dirs) {
    std::string path = absl::StrCat(dir, "/", type);
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0)
      return path;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("plugin '", type, "' not found in '", absl::StrJoin(bin_dirs, "', '"), "'"));
}

absl::StatusOr<std::string> RunPlugin(const std::string& path, std::vector<std::string> env,
                                      const std::string& request, base::Deadline deadline) {
  base::SpawnOptions options;
  options.argv = {path};
  options.env = std::move(env);
  options.cwd = "/";
  options.parent_death_signal =
      SIGKILL;  // this thread waits for the whole run, so the signal means the daemon's death
  auto result = RunPastBusy(options, request, deadline);
  if (!result.ok()) {
    if (result.error().err == ETIMEDOUT) {
      return absl::DeadlineExceededError("did not end in time and was killed");
    }
    return base::WithCode(absl::StatusCode::kInternal, base::ToStatus(result.error()));
  }
  if (result->status.signaled || result->status.code != 0) {
    absl::Status status = absl::InternalError(FailureWords(result->out, result->err, result->status));
    if (const auto error = ParsePluginError(result->out))
      status.SetPayload(kPluginCodeUrl, absl::Cord(absl::StrCat(error->code)));
    return status;
  }
  if (result->out.size() > kMaxJsonBytes) return absl::InternalError("printed more than 1 MiB");
  return std::move(result->out);
}

int PluginCodeOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPluginCodeUrl);
  int code = 0;
  return payload && absl::SimpleAtoi(std::string(*payload), &code) ? code : 0;
}

std::vector<CniVersion> VersionCache::Supported(const std::string& path,
                                                const std::vector<std::string>& bin_dirs) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  const std::string signature = Signature(info);
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = entries_.find(path); at != entries_.end() && at->second.signature == signature)
      return at->second.versions;
  }
  // Plugins on old libraries check these two even for VERSION.
  auto env = PluginEnv(environ, "VERSION", bin_dirs);
  env.emplace_back("CNI_NETNS=dummy");
  env.emplace_back("CNI_IFNAME=dummy");
  const std::string request = absl::StrCat("{\"cniVersion\":\"", kNewestCni.ToString(), "\"}");
  const auto out = RunPlugin(path, std::move(env), request, base::Deadline::After(kVersionBudget));
  std::vector<CniVersion> versions;
  if (out.ok()) versions = ParseSupportedVersions(*out);
  const std::lock_guard lock(mutex_);
  entries_[path] = {signature, versions};
  return versions;
}

bool IsNetns(const std::string& path) {
  constexpr long kNsfs = 0x6e736673;  // NSFS_MAGIC, linux/magic.h
  struct statfs info {};
  return !path.empty() && ::statfs(path.c_str(), &info) == 0 && info.f_type == kNsfs;
}

}  // namespace berth::network
