// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "network/conf_dir.h"
#include "network/network.h"
#include "network/plugin.h"

namespace berth::network {

inline constexpr char kNotReady[] = "NetworkPluginNotReady";

// The network that pods get.
struct InForce {
  Conflist list;     // with the version that every plugin speaks
  std::string text;  // what an Attachment keeps
  std::string path;  // the file it came from
};

struct Verdict {
  std::shared_ptr<const InForce> in_force;  // null unless ready
  NetworkState state;                       // message: why not, or which files were passed over
};

// Can pods be attached with what the directory holds? Looks for the programs and asks them for their
// versions.
Verdict Judge(const ConfDirContents& contents, const std::string& conf_dir,
              const std::vector<std::string>& bin_dirs, VersionCache& versions);

}  // namespace berth::network
