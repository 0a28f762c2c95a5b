// SPDX-License-Identifier: Apache-2.0
// What `berth explain` shows, as protobuf.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/berth/operator/v1/operator.pb.h"
#include "runtime/runtime.h"

namespace berth::cri {

// `max_log_lines` 0: ten.
void FillExplanation(const runtime::Runtime& runtime, const runtime::Explanation& explanation,
                     std::uint32_t max_log_lines, ops::v1::ExplainResponse* reply);

// One line of a CRI log file: "<RFC 3339 time> <stdout|stderr> <P|F>[:tag] <text>". A line of another shape
// becomes text without a time. Pure.
void FillLogLine(const std::string& line, ops::v1::LogLine* out);

// The exit record's sections. Pure.
void FillExit(const runtime::ContainerStatus& container, const std::optional<monitor::ExitRecord>& record,
              ops::v1::ContainerExplanation* out);

}  // namespace berth::cri
