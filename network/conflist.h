// SPDX-License-Identifier: Apache-2.0
// A CNI network configuration, read from text (specification 1.1.0, section 1). Pure; the text is untrusted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "network/json.h"
#include "network/version.h"

namespace berth::network {

struct Conflist {
  std::string name;
  // Those the configuration allows and we speak, ascending, never empty. The last is used unless a plugin
  // cannot.
  std::vector<CniVersion> versions;
  CniVersion version;  // the one to speak; after parsing the highest of `versions`
  bool disable_check = false;
  bool disable_gc = false;
  bool only_inlined = false;  // loadOnlyInlinedPlugins
  std::vector<Json>
      plugins;  // each an object with a usable "type"; may be empty right after parsing (see LoadConfDir)
};

// A list (`plugins`), or one plugin's configuration, which becomes a list of one. The content decides, not
// the file's name: people put lists into .conf and .json files. INVALID_ARGUMENT says which key is wrong.
absl::StatusOr<Conflist> ParseConflist(std::string_view text);
// One plugin's object (a file of the folder named after the network, CNI 1.1).
absl::StatusOr<Json> ParsePluginConfig(std::string_view text);

// The list as one JSON text with the version that was chosen: what an Attachment keeps. ParseConflist reads
// it back.
std::string ToText(const Conflist& list);

// The plugin's program and, if it delegates addresses, that of its IPAM plugin.
std::vector<std::string> ProgramsOf(const Json& plugin);

}  // namespace berth::network
