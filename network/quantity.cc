// SPDX-License-Identifier: Apache-2.0
#include "network/quantity.h"

#include <array>
#include <cctype>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace berth::network {
namespace {

using Wide = unsigned __int128;
constexpr Wide kMax = static_cast<Wide>(INT64_MAX);

struct Scale {
  int ten = 0;  // value is multiplied by 10^ten
  int two = 0;  // and by 2^two
};

std::optional<Scale> ParseSuffix(std::string_view suffix) {
  struct Named {
    std::string_view name;
    Scale scale;
  };
  static constexpr std::array<Named, 16> kNamed{{{"", {}},
                                                 {"n", {-9, 0}},
                                                 {"u", {-6, 0}},
                                                 {"m", {-3, 0}},
                                                 {"k", {3, 0}},
                                                 {"M", {6, 0}},
                                                 {"G", {9, 0}},
                                                 {"T", {12, 0}},
                                                 {"P", {15, 0}},
                                                 {"E", {18, 0}},
                                                 {"Ki", {0, 10}},
                                                 {"Mi", {0, 20}},
                                                 {"Gi", {0, 30}},
                                                 {"Ti", {0, 40}},
                                                 {"Pi", {0, 50}},
                                                 {"Ei", {0, 60}}}};
  for (const auto& named : kNamed) {
    if (named.name == suffix) return named.scale;
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return std::nullopt;
  suffix.remove_prefix(1);
  const bool negative = suffix[0] == '-';
  if (suffix[0] == '-' || suffix[0] == '+') suffix.remove_prefix(1);
  if (suffix.empty() || suffix.size() > 3) return std::nullopt;
  int exponent = 0;
  for (const char c : suffix) {
    if (c < '0' || c > '9') return std::nullopt;
    exponent = exponent * 10 + (c - '0');
  }
  return Scale{negative ? -exponent : exponent, 0};
}

}  // namespace

absl::StatusOr<std::int64_t> ParseQuantity(std::string_view text) {
  const auto bad = [&](const char* why) {
    return absl::InvalidArgumentError(absl::StrCat("'", std::string(text.substr(0, 64)), "' ", why));
  };
  std::string_view rest = text;
  if (!rest.empty() && rest[0] == '-') return bad("is negative");
  if (!rest.empty() && rest[0] == '+') rest.remove_prefix(1);
  Wide digits = 0;
  int fraction = 0;  // digits after the point that are in `digits`
  bool any = false;
  bool point = false;
  bool dropped = false;  // a digit that was not zero, too small to be kept: it still rounds up
  while (!rest.empty()) {
    const char c = rest[0];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      any = true;
      if (digits <= kMax) {
        digits = digits * 10 + static_cast<unsigned>(c - '0');
        fraction += point ? 1 : 0;
      } else if (!point) {
        return bad("is too large");
      } else {
        dropped = dropped || c != '0';
      }
    } else {
      break;
    }
    rest.remove_prefix(1);
  }
  const auto scale = ParseSuffix(rest);
  if (!any || !scale) return bad("is no quantity like '10M'");
  for (int i = 0; i < scale->two; ++i) {
    digits *= 2;
    // 64 + 60 bits always fit: `digits` is below 10 * 2^63.
  }
  int ten = scale->ten - fraction;
  for (; ten > 0 && digits != 0; --ten) {
    digits *= 10;
    if (digits > kMax) return bad("is too large");
  }
  for (; ten < 0 && digits != 0; ++ten) {
    dropped = dropped || digits % 10 != 0;
    digits /= 10;
    if (digits == 0) break;
  }
  if (dropped) ++digits;
  if (digits > kMax) return bad("is too large");
  return static_cast<std::int64_t>(digits);
}

}  // namespace berth::network
