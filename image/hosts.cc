// SPDX-License-Identifier: Apache-2.0
#include "image/hosts.h"

#include <toml++/toml.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::image {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxHosts = 64;

absl::Status Bad(const toml::node& node, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("hosts.toml line ", node.source().begin.line, ": ", why));
}

bool IsAuthority(std::string_view text) {
  return !text.empty() && text.size() <= 300 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == ':' ||
           c == '[' || c == ']' || c == '_';
  });
}

// "https://host:port/path", or without a scheme.
absl::Status ReadUrl(std::string_view url, RegistryHost& host) {
  const auto scheme = url.find("://");
  std::string_view rest = url;
  if (scheme != std::string_view::npos) {
    host.scheme = absl::AsciiStrToLower(std::string(url.substr(0, scheme)));
    if (host.scheme != "http" && host.scheme != "https")
      return absl::InvalidArgumentError("a host's scheme is http or https");
    rest = url.substr(scheme + 3);
  }
  const auto slash = rest.find('/');
  host.host = rest.substr(0, slash);
  if (!IsAuthority(host.host))
    return absl::InvalidArgumentError("a host is [scheme://]name[:port][/path], without user or query");
  if (scheme == std::string_view::npos) host.scheme = IsLoopback(host.host) ? "http" : "https";
  std::string path(slash == std::string_view::npos ? std::string_view() : rest.substr(slash));
  while (path.ends_with('/')) path.pop_back();
  if (path.find_first_of("?#@ \t\r\n") != std::string::npos)
    return absl::InvalidArgumentError("a host's path has no query");
  host.path = path;
  return absl::OkStatus();
}

absl::Status ReadStrings(const toml::node& node, std::vector<std::string>& values, absl::string_view key) {
  if (const auto text = node.value<std::string>()) {
    values.push_back(*text);
    return absl::OkStatus();
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) return Bad(node, absl::StrCat("'", key, "' is text or a list of texts"));
  for (const auto& item : *array) {
    const auto text = item.value<std::string>();
    if (!text) return Bad(item, absl::StrCat("'", key, "' is text or a list of texts"));
    values.push_back(*text);
  }
  return absl::OkStatus();
}

std::string Absolute(const std::string& file, const std::string& directory) {
  return file.starts_with('/') ? file : directory + "/" + file;
}

absl::Status ReadClient(const toml::node& node, const std::string& directory, TlsOptions& tls) {
  // "cert", ["cert", …] or [["cert", "key"], …]: libcurl shows one certificate, the first.
  std::vector<std::string> pair;
  const toml::array* array = node.as_array();
  if (array != nullptr && !array->empty() && array->front().is_array()) {
    BERTH_RETURN_IF_ERROR(ReadStrings(array->front(), pair, "client"));
    if (pair.empty() || pair.size() > 2) return Bad(node, "'client' pairs are [certificate, key]");
  } else {
    BERTH_RETURN_IF_ERROR(ReadStrings(node, pair, "client"));
    if (!pair.empty()) pair.resize(1);
  }
  if (!pair.empty()) tls.client_cert = Absolute(pair[0], directory);
  if (pair.size() == 2 && !pair[1].empty()) tls.client_key = Absolute(pair[1], directory);
  return absl::OkStatus();
}

absl::Status ReadHeaders(const toml::node& node, RegistryHost& host) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return Bad(node, "'header' is a table");
  for (const auto& [name, value] : *table) {
    std::vector<std::string> values;
    BERTH_RETURN_IF_ERROR(ReadStrings(value, values, "header"));
    for (auto& text : values) {
      const std::string key(name.str());
      if ((key + text).find_first_of("\r\n") != std::string::npos || key.find(':') != std::string::npos)
        return Bad(value, "a header holds a line break or colon");
      host.headers.emplace_back(key, std::move(text));
    }
  }
  return absl::OkStatus();
}

// The keys of one host; the registry's own stand at the top of the file.
absl::Status ReadHost(const toml::table& table, const std::string& directory, bool top, RegistryHost& host) {
  bool override_path = false;
  for (const auto& [key, value] : table) {
    const std::string_view name = key.str();
    if (name == "capabilities") {
      std::vector<std::string> list;
      BERTH_RETURN_IF_ERROR(ReadStrings(value, list, "capabilities"));
      host.pull = std::find(list.begin(), list.end(), "pull") != list.end();
      host.resolve = std::find(list.begin(), list.end(), "resolve") != list.end();
      for (const auto& item : list) {
        if (item != "pull" && item != "resolve" && item != "push" && item != "referrers")
          return Bad(value, "capabilities are pull, resolve, push");
      }
    } else if (name == "override_path") {
      if (!value.is_boolean()) return Bad(value, "'override_path' is true or false");
      override_path = *value.value<bool>();
    } else if (name == "skip_verify") {
      if (!value.is_boolean()) return Bad(value, "'skip_verify' is true or false");
      host.tls.skip_verify = *value.value<bool>();
    } else if (name == "ca") {
      std::vector<std::string> files;
      BERTH_RETURN_IF_ERROR(ReadStrings(value, files, "ca"));
      for (const auto& file : files) host.tls.ca_files.push_back(Absolute(file, directory));
    } else if (name == "client") {
      BERTH_RETURN_IF_ERROR(ReadClient(value, directory, host.tls));
    } else if (name == "header") {
      BERTH_RETURN_IF_ERROR(ReadHeaders(value, host));
    } else if (!(top && (name == "server" || name == "host")) && name != "dial_timeout") {
      base::LogWarning("hosts.toml has a key that is not known here",
                       {{"key", name}, {"directory", directory}});
    }
  }
  if (!override_path && !host.path.ends_with("/v2")) host.path += "/v2";
  return absl::OkStatus();
}

}  // namespace

bool IsLoopback(std::string_view authority) {
  std::string_view host = authority;
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
    return host == "::1";
  }
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  // 127.0.0.0/8, in full notation only.
  int dots = 0;
  for (const char c : host) {
    if (c == '.')
      ++dots;
    else if (c < '0' || c > '9')
      return false;
  }
  return dots == 3 && host.starts_with("127.");
}

RegistryHost DefaultHost(const std::string& domain) {
  RegistryHost host;
  host.host = domain == "docker.io" ? "registry-1.docker.io" : domain;
  if (IsLoopback(domain)) host.scheme = "http";
  return host;
}

absl::StatusOr<std::vector<RegistryHost>> ParseHosts(std::string_view text, const std::string& domain,
                                                     const std::string& directory) {
  toml::table file;
  try {
    file = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("hosts.toml line ", error.source().begin.line, ": ", std::string(error.description())));
  }
  std::vector<RegistryHost> hosts;
  if (const toml::node* list = file.get("host"); list != nullptr) {
    const toml::table* table = list->as_table();
    if (table == nullptr) return Bad(*list, "'host' is a table of hosts");
    if (table->size() > kMaxHosts) return Bad(*list, "too many hosts");
    // The library sorts keys by name; what counts is the order in the file.
    std::vector<std::pair<std::string, const toml::node*>> ordered;
    for (const auto& [key, value] : *table) ordered.emplace_back(std::string(key.str()), &value);
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
      const auto &x = a.second->source().begin, &y = b.second->source().begin;
      return x.line != y.line ? x.line < y.line : x.column < y.column;
    });
    for (const auto& [url, node] : ordered) {
      const toml::table* keys = node->as_table();
      if (keys == nullptr) return Bad(*node, "a host is a table");
      RegistryHost host;
      host.mirror = true;
      if (auto read = ReadUrl(url, host); !read.ok()) return Bad(*node, read.message());
      BERTH_RETURN_IF_ERROR(ReadHost(*keys, directory, false, host));
      hosts.push_back(std::move(host));
    }
  }
  RegistryHost server = DefaultHost(domain);
  if (const toml::node* node = file.get("server"); node != nullptr) {
    const auto url = node->value<std::string>();
    if (!url) return Bad(*node, "'server' is text");
    if (!url->empty()) {
      if (auto read = ReadUrl(*url, server); !read.ok()) return Bad(*node, read.message());
    }
  }
  BERTH_RETURN_IF_ERROR(ReadHost(file, directory, true, server));
  hosts.push_back(std::move(server));
  return hosts;
}

absl::StatusOr<std::vector<RegistryHost>> HostsFor(const std::string& config_path,
                                                   const std::string& domain) {
  if (!config_path.empty()) {
    std::vector<std::string> names;
    if (const auto colon = domain.rfind(':'); colon != std::string::npos && !domain.ends_with(']')) {
      names.push_back(absl::StrCat(domain.substr(0, colon), "_", domain.substr(colon + 1), "_"));
    }
    names.push_back(domain);
    names.emplace_back("_default");
    for (const auto& name : names) {
      const std::string directory = absl::StrCat(config_path, "/", name);
      if (!base::Exists(directory)) continue;
      const std::string path = directory + "/hosts.toml";
      auto text = base::ReadFile(path, kMaxFile);
      if (!text && text.error().err == ENOENT) {
        // Docker's layout: certificate authorities beside no hosts.toml.
        RegistryHost host = DefaultHost(domain);
        auto files = base::ListDir(directory);
        if (files) {
          for (const auto& file : *files) {
            if (file.ends_with(".crt")) host.tls.ca_files.push_back(directory + "/" + file);
            if (file.ends_with(".cert")) host.tls.client_cert = directory + "/" + file;
            if (file.ends_with(".key")) host.tls.client_key = directory + "/" + file;
          }
        }
        return std::vector<RegistryHost>{host};
      }
      if (!text)
        return base::WithCode(absl::StatusCode::kFailedPrecondition, base::ToStatus(text.error()),
                              "registry configuration");
      auto hosts = ParseHosts(*text, domain, directory);
      if (!hosts.ok()) return base::Annotate(hosts.status(), path);
      return hosts;
    }
  }
  return std::vector<RegistryHost>{DefaultHost(domain)};
}

}  // namespace berth::image
