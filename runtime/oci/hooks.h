// SPDX-License-Identifier: Apache-2.0
// OCI hooks by files of a hooks.d directory, in the format of oci-hooks(5), version 1.0.0: which program runs
// at which stage of which containers. Parsing and choosing are pure; ReadHooks reads.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::runtime::oci {

struct Hook {
  std::string file;     // for messages
  nlohmann::json hook;  // path, args, env, timeout: as the specification has them
  std::vector<std::string> stages;
  // When it runs: all that are set must hold (any entry of a list).
  std::optional<bool> always;
  std::vector<std::pair<std::string, std::string>> annotations;  // expressions of key and value
  std::vector<std::string> commands;                             // expressions of argv[0]
  std::optional<bool> has_bind_mounts;
};

// INVALID_ARGUMENT names the file and what is wrong: an unknown key, stage, version or expression (RE2's).
absl::StatusOr<Hook> ParseHook(const std::string& file, const std::string& text);

// *.json of the directories, in the order of the names; a file of a later directory takes the place of one
// with the same name. A directory that is not there is none.
absl::StatusOr<std::vector<Hook>> ReadHooks(const std::vector<std::string>& dirs);

// Adds to the specification the hooks that it fulfils the conditions of.
void ApplyHooks(const std::vector<Hook>& hooks, nlohmann::json& spec);

}  // namespace berth::runtime::oci
