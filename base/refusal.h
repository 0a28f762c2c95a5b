// SPDX-License-Identifier: Apache-2.0
// What probably lies behind a kernel's refusal, and what to do about it (design.md, rule 12). Pure.
#pragma once

namespace berth::base {

enum class Refused {
  kNamespace,     // unshare(2), clone(2) of a namespace
  kNamespacePin,  // bind mount of a namespace's file
  kOverlay,       // mount of an overlay
  kIdMap,         // write of uid_map or gid_map
};

// "berthd needs CAP_SYS_ADMIN …"; "" when the errno says all that is known.
const char* LikelyCause(Refused what, int err);

}  // namespace berth::base
