// SPDX-License-Identifier: Apache-2.0
#include "network/template.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "network/conflist.h"
#include "network/json.h"

namespace berth::network {
namespace {

bool IsCidr(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return false;
  const std::string host = text.substr(0, slash);
  const std::string length = text.substr(slash + 1);
  unsigned char buffer[sizeof(in6_addr)];
  const bool v4 = ::inet_pton(AF_INET, host.c_str(), buffer) == 1;
  if (!v4 && ::inet_pton(AF_INET6, host.c_str(), buffer) != 1) return false;
  int bits = 0;
  const bool digits =
      !length.empty() && length.size() <= 3 && length.find_first_not_of("0123456789") == std::string::npos;
  return digits && absl::SimpleAtoi(length, &bits) && bits <= (v4 ? 32 : 128);
}

bool IsV6(const std::string& cidr) { return cidr.find(':') != std::string::npos; }

absl::StatusOr<std::string> Value(const std::string& name, const std::vector<std::string>& cidrs) {
  if (name == ".PodCIDR") return cidrs.front();
  Json list = Json::array();
  if (name == ".PodCIDRRanges") {
    for (const auto& cidr : cidrs) list.push_back(Json::array({Json{{"subnet", cidr}}}));
    return ToText(list);
  }
  if (name == ".Routes") {
    if (!std::all_of(cidrs.begin(), cidrs.end(), IsV6)) list.push_back(Json{{"dst", "0.0.0.0/0"}});
    if (std::any_of(cidrs.begin(), cidrs.end(), IsV6)) list.push_back(Json{{"dst", "::/0"}});
    return ToText(list);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'{{", name, "}}' is not known; there are {{.PodCIDR}}, {{.PodCIDRRanges}} and {{.Routes}}"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParsePodCidrs(std::string_view text) {
  std::vector<std::string> cidrs;
  for (absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    std::string cidr(absl::StripAsciiWhitespace(part));
    if (!IsCidr(cidr))
      return absl::InvalidArgumentError(
          absl::StrCat("pod CIDR '", cidr, "' is no address range like '10.1.0.0/24'"));
    cidrs.push_back(std::move(cidr));
  }
  return cidrs;
}

absl::StatusOr<std::string> RenderTemplate(std::string_view text, const std::vector<std::string>& cidrs) {
  if (cidrs.empty()) return absl::InvalidArgumentError("there is no pod CIDR");
  std::string rendered;
  for (;;) {
    const auto open = text.find("{{");
    rendered.append(text.substr(0, open));
    if (open == std::string_view::npos) break;
    text.remove_prefix(open + 2);
    const auto close = text.find("}}");
    if (close == std::string_view::npos) return absl::InvalidArgumentError("has '{{' without '}}'");
    const std::string name(absl::StripAsciiWhitespace(absl::string_view(text.data(), close)));
    BERTH_ASSIGN_OR_RETURN(const std::string value, Value(name, cidrs));
    rendered.append(value);
    text.remove_prefix(close + 2);
  }
  if (const auto list = ParseConflist(rendered); !list.ok())
    return base::Annotate(list.status(), "what it renders to");
  return rendered;
}

}  // namespace berth::network
