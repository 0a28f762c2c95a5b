// SPDX-License-Identifier: Apache-2.0
// passwd(5) and group(5) as images bring them: untrusted text. Pure functions. A malformed line is skipped,
// never read as id 0; the first line that matches wins, as in libc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "image/image.h"
#include "runtime/types.h"

namespace berth::runtime::security {

// (uid_t)-1 means "no change" to the kernel and is nobody's id.
inline constexpr std::int64_t kMaxId = 4294967294;

// At least one digit and nothing else.
bool AllDigits(std::string_view text);
// Decimal, at most kMaxId; nullopt for anything else ("", "-1", "0x0", " 1", "4294967295").
std::optional<std::int64_t> ParseId(std::string_view text);

struct Account {
  std::string name;
  std::int64_t uid = 0, gid = 0;
  std::string home;  // "" when absent, relative or with control characters
};
std::optional<Account> FindAccountByName(std::string_view passwd, std::string_view name);
std::optional<Account> FindAccountByUid(std::string_view passwd, std::int64_t uid);

std::optional<std::int64_t> FindGroupByName(std::string_view group, std::string_view name);
// Groups that list `name` as a member, in the file's order; at most 65536.
std::vector<std::int64_t> GroupsOfMember(std::string_view group, std::string_view name);

// ResolveUser (users.h) over the two files' texts.
absl::StatusOr<ResolvedUser> ResolveUserFrom(const ContainerConfig& container,
                                             const image::ImageConfig& image, const std::string& passwd,
                                             const std::string& group);

}  // namespace berth::runtime::security
