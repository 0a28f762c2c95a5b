// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_resources.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

absl::StatusOr<std::optional<std::int64_t>> Positive(const char* field, std::int64_t value) {
  if (value < 0) return absl::InvalidArgumentError(absl::StrCat(field, " ", value, " is negative"));
  return value == 0 ? std::nullopt : std::optional(value);
}

absl::StatusOr<std::optional<std::int64_t>> Limit(const char* field, std::int64_t value) {
  if (value < cgroupfs::kUnlimited) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " ", value, " is neither a limit nor -1 (unlimited)"));
  }
  return value == 0 ? std::nullopt : std::optional(value);
}

}  // namespace

absl::StatusOr<cgroupfs::Resources> ResourcesFrom(const v1::LinuxContainerResources& in) {
  cgroupfs::Resources out;
  BERTH_ASSIGN_OR_RETURN(out.cpu_shares, Positive("cpu_shares", in.cpu_shares()));
  BERTH_ASSIGN_OR_RETURN(out.cpu_period_us, Positive("cpu_period", in.cpu_period()));
  BERTH_ASSIGN_OR_RETURN(out.cpu_quota_us, Limit("cpu_quota", in.cpu_quota()));
  BERTH_ASSIGN_OR_RETURN(out.memory_limit_bytes, Limit("memory_limit_in_bytes", in.memory_limit_in_bytes()));
  BERTH_ASSIGN_OR_RETURN(out.memory_swap_limit_bytes,
                         Limit("memory_swap_limit_in_bytes", in.memory_swap_limit_in_bytes()));
  out.cpuset_cpus = in.cpuset_cpus();
  out.cpuset_mems = in.cpuset_mems();
  for (const auto& limit : in.hugepage_limits())
    out.hugepage_limits.push_back({limit.page_size(), limit.limit()});
  for (const auto& [file, value] : in.unified()) {
    // They become names of files in the container's cgroup.
    if (file.empty() || file.find('/') != std::string::npos || file[0] == '.') {
      return absl::InvalidArgumentError(absl::StrCat("unified key '", file, "' is no name of a cgroup file"));
    }
    out.unified[file] = value;
  }
  return out;
}

void EchoResources(const cgroupfs::Resources& in, std::optional<std::int64_t> oom_score_adj,
                   v1::LinuxContainerResources* out) {
  out->set_cpu_shares(in.cpu_shares.value_or(0));
  out->set_cpu_quota(in.cpu_quota_us.value_or(0));
  out->set_cpu_period(in.cpu_period_us.value_or(0));
  out->set_memory_limit_in_bytes(in.memory_limit_bytes.value_or(0));
  out->set_memory_swap_limit_in_bytes(in.memory_swap_limit_bytes.value_or(0));
  out->set_oom_score_adj(oom_score_adj.value_or(0));
  out->set_cpuset_cpus(in.cpuset_cpus);
  out->set_cpuset_mems(in.cpuset_mems);
  for (const auto& limit : in.hugepage_limits) {
    auto* echoed = out->add_hugepage_limits();
    echoed->set_page_size(limit.page_size);
    echoed->set_limit(limit.limit_bytes);
  }
  out->mutable_unified()->insert(in.unified.begin(), in.unified.end());
}

}  // namespace berth::cri
