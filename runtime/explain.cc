// SPDX-License-Identifier: Apache-2.0
#include "runtime/explain.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/core.h"

namespace berth::runtime {
namespace {

constexpr off_t kTailBytes = 64 << 10;
constexpr std::size_t kExplainLines = 20;

std::optional<cgroupfs::Resources> LimitsOf(const Options& options, const std::string& path) {
  const auto cgroup = options.cgroups->At(path);
  if (!cgroup.ok() || !(*cgroup)->Exists()) return std::nullopt;
  auto limits = (*cgroup)->ReadLimits();
  return limits.ok() ? std::optional(std::move(*limits)) : std::nullopt;
}

}  // namespace

absl::StatusOr<ContainerStatsView> ReadStats(const Options& options,
                                             const std::shared_ptr<const ContainerStatus>& container) {
  ContainerStatsView view;
  view.container = container;
  if (auto usage = options.images->WritableUsage(container->id); usage.ok())
    view.writable_layer = std::move(*usage);
  if (container->state != ContainerState::kRunning) return view;
  BERTH_ASSIGN_OR_RETURN(const auto cgroup, base::ToStatusOr(options.cgroups->At(container->cgroup)));
  auto stats = cgroup->ReadStats();
  if (!stats.ok())
    return base::WithCode(absl::StatusCode::kFailedPrecondition, base::ToStatus(stats.error()),
                          "the container has ended meanwhile");
  view.stats = std::move(*stats);
  return view;
}

std::vector<std::string> LastLines(const std::string& path, std::size_t lines) {
  auto fd = base::OpenAt(AT_FDCWD, path, O_RDONLY);
  if (!fd.ok()) return {};
  const off_t size = ::lseek(fd->get(), 0, SEEK_END);
  if (size <= 0) return {};
  const off_t from = size > kTailBytes ? size - kTailBytes : 0;
  if (::lseek(fd->get(), from, SEEK_SET) < 0) return {};
  auto text = base::ReadFd(fd->get(), kTailBytes * 2);
  if (!text.ok()) return {};
  std::vector<std::string> all = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  if (from > 0 && !all.empty()) all.erase(all.begin());  // begins in the middle
  if (all.size() > lines) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(lines));
  return all;
}

absl::StatusOr<Explanation> Explain(const Options& options, const Table& table, const std::string& id) {
  Explanation explanation;
  const auto container = table.FindContainer(id);
  if (container.ok()) {
    explanation.container = *container;
    BERTH_ASSIGN_OR_RETURN(explanation.pod, table.FindPod(explanation.container->pod_id));
    const ContainerPlaces places(options, explanation.pod->id, explanation.container->id);
    if (auto record = monitor::ReadExitRecord(places.record_dir, places.state); record.ok())
      explanation.record = std::move(*record);
    explanation.container_limits = LimitsOf(options, explanation.container->cgroup);
    if (auto view = ReadStats(options, *container);
        view.ok() && explanation.container->state == ContainerState::kRunning)
      explanation.stats = view->stats;
    explanation.last_log_lines = LastLines(explanation.container->log_path, kExplainLines);
  } else {
    const auto pod = table.FindPod(id);
    if (!pod.ok())
      return absl::IsNotFound(container.status()) && absl::IsNotFound(pod.status())
                 ? absl::NotFoundError(absl::StrCat("no container or pod '", id, "'"))
                 : (absl::IsNotFound(container.status()) ? pod.status() : container.status());
    explanation.pod = *pod;
  }
  explanation.pod_limits = LimitsOf(options, explanation.pod->cgroup);
  return explanation;
}

}  // namespace berth::runtime
