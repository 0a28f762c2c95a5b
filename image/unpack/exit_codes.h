// SPDX-License-Identifier: Apache-2.0
// What berth-unpack and its caller agree on.
#pragma once

namespace berth::image::unpack {

inline constexpr int kTargetFd = 3;

enum ExitCode : int {
  kExitDone = 0,
  kExitArchive = 2,  // the archive is malformed or hostile
  kExitFull = 3,     // no room
  kExitHost = 4,     // the host refused something: a namespace, a device node, an I/O error
};

}  // namespace berth::image::unpack
