// SPDX-License-Identifier: Apache-2.0
// The monitor's own few words: one line on stderr, which is its log file.
#pragma once

#include <string>

namespace berth::monitor {
void Say(const std::string& line);
}  // namespace berth::monitor
