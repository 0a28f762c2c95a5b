// SPDX-License-Identifier: Apache-2.0
#include "network/result.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::network {
namespace {

constexpr std::size_t kMaxWords = 1024;
constexpr std::size_t kMaxEntries = 1024;

absl::Status Bad(std::string message) { return absl::InvalidArgumentError(std::move(message)); }

struct Address {
  std::string text;  // canonical
  bool v6 = false;
};

// "10.0.0.2/24" or without the prefix length; a length out of range is no address.
std::optional<Address> ParseAddress(const std::string& text) {
  const auto slash = text.find('/');
  const std::string host = text.substr(0, slash);
  unsigned char buffer[sizeof(in6_addr)];
  char canonical[INET6_ADDRSTRLEN];
  Address address;
  int family = AF_INET;
  if (::inet_pton(AF_INET, host.c_str(), buffer) != 1) {
    family = AF_INET6;
    if (::inet_pton(AF_INET6, host.c_str(), buffer) != 1) return std::nullopt;
  }
  address.v6 = family == AF_INET6;
  if (slash != std::string::npos) {
    const std::string length = text.substr(slash + 1);
    int bits = 0;
    if (length.empty() || length.size() > 3 || length.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    if (!absl::SimpleAtoi(length, &bits) || bits > (address.v6 ? 128 : 32)) return std::nullopt;
  }
  if (::inet_ntop(family, buffer, canonical, sizeof canonical) == nullptr) return std::nullopt;
  address.text = canonical;
  return address;
}

// The member as a list; absent and null are an empty one. Null where it is of another kind or absurdly long.
const Json* ListOf(const Json& result, const char* key, const Json& empty) {
  const auto at = result.find(key);
  if (at == result.end() || at->is_null()) return &empty;
  return at->is_array() && at->size() <= kMaxEntries ? &*at : nullptr;
}

absl::Status CheckIp(Json& ip, std::size_t interfaces, const CniVersion& version) {
  if (!ip.is_object()) return Bad("an entry of 'ips' is not an object");
  const std::string text = FindString(ip, "address");
  const auto address = ParseAddress(text);
  if (!address) return Bad(absl::StrCat("'", Printable(text, 64), "' in 'ips' is no address"));
  if (const auto at = ip.find("interface"); at != ip.end() && !at->is_null()) {
    if (!at->is_number_integer()) return Bad("an 'interface' in 'ips' is no number");
    const bool inside = at->is_number_unsigned() ? at->get<std::uint64_t>() < interfaces : false;
    if (!inside) return Bad("an 'interface' in 'ips' points to no entry of 'interfaces'");
  }
  if (version >= kChainSince && version < CniVersion{{1, 0, 0}} && !ip.contains("version"))
    ip["version"] = address->v6 ? "6" : "4";
  return absl::OkStatus();
}

// 0.1.0 and 0.2.0: ip4 and ip6 objects instead of lists.
absl::Status CheckOldResult(const Json& result) {
  for (const char* key : {"ip4", "ip6"}) {
    const auto at = result.find(key);
    if (at == result.end() || at->is_null()) continue;
    if (!at->is_object() || !ParseAddress(FindString(*at, "ip")))
      return Bad(absl::StrCat("'", key, "' holds no address"));
  }
  return absl::OkStatus();
}

void Append(std::vector<std::string>& ips, const std::string& text) {
  const auto address = ParseAddress(text);
  if (address && std::find(ips.begin(), ips.end(), address->text) == ips.end()) ips.push_back(address->text);
}

// Bytes of the character that `text` starts with; 0 when it is no UTF-8. A protobuf string that is none makes
// the whole message unreadable to kubelet.
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90)) {
    return 0;
  }
  return length;
}

}  // namespace

absl::StatusOr<Json> ParseResult(std::string_view text, const CniVersion& version) {
  BERTH_ASSIGN_OR_RETURN(Json result, ParseJsonObject(text));
  const Json empty = Json::array();
  const Json* interfaces = ListOf(result, "interfaces", empty);
  const Json* ips = ListOf(result, "ips", empty);
  if (interfaces == nullptr || ips == nullptr) return Bad("'interfaces' or 'ips' is not a list");
  for (const auto& entry : *interfaces) {
    if (!entry.is_object() || FindString(entry, "name").empty())
      return Bad("an entry of 'interfaces' has no 'name'");
  }
  const std::size_t count = interfaces->size();
  if (!ips->empty()) {
    for (auto& ip : result["ips"]) BERTH_RETURN_IF_ERROR(CheckIp(ip, count, version));
  }
  BERTH_RETURN_IF_ERROR(CheckOldResult(result));
  result["cniVersion"] = version.ToString();
  return result;
}

std::vector<std::string> PodIps(const Json& result, const std::string& interface) {
  const Json empty = Json::array();
  const Json* interfaces = ListOf(result, "interfaces", empty);
  const Json* ips = ListOf(result, "ips", empty);
  std::vector<std::string> own;
  std::vector<std::string> other;
  std::optional<std::uint64_t> other_index;
  if (interfaces != nullptr && ips != nullptr) {
    for (const auto& ip : *ips) {
      const auto at = ip.find("interface");
      if (at == ip.end() || at->is_null()) {
        Append(own, FindString(ip, "address"));
        continue;
      }
      const auto index = at->get<std::uint64_t>();
      const Json& on = (*interfaces)[index];
      if (FindString(on, "sandbox").empty()) continue;
      if (FindString(on, "name") == interface) {
        Append(own, FindString(ip, "address"));
      } else if (!other_index || *other_index == index) {
        other_index = index;
        Append(other, FindString(ip, "address"));
      }
    }
  }
  for (const char* key : {"ip4", "ip6"}) {
    if (const Json* old = FindObject(result, key)) Append(own, FindString(*old, "ip"));
  }
  return own.empty() ? other : own;
}

std::optional<PluginError> ParsePluginError(std::string_view text) {
  const auto object = ParseJsonObject(text);
  if (!object.ok() || object->contains("ips") || object->contains("interfaces")) return std::nullopt;
  const auto code = object->find("code");
  const std::string msg = FindString(*object, "msg");
  const std::string details = FindString(*object, "details");
  const bool coded = code != object->end() && code->is_number_integer();
  if (!coded && msg.empty()) return std::nullopt;
  PluginError error;
  if (coded && code->is_number_unsigned() && code->get<std::uint64_t>() <= 1'000'000)
    error.code = code->get<int>();
  const std::string joined = details.empty() || details == msg ? msg
                             : msg.empty()                     ? details
                                                               : absl::StrCat(msg, "; ", details);
  error.words = Printable(joined, kMaxWords);
  return error;
}

std::string FailureWords(const std::string& out, const std::string& err, const base::ExitStatus& status) {
  if (const auto error = ParsePluginError(out); error && !error->words.empty()) {
    return error->code == 0 ? error->words : absl::StrCat(error->words, " (code ", error->code, ")");
  }
  const std::string how = status.ToString();
  if (const std::string tail = Printable(err, kMaxWords, true); !tail.empty())
    return absl::StrCat(tail, " (", how, ")");
  if (const std::string printed = Printable(out, 256); !printed.empty())
    return absl::StrCat(how, "; it printed: ", printed);
  return absl::StrCat(how, " without a word");
}

std::vector<CniVersion> ParseSupportedVersions(std::string_view text) {
  std::vector<CniVersion> versions;
  const auto object = ParseJsonObject(text);
  if (!object.ok()) return versions;
  if (const Json* list = FindArray(*object, "supportedVersions")) {
    for (const auto& entry : *list) {
      if (versions.size() >= kMaxEntries) break;
      if (!entry.is_string()) continue;
      if (const auto version = ParseCniVersion(entry.get<std::string>())) versions.push_back(*version);
    }
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

std::string Printable(std::string_view text, std::size_t limit, bool tail) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const char c = text[0];
    const bool blank = absl::ascii_iscntrl(static_cast<unsigned char>(c)) || c == ' ';
    if (length == 0) {
      clean.push_back('?');
    } else if (!blank) {
      clean.append(text.substr(0, length));
    } else if (!clean.empty() && clean.back() != ' ') {
      clean.push_back(' ');
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  while (!clean.empty() && clean.back() == ' ') clean.pop_back();
  // Cut between characters, not inside one of UTF-8's.
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  if (clean.size() > limit && tail) {
    std::size_t from = clean.size() - limit;
    while (from < clean.size() && continues(clean[from])) ++from;
    return "…" + clean.substr(from);
  }
  if (clean.size() > limit) {
    std::size_t to = limit;
    while (to > 0 && continues(clean[to])) --to;
    return clean.substr(0, to) + "…";
  }
  return clean;
}

}  // namespace berth::network
