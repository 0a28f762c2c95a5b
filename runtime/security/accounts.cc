// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/accounts.h"

#include <algorithm>

namespace berth::runtime::security {
namespace {

constexpr std::size_t kMaxGroups = 65536;

// Cuts the text before the next `separator` off the front of `rest`.
std::string_view Cut(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view head = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return head;
}

bool CleanPath(std::string_view path) {
  return !path.empty() && path[0] == '/' && path.find('\0') == std::string_view::npos &&
         std::none_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// name:password:uid:gid:gecos:home:shell
std::optional<Account> ParseAccount(std::string_view line) {
  if (std::count(line.begin(), line.end(), ':') < 3) return std::nullopt;
  const std::string_view name = Cut(line, ':');
  Cut(line, ':');
  const auto uid = ParseId(Cut(line, ':'));
  const auto gid = ParseId(Cut(line, ':'));
  Cut(line, ':');
  const std::string_view home = Cut(line, ':');
  if (name.empty() || name[0] == '#' || !uid || !gid) return std::nullopt;
  return Account{std::string(name), *uid, *gid, CleanPath(home) ? std::string(home) : ""};
}

template <typename Wanted>
std::optional<Account> Find(std::string_view passwd, Wanted wanted) {
  while (!passwd.empty()) {
    const auto account = ParseAccount(Cut(passwd, '\n'));
    if (account && wanted(*account)) return account;
  }
  return std::nullopt;
}

struct Group {
  std::string_view name;
  std::int64_t gid = 0;
  std::string_view members;
};
// name:password:gid:member,member
std::optional<Group> ParseGroup(std::string_view line) {
  if (std::count(line.begin(), line.end(), ':') < 2) return std::nullopt;
  const std::string_view name = Cut(line, ':');
  Cut(line, ':');
  const auto gid = ParseId(Cut(line, ':'));
  if (name.empty() || name[0] == '#' || !gid) return std::nullopt;
  return Group{name, *gid, Cut(line, ':')};
}

}  // namespace

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::int64_t> ParseId(std::string_view text) {
  if (!AllDigits(text)) return std::nullopt;
  std::int64_t id = 0;
  for (const char c : text) {
    id = id * 10 + (c - '0');
    if (id > kMaxId) return std::nullopt;
  }
  return id;
}

std::optional<Account> FindAccountByName(std::string_view passwd, std::string_view name) {
  return Find(passwd, [&](const Account& account) { return account.name == name; });
}

std::optional<Account> FindAccountByUid(std::string_view passwd, std::int64_t uid) {
  return Find(passwd, [&](const Account& account) { return account.uid == uid; });
}

std::optional<std::int64_t> FindGroupByName(std::string_view group, std::string_view name) {
  while (!group.empty()) {
    const auto entry = ParseGroup(Cut(group, '\n'));
    if (entry && entry->name == name) return entry->gid;
  }
  return std::nullopt;
}

std::vector<std::int64_t> GroupsOfMember(std::string_view group, std::string_view name) {
  std::vector<std::int64_t> gids;
  while (!group.empty() && gids.size() < kMaxGroups) {
    const auto entry = ParseGroup(Cut(group, '\n'));
    if (!entry) continue;
    std::string_view members = entry->members;
    while (!members.empty()) {
      if (Cut(members, ',') == name) {
        gids.push_back(entry->gid);
        break;
      }
    }
  }
  return gids;
}

}  // namespace berth::runtime::security
