// SPDX-License-Identifier: Apache-2.0
// Pure readers of what the kernel prints in cgroup files. What is malformed yields nullopt, never a guess.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgroupfs/cgroup.h"

namespace berth::cgroupfs {

// Without white space at both ends.
std::string_view Trim(std::string_view text);
std::vector<std::string_view> SplitLines(std::string_view text);  // without empty ones
std::vector<std::string_view> SplitWords(std::string_view line);  // by blanks
bool HasLine(std::string_view text, std::string_view line);

// A whole decimal number and nothing else but white space around it.
std::optional<std::uint64_t> ParseNumber(std::string_view text);
std::optional<std::int64_t> ParseSigned(std::string_view text);
// "max" is kUnlimited; a number beyond int64 too.
std::optional<std::int64_t> ParseMaxOrNumber(std::string_view text);
// Flat keyed files ("key value" per line: memory.stat, cpu.stat, memory.events): the value of `key`.
std::optional<std::uint64_t> ParseKeyed(std::string_view text, std::string_view key);
// cgroup.procs. Zeros (processes outside our pid namespace) are left out.
std::vector<pid_t> ParsePids(std::string_view text);
// cpu.pressure and the like (Documentation/accounting/psi.rst). cpu.pressure of kernels before 5.13 has no
// "full" line.
std::optional<Psi> ParsePsi(std::string_view text);
// "0-2,5": ranges of a cpuset list in ascending order of appearance; nullopt when it is no such list.
bool IsCpuList(std::string_view text);
// "hugepages-2048kB" → "2MB", as the kernel spells it in hugetlb's file names (mem_fmt: the largest unit that
// is not exceeded).
std::optional<std::string> HugepageSizeFromDir(std::string_view name);

// 52428800 → "50.0 MiB (52428800 bytes)"
std::string BytesText(std::uint64_t bytes);
// "12, 13 and 7 more"
std::string PidsText(const std::vector<pid_t>& pids);

}  // namespace berth::cgroupfs
