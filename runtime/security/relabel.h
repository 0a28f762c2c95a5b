// SPDX-License-Identifier: Apache-2.0
// SELinux labels of volumes.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "runtime/types.h"

namespace berth::runtime::security {

// "user:role:type:level" of a container's process; what the request leaves out is what containers usually
// have.
std::string ProcessLabel(const SelinuxOptions& options);
// The label of files that a process with `process_label` may write.
std::string FileLabel(const std::string& process_label);

// Gives `path` and all below it the label, on this file system only, links themselves and not what they point
// to. A volume may have millions of files: CANCELLED when `stop` says so, asked at every file. A file system
// without labels is left as it is (kubelet asks for relabelling without knowing). FAILED_PRECONDITION for a
// directory of the system that must not change hands: /, /etc, /usr and the like.
absl::Status Relabel(const std::string& path, const std::string& label, const std::function<bool()>& stop);

}  // namespace berth::runtime::security
