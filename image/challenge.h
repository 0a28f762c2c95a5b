// SPDX-License-Identifier: Apache-2.0
// WWW-Authenticate, as registries send it (RFC 9110, section 11). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::image {

struct Challenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// What can be understood of a header's value; several challenges may stand in one.
std::vector<Challenge> ParseChallenges(std::string_view header);

}  // namespace berth::image
