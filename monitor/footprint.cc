// SPDX-License-Identifier: Apache-2.0
#include "monitor/footprint.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>

#ifdef BERTH_STATIC_MONITOR
extern "C" const char __executable_start;  // the linker's
extern "C" const char etext;
#endif

namespace berth::monitor {

void ReleaseIdleMemory() {
#ifdef BERTH_STATIC_MONITOR
  ::malloc_trim(0);
  constexpr std::uintptr_t kPage = 4096;
  // Code only, and whole pages of it: nothing in there was ever written to, so nothing is lost.
  const auto begin = (reinterpret_cast<std::uintptr_t>(&__executable_start) + kPage - 1) & ~(kPage - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(&etext) & ~(kPage - 1);
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#endif
}

}  // namespace berth::monitor
