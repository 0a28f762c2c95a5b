// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace berth::e2e::bench {

// One line on stderr, with the minutes and seconds since the program began. Thread-safe.
void Say(const std::string& text);

}  // namespace berth::e2e::bench
