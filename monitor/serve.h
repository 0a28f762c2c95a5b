// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth::monitor {
// The `serve` mode: becomes a process of its own, tells --ready-fd its pid or what failed, and serves until
// shutdown.
int ServeMain(int argc, char** argv);
}  // namespace berth::monitor
