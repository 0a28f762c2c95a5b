// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth::monitor {
// Gives back what only a start, an end or a request needed: free heap pages, and the mappings of code that an
// idle loop does not run (they come back from the page cache when touched). Does nothing in builds other than
// the static one.
void ReleaseIdleMemory();
}  // namespace berth::monitor
