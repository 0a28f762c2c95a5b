// SPDX-License-Identifier: Apache-2.0
// How the CLI writes things for people. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

// Columns as wide as their widest cell, two blanks between, nothing after the last.
std::string Table(const std::vector<std::vector<std::string>>& rows);
// "49.6 MiB", "512 B".
std::string Bytes(std::uint64_t bytes);
// "3 s", "12 min", "5 h", "9 d": of a duration.
std::string Duration(std::int64_t ns);
// "2026-11-22T14:09:00.123Z"; "-" for 0.
std::string Time(std::int64_t unix_ns);
// Names of processes and log lines are hostile text: control characters become \xNN, so that no terminal
// obeys them.
std::string Printable(std::string_view text);

}  // namespace berth::cli
