// SPDX-License-Identifier: Apache-2.0
// What authorises a request, and to whom it may be shown.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "image/challenge.h"
#include "image/registry.h"

namespace berth::image {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxTokenReply = 256 << 10;

// The host of a server address as credentials name it: "https://index.docker.io/v1/",
// "registry.example:5000".
std::string HostOfAddress(const std::string& address) {
  const auto scheme = address.find("://");
  std::string host = scheme == std::string::npos ? address : address.substr(scheme + 3);
  host = host.substr(0, host.find('/'));
  return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host;
}

// "user:password", or empty.
std::string UserAndPassword(const PullAuth& auth) {
  if (!auth.username.empty() || !auth.password.empty())
    return absl::StrCat(auth.username, ":", auth.password);
  std::string decoded;
  if (!auth.auth.empty() && absl::Base64Unescape(auth.auth, &decoded)) {
    while (!decoded.empty() && decoded.back() == '\0') decoded.pop_back();
    return decoded;
  }
  return "";
}

bool HoldsLineBreak(const std::string& text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos;
}

std::string Words(std::string_view body) {
  // Registries answer {"errors":[{"code":…,"message":…}]}; the words of strangers are cut and cleaned.
  std::string words;
  const auto json = nlohmann::json::parse(body.begin(), body.end(), nullptr, false);
  if (json.is_object() && json.contains("errors") && json["errors"].is_array() && !json["errors"].empty() &&
      json["errors"][0].is_object()) {
    const auto& error = json["errors"][0];
    if (error.contains("message") && error["message"].is_string())
      words = error["message"].get<std::string>();
    if (words.empty() && error.contains("code") && error["code"].is_string())
      words = error["code"].get<std::string>();
  }
  words.resize(std::min<std::size_t>(words.size(), 200));
  for (char& c : words) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  return words;
}

}  // namespace

absl::Status StatusOfReply(int status, std::string_view body) {
  std::string words = Words(body);
  if (!words.empty()) words = ": " + words;
  switch (status) {
    case 401:
      return absl::UnauthenticatedError(absl::StrCat("401 not authenticated", words));
    case 403:
      return absl::PermissionDeniedError(absl::StrCat("403 not allowed", words));
    case 404:
      return absl::NotFoundError(absl::StrCat("404 not found", words));
    case 408:
    case 429:
      return absl::UnavailableError(
          absl::StrCat(status, status == 429 ? " too many requests" : " timeout", words));
    default:
      if (status >= 500) return absl::UnavailableError(absl::StrCat(status, " server error", words));
      return absl::FailedPreconditionError(absl::StrCat("unexpected reply ", status, words));
  }
}

// A credential belongs to the registry that the image's name means, or to the address it came with; never to
// a mirror that was merely configured in front of it.
bool Registry::MayUseCredentials(const RegistryHost& host) const {
  if (!auth_) return false;
  const std::string domain = reference_.domain == "index.docker.io" ? "docker.io" : reference_.domain;
  const std::string name = host.host == "registry-1.docker.io" ? "docker.io" : host.host;
  if (!auth_->server_address.empty()) {
    const std::string address = HostOfAddress(auth_->server_address);
    return address == name || (address == domain && !host.mirror);
  }
  return !host.mirror;
}

absl::StatusOr<HttpResponse> Registry::Send(const RegistryHost& host, HttpRequest request) {
  const auto plain_headers = request.headers;
  const std::string first_url = request.url;
  request.tls = host.tls;
  request.cancelled = cancelled_;
  bool answered = false;
  int redirects = 0;
  std::string url = first_url;
  for (;;) {
    const bool home = OriginOf(url) == OriginOf(host.Origin());
    request.url = url;
    request.headers = plain_headers;
    if (home) {
      for (const auto& [name, value] : host.headers)
        request.headers.push_back(absl::StrCat(name, ": ", value));
      const std::lock_guard lock(mutex_);
      if (const auto known = authorization_.find(host.Origin()); known != authorization_.end())
        request.headers.push_back("Authorization: " + known->second);
    } else {
      // Elsewhere: no header of this host, no authorization, no client certificate, and no waived
      // verification.
      request.tls = TlsOptions{};
      request.tls.ca_files = host.tls.ca_files;
    }
    BERTH_ASSIGN_OR_RETURN(auto response, Exchange(request));
    if (response.status == 401 && home && !answered) {
      answered = true;
      BERTH_ASSIGN_OR_RETURN(auto authorization, Authorize(host, response));
      const std::lock_guard lock(mutex_);
      authorization_[host.Origin()] = std::move(authorization);
      continue;
    }
    const bool moved = response.status == 301 || response.status == 302 || response.status == 303 ||
                       response.status == 307 || response.status == 308;
    if (!moved) return response;
    if (response.redirect.empty()) return absl::UnavailableError("redirect without a target");
    if (++redirects > kMaxRedirects)
      return absl::UnavailableError(
          absl::StrCat("more than ", kMaxRedirects, " redirects, the last to ", ShownUrl(response.redirect)));
    // A plain registry was configured to be one; all others must not be talked down to HTTP.
    if (host.scheme == "https" && !response.redirect.starts_with("https://")) {
      return absl::UnavailableError(
          absl::StrCat("redirect from https to ", ShownUrl(response.redirect), " refused"));
    }
    url = response.redirect;
  }
}

absl::StatusOr<std::string> Registry::Authorize(const RegistryHost& host, const HttpResponse& response) {
  const bool ours = MayUseCredentials(host);
  if (ours && !auth_->registry_token.empty()) {
    if (HoldsLineBreak(auth_->registry_token))
      return absl::InvalidArgumentError("the credential's token holds a line break");
    return "Bearer " + auth_->registry_token;
  }
  const auto range = response.headers.equal_range("www-authenticate");
  bool basic = false;
  for (auto header = range.first; header != range.second; ++header) {
    for (const auto& challenge : ParseChallenges(header->second)) {
      if (challenge.scheme == "bearer") {
        BERTH_ASSIGN_OR_RETURN(const auto token, FetchToken(host, challenge.parameters));
        return "Bearer " + token;
      }
      basic = basic || challenge.scheme == "basic";
    }
  }
  const std::string user = ours ? UserAndPassword(*auth_) : "";
  if (basic && !user.empty()) return "Basic " + absl::Base64Escape(user);
  return absl::UnauthenticatedError(basic ? "401: wants a user and password, none was given for this host"
                                          : "401: not authenticated, and no way offered that is known here");
}

absl::StatusOr<std::string> Registry::FetchToken(const RegistryHost& host,
                                                 const std::map<std::string, std::string>& challenge) {
  auto value = [&](const char* key) {
    const auto found = challenge.find(key);
    return found == challenge.end() ? std::string() : found->second;
  };
  const std::string realm = value("realm");
  if (!(realm.starts_with("https://") || (host.scheme == "http" && realm.starts_with("http://")))) {
    return absl::UnauthenticatedError(absl::StrCat("token server '", ShownUrl(realm), "' is not https"));
  }
  const std::string scope =
      value("scope").empty() ? absl::StrCat("repository:", reference_.path, ":pull") : value("scope");
  HttpRequest request;
  request.cancelled = cancelled_;
  request.cap = kMaxTokenReply;
  request.tls.ca_files = host.tls.ca_files;
  if (OriginOf(realm) == OriginOf(host.Origin())) request.tls = host.tls;
  const bool ours = MayUseCredentials(host);
  if (ours && !auth_->identity_token.empty()) {
    request.url = realm;
    request.form =
        absl::StrCat("grant_type=refresh_token&client_id=berth&service=", UrlEncode(value("service")),
                     "&scope=", UrlEncode(scope), "&refresh_token=", UrlEncode(auth_->identity_token));
  } else {
    request.url = absl::StrCat(realm, realm.find('?') == std::string::npos ? "?" : "&",
                               "service=", UrlEncode(value("service")), "&scope=", UrlEncode(scope));
    if (const std::string user = ours ? UserAndPassword(*auth_) : ""; !user.empty()) {
      request.headers.push_back("Authorization: Basic " + absl::Base64Escape(user));
    }
  }
  auto response = Exchange(request);
  if (!response.ok())
    return base::Annotate(response.status(), absl::StrCat("token server ", ShownUrl(realm)));
  if (response->status != 200)
    return base::Annotate(StatusOfReply(response->status, response->body),
                          absl::StrCat("token server ", ShownUrl(realm)));
  const auto json = nlohmann::json::parse(response->body, nullptr, false);
  for (const char* key : {"token", "access_token"}) {
    if (json.is_object() && json.contains(key) && json[key].is_string()) {
      const auto token = json[key].get<std::string>();
      if (!token.empty() && !HoldsLineBreak(token)) return token;
    }
  }
  return absl::UnavailableError(absl::StrCat("token server ", ShownUrl(realm), " gave no token"));
}

}  // namespace berth::image
