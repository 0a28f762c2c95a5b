// SPDX-License-Identifier: Apache-2.0
// Whatever hosts.toml holds: an error, or hosts with a scheme we speak, the registry itself last.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/hosts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto hosts = berth::image::ParseHosts({reinterpret_cast<const char*>(data), size}, "registry.example",
                                              "/certs.d/registry.example");
  if (!hosts.ok()) return 0;
  if (hosts->empty() || hosts->back().mirror) std::abort();
  for (const auto& host : *hosts) {
    if ((host.scheme != "http" && host.scheme != "https") || host.host.empty()) std::abort();
    for (const auto& [name, value] : host.headers) {
      if ((name + value).find_first_of("\r\n") != std::string::npos) std::abort();
    }
  }
  return 0;
}
