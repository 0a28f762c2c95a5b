// SPDX-License-Identifier: Apache-2.0
// The reason and the message of an exit record, for people. Pure.
#pragma once

#include <string>

#include "monitor/exit_record.h"

namespace berth::monitor {

// "49.6 MiB", "512 B".
std::string HumanBytes(std::uint64_t bytes);
// "2 s", "0.4 s", "3 min 5 s".
std::string HumanDuration(std::int64_t ns);

// Fills exit_code, reason and message from the facts already in the record (status, times, oom, stop,
// log_dropped_bytes).
void Explain(ExitRecord& record);
// For a container that never ran: exit_code, reason StartError, message. `command` is its argv[0], "" when
// unknown. `runtime`: the OCI runtime's path.
void ExplainStartFailure(ExitRecord& record, const std::string& command, bool out_of_memory,
                         std::optional<std::int64_t> limit_bytes, const std::string& runtime);

}  // namespace berth::monitor
