// SPDX-License-Identifier: Apache-2.0
// Fault points: BERTH_FAULT="point:action[:n]" (several, comma separated) makes the n-th passing of a point
// (default the first) abort the process (`abort`), fail (`fail`: BERTH_FAULT_FAILS is true), sleep for ever
// (`hang`) or stop the process with SIGSTOP (`stop`). Compiled in only with -DBERTH_FAULTS=ON; otherwise the
// macros are nothing. BERTH_FAULT_LIST=1 makes each program print the names it passes, so that a test can
// walk them all.
#pragma once

namespace berth::base {
// True when this passing of the point must fail. Does not return for `abort` and `hang`.
bool FaultPoint(const char* point);
}  // namespace berth::base

#ifdef BERTH_FAULTS
#define BERTH_FAULT_POINT(point) ((void)::berth::base::FaultPoint(point))
#define BERTH_FAULT_FAILS(point) (::berth::base::FaultPoint(point))
#else
#define BERTH_FAULT_POINT(point) ((void)0)
#define BERTH_FAULT_FAILS(point) (false)
#endif
