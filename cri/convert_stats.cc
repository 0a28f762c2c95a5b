// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_stats.h"

#include "cri/convert_image.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

void FillPsiLine(const cgroupfs::PsiLine& line, v1::PsiData* out) {
  out->set_total(line.total_us * 1000);  // the kernel counts microseconds, CRI nanoseconds
  out->set_avg10(line.avg10);
  out->set_avg60(line.avg60);
  out->set_avg300(line.avg300);
}

template <typename Message>
void FillPsi(const std::optional<cgroupfs::Psi>& psi, Message* out) {
  if (!psi) return;
  FillPsiLine(psi->some, out->mutable_psi()->mutable_some());
  FillPsiLine(psi->full, out->mutable_psi()->mutable_full());
}

void FillMemory(const cgroupfs::MemoryStats& in, v1::MemoryUsage* out) {
  out->set_timestamp(in.timestamp_ns);
  out->mutable_working_set_bytes()->set_value(in.working_set_bytes);
  if (in.limit_bytes) {
    out->mutable_available_bytes()->set_value(
        *in.limit_bytes > in.working_set_bytes ? *in.limit_bytes - in.working_set_bytes : 0);
  }
  out->mutable_usage_bytes()->set_value(in.usage_bytes);
  out->mutable_rss_bytes()->set_value(in.rss_bytes);
  out->mutable_page_faults()->set_value(in.page_faults);
  out->mutable_major_page_faults()->set_value(in.major_page_faults);
}

void FillSwap(const cgroupfs::MemoryStats& in, v1::SwapUsage* out) {
  out->set_timestamp(in.timestamp_ns);
  out->mutable_swap_usage_bytes()->set_value(*in.swap_usage_bytes);
  if (in.swap_limit_bytes) {
    out->mutable_swap_available_bytes()->set_value(
        *in.swap_limit_bytes > *in.swap_usage_bytes ? *in.swap_limit_bytes - *in.swap_usage_bytes : 0);
  }
}

}  // namespace

v1::ContainerStats StatsMessage(const runtime::ContainerStatsView& view) {
  v1::ContainerStats out;
  auto* attributes = out.mutable_attributes();
  attributes->set_id(view.container->id);
  attributes->mutable_metadata()->set_name(view.container->config.metadata.name);
  attributes->mutable_metadata()->set_attempt(view.container->config.metadata.attempt);
  attributes->mutable_labels()->insert(view.container->config.labels.begin(),
                                       view.container->config.labels.end());
  attributes->mutable_annotations()->insert(view.container->config.annotations.begin(),
                                            view.container->config.annotations.end());
  const auto& stats = view.stats;
  if (stats.cpu.timestamp_ns > 0) {
    out.mutable_cpu()->set_timestamp(stats.cpu.timestamp_ns);
    out.mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(stats.cpu.usage_ns);
    FillPsi(stats.cpu_psi, out.mutable_cpu());
  }
  if (stats.memory.timestamp_ns > 0) {
    FillMemory(stats.memory, out.mutable_memory());
    FillPsi(stats.memory_psi, out.mutable_memory());
    if (stats.memory.swap_usage_bytes) FillSwap(stats.memory, out.mutable_swap());
  }
  if (stats.io_psi) {
    out.mutable_io()->set_timestamp(stats.cpu.timestamp_ns);
    FillPsi(stats.io_psi, out.mutable_io());
  }
  if (view.writable_layer) FillUsage(*view.writable_layer, out.mutable_writable_layer());
  return out;
}

}  // namespace berth::cri
