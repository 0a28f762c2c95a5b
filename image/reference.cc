// SPDX-License-Identifier: Apache-2.0
#include "image/reference.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "image/digest.h"

namespace berth::image {
namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxText = 1024;

bool Lower(char c) { return c >= 'a' && c <= 'z'; }
bool Upper(char c) { return c >= 'A' && c <= 'Z'; }
bool Digit(char c) { return c >= '0' && c <= '9'; }
bool Alnum(char c) { return Lower(c) || Upper(c) || Digit(c); }

// Shown in errors: short and printable, whatever it was.
std::string Quoted(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, 200)) shown += (c >= 0x20 && c < 0x7f) ? c : '?';
  return shown + "'";
}

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), Digit)) return false;
  int port = 0;
  for (const char c : text) port = port * 10 + (c - '0');
  return port >= 1 && port <= 65535;
}

bool IsHostName(std::string_view host) {
  for (std::size_t begin = 0; begin <= host.size();) {
    const std::size_t end = std::min(host.find('.', begin), host.size());
    const auto part = host.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || !Alnum(part.front()) || !Alnum(part.back())) return false;
    if (!std::all_of(part.begin(), part.end(), [](char c) { return Alnum(c) || c == '-'; })) return false;
  }
  return true;
}

bool IsDomain(std::string_view text) {
  std::string_view host = text;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    if (host.empty() || host.find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos)
      return false;
    const auto rest = text.substr(close + 1);
    return rest.empty() || (rest.starts_with(':') && IsPort(rest.substr(1)));
  }
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    if (!IsPort(text.substr(colon + 1))) return false;
    host = text.substr(0, colon);
  }
  return IsHostName(host);
}

// Words of lower-case letters and digits, joined by one '.', one or two '_', or any number of '-'.
bool IsPathComponent(std::string_view text) {
  std::size_t i = 0;
  auto word = [&] {
    const std::size_t begin = i;
    while (i < text.size() && (Lower(text[i]) || Digit(text[i]))) ++i;
    return i > begin;
  };
  if (!word()) return false;
  while (i < text.size()) {
    if (text[i] == '.') {
      ++i;
    } else if (text[i] == '_') {
      i += text.substr(i).starts_with("__") ? 2 : 1;
    } else if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else {
      return false;
    }
    if (!word()) return false;
  }
  return true;
}

absl::Status Invalid(std::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("image name ", Quoted(text), ": ", why));
}

}  // namespace

bool IsTag(std::string_view text) {
  if (text.empty() || text.size() > 128 || !(Alnum(text[0]) || text[0] == '_')) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return Alnum(c) || c == '_' || c == '.' || c == '-'; });
}

std::string Reference::ToString() const {
  return absl::StrCat(Name(), tag.empty() ? "" : ":" + tag, digest.empty() ? "" : "@" + digest);
}

absl::StatusOr<Reference> ParseReference(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("image name is empty");
  if (text.size() > kMaxText) return Invalid(text, absl::StrCat("has ", text.size(), " characters"));
  Reference reference;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    const auto digest = rest.substr(at + 1);
    if (!IsDigest(digest))
      return Invalid(text,
                     absl::StrCat("digest ", Quoted(digest), " is not sha256: and 64 lower-case hex digits"));
    reference.digest = digest;
    rest = rest.substr(0, at);
  }
  // A colon after the last slash begins the tag; before it, a port.
  const auto slash = rest.find_last_of('/');
  const auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    const auto tag = rest.substr(colon + 1);
    if (!IsTag(tag)) {
      return Invalid(
          text, absl::StrCat("tag ", Quoted(tag),
                             " is not 1 to 128 of A-Z a-z 0-9 _ . - beginning with a letter, digit or _"));
    }
    reference.tag = tag;
    rest = rest.substr(0, colon);
  }
  if (rest.empty()) return Invalid(text, "has no name before the tag or digest");
  if (rest.find("://") != std::string_view::npos)
    return Invalid(text, "is a URL; write it without the scheme");

  const auto first = rest.find('/');
  const auto head = rest.substr(0, first);
  const bool has_domain = first != std::string_view::npos &&
                          (head.find_first_of(".:[") != std::string_view::npos || head == "localhost" ||
                           std::any_of(head.begin(), head.end(), Upper));
  if (has_domain) {
    if (!IsDomain(head))
      return Invalid(text,
                     absl::StrCat("registry ", Quoted(head), " is not a host name with an optional port"));
    reference.domain = head == "index.docker.io" ? "docker.io" : std::string(head);
    reference.path = rest.substr(first + 1);
  } else {
    reference.domain = "docker.io";
    reference.path = rest;
  }
  if (!has_domain && rest.size() == 64 &&
      rest.find_first_not_of("0123456789abcdef") == std::string_view::npos) {
    return Invalid(text, "is an id, not a name");
  }
  std::string_view path = reference.path;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const auto part = path.substr(begin, end - begin);
    begin = end + 1;
    if (IsPathComponent(part)) continue;
    if (part.empty()) return Invalid(text, "has an empty component");
    if (std::any_of(part.begin(), part.end(), Upper))
      return Invalid(text, absl::StrCat("component ", Quoted(part), " has upper-case letters"));
    return Invalid(text, absl::StrCat("component ", Quoted(part),
                                      " may hold a-z and 0-9, with . _ __ or - between them"));
  }
  if (reference.domain == "docker.io" && path.find('/') == std::string_view::npos)
    reference.path = "library/" + reference.path;
  if (reference.Name().size() > kMaxName)
    return Invalid(text, absl::StrCat("is longer than ", kMaxName, " characters"));
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace berth::image
