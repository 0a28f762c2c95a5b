// SPDX-License-Identifier: Apache-2.0
#include "network/version.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth::network {

std::string CniVersion::ToString() const { return absl::StrCat(parts[0], ".", parts[1], ".", parts[2]); }

std::optional<CniVersion> ParseCniVersion(std::string_view text) {
  const std::vector<std::string> fields = absl::StrSplit(absl::string_view(text.data(), text.size()), '.');
  if (fields.size() != 3) return std::nullopt;
  CniVersion version;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string& field = fields[i];
    if (field.empty() || field.size() > 6 || field.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    if (!absl::SimpleAtoi(field, &version.parts[i])) return std::nullopt;
  }
  return version;
}

std::string JoinVersions(const std::vector<CniVersion>& versions) {
  std::string text;
  for (const auto& version : versions) absl::StrAppend(&text, text.empty() ? "" : ", ", version.ToString());
  return text;
}

}  // namespace berth::network
