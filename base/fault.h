// SPDX-License-Identifier: Apache-2.0
// Fault points: BERTH_FAULT="point:action[:n]" (several, comma separated) makes the n-th passing of a point
// (default the first) abort the process (`abort`), fail (`fail`: BERTH_FAULT_FAILS is true), sleep for ever
// (`hang`) or stop the process with SIGSTOP (`stop`). Compiled in only with -DBERTH_FAULTS=ON; otherwise the
// macros are nothing. For a test that walks them all: BERTH_FAULT_LIST=all makes a program print the names of
// all points compiled into it, one a line, and end; BERTH_FAULT_LIST=<path> makes it append the name of each
// point that it passes to that file.
#pragma once

namespace berth::base {
// True when this passing of the point must fail. Does not return for `abort` and `hang`.
bool FaultPoint(const char* point);
}  // namespace berth::base

#ifdef BERTH_FAULTS
// The name lies in a section of its own, which the linker gathers: that is the list of all points.
#define BERTH_FAULT_FAILS(point)                                                            \
  ([]() -> bool {                                                                           \
    static const char berth_point[] __attribute__((section("berth_faults"), used)) = point; \
    return ::berth::base::FaultPoint(berth_point);                                          \
  }())
#define BERTH_FAULT_POINT(point) ((void)BERTH_FAULT_FAILS(point))
#else
#define BERTH_FAULT_POINT(point) ((void)0)
#define BERTH_FAULT_FAILS(point) (false)
#endif
