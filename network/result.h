// SPDX-License-Identifier: Apache-2.0
// What a plugin prints: the result of ADD, the object of an error, the list of versions. Pure; the text is
// untrusted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/process.h"
#include "network/json.h"
#include "network/version.h"

namespace berth::network {

// The printed result of ADD as the next plugin must get it: of the list's version (0.3 and 0.4 want a
// `version` per address, which newer plugins leave out). INVALID_ARGUMENT when it is no result: not an
// object, parts of a wrong kind, an address that is none, an interface index that points nowhere.
absl::StatusOr<Json> ParseResult(std::string_view text, const CniVersion& version);

// The pod's addresses without prefix length, in canonical spelling, primary first, none twice: those of
// `interface` in the sandbox and those that name no interface; when there are none, those of the first
// interface in the sandbox that has any. Addresses of host interfaces never count. From a value that
// ParseResult returned.
std::vector<std::string> PodIps(const Json& result, const std::string& interface);

// A plugin's error object.
struct PluginError {
  int code = 0;
  std::string words;  // "msg; details", made printable and short
};
// nullopt when the text is no error object.
std::optional<PluginError> ParsePluginError(std::string_view text);

// What to tell a person about a failed call: the plugin's own words with its code, else the end of its
// standard error, else how it ended.
std::string FailureWords(const std::string& out, const std::string& err, const base::ExitStatus& status);

// supportedVersions of VERSION's answer, ascending; empty when it cannot be told.
std::vector<CniVersion> ParseSupportedVersions(std::string_view text);

// Valid UTF-8 whatever came in: control characters become spaces (runs of them one), bad bytes '?'; text
// beyond `limit` is cut: at its end, or at its start with `tail`.
std::string Printable(std::string_view text, std::size_t limit, bool tail = false);

}  // namespace berth::network
