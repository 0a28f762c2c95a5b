// SPDX-License-Identifier: Apache-2.0
// List filters of CRI: fields are ANDed, labels match exactly, ids by prefix as well. An absent filter
// matches all. Pure.
#pragma once

#include "proto/cri/v1/api.pb.h"
#include "runtime/types.h"

namespace berth::cri {

bool Matches(const ::runtime::v1::PodSandboxFilter& filter, const runtime::PodStatus& pod);
bool Matches(const ::runtime::v1::ContainerFilter& filter, const runtime::ContainerStatus& container);
bool Matches(const ::runtime::v1::ContainerStatsFilter& filter, const runtime::ContainerStatus& container);

}  // namespace berth::cri
