// SPDX-License-Identifier: Apache-2.0
// Which configuration of a directory is in force.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "network/conflist.h"

namespace berth::network {

struct BadFile {
  std::string path;
  std::string why;
  std::string signature;  // changes when the file does
};

// What was found: files named *.conflist, *.conf and *.json in lexical order, the first valid one chosen.
struct ConfDirContents {
  std::optional<Conflist> chosen;
  std::string chosen_path;
  std::vector<BadFile> bad;  // those before the chosen one, or all
  std::string problem;       // why the directory could not be read; "" also when it is merely empty or absent
};

// Never blocks on what is no regular file, reads at most 1 MiB of each. The plugins of `<dir>/<network
// name>/*.conf` are appended to a list unless it says loadOnlyInlinedPlugins (CNI 1.1); a bad one among them
// makes the list bad.
ConfDirContents LoadConfDir(const std::string& dir);

}  // namespace berth::network
