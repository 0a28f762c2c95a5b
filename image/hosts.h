// SPDX-License-Identifier: Apache-2.0
// Which servers to ask for a registry's images: containerd's certs.d/<host>/hosts.toml, which users already
// have. The parser is pure; HostsFor reads the files at each pull, so that changes need no restart.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::image {

struct TlsOptions {
  bool skip_verify = false;
  std::vector<std::string> ca_files;
  std::string client_cert, client_key;  // "" = none; the key may be in the certificate's file
};

struct RegistryHost {
  std::string scheme = "https";
  std::string host;  // with the port, if any
  std::string path = "/v2";
  bool pull = true, resolve = true;
  bool mirror = false;  // not the registry that the image's name means
  TlsOptions tls;
  std::vector<std::pair<std::string, std::string>> headers;  // may be secret: never logged

  std::string Origin() const { return scheme + "://" + host; }
  std::string BaseUrl() const { return Origin() + path; }
};

// `text` is a hosts.toml for `domain`; relative file names are relative to `directory`. INVALID_ARGUMENT with
// line and reason. The result ends with the registry itself, and is in the order of the file.
absl::StatusOr<std::vector<RegistryHost>> ParseHosts(std::string_view text, const std::string& domain,
                                                     const std::string& directory);

// Looks in <config_path>/<domain>, with the port as `host:port` or `host_port_`, then in
// <config_path>/_default.
absl::StatusOr<std::vector<RegistryHost>> HostsFor(const std::string& config_path, const std::string& domain);

// Without configuration: HTTPS, but HTTP for localhost and loopback addresses.
RegistryHost DefaultHost(const std::string& domain);
bool IsLoopback(std::string_view host);

}  // namespace berth::image
