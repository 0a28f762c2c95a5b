// SPDX-License-Identifier: Apache-2.0
// Conversions between CRI's numbers (cgroup v1's) and those of the files. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cgroupfs/resources.h"

namespace berth::cgroupfs {

// cpu.weight from shares (declared in cgroup.h, for all): the curve that goes through the least, the default
// and the greatest of both scales, (2 → 1), (1024 → 100), (262144 → 10000):
//   weight = ceil(10^((l² + 125·l)/612 − 7/34)), l = log2(shares)
// kubelet 1.36 sizes pod cgroups by the same curve, so a container and its pod stay in proportion. Older
// runtimes (crun before 1.23, runc before 1.3.2) map linearly, 1024 → 39: give them cpu.weight through
// `unified`.
//
// Its inverse, rounded: exact for 2, 1024 and 262144 and every weight maps to itself there and back.
std::int64_t SharesFromWeight(std::uint64_t weight);

// v1's memsw and CRI count memory and swap together, v2's memory.swap.max swap alone.
// EINVAL when the sum is below the memory limit or memory is without a limit and the sum is not.
base::Result<std::int64_t> SwapAlone(std::int64_t memory, std::int64_t memory_and_swap);
// Back: kUnlimited when either is.
std::int64_t MemoryAndSwap(std::int64_t memory, std::int64_t swap_alone);

// "max" for kUnlimited.
std::string MaxOrNumber(std::int64_t value);

// What the kernel would refuse with a bare EINVAL, told with a sentence: ranges of shares, quota, period,
// limits, cpuset lists.
base::Result<void> ValidateResources(const Resources& resources);

// The same with every zero number made unset: CRI's zero is "not given" (proto3), and no limit of zero is of
// any use.
Resources WithoutZeros(Resources resources);

// memory.limit_in_bytes of v1: LONG_MAX rounded down to a page (of up to 64 KiB) and above is "none".
inline constexpr std::uint64_t kV1NoLimit = 0x7fffffffffff0000ULL;

}  // namespace berth::cgroupfs
