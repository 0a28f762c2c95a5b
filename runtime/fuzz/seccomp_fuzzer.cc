// SPDX-License-Identifier: Apache-2.0
// A Localhost profile. What comes out is a fixed point: converting it again changes nothing.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/security/seccomp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace security = berth::runtime::security;
  const auto profile = nlohmann::json::parse(data, data + size, nullptr, false);
  if (profile.is_discarded()) return 0;
  const security::SeccompContext context{"amd64", {"CAP_SYS_ADMIN"}};
  const auto once = security::ConvertSeccompProfile(profile, context);
  if (!once.ok()) return 0;
  const auto twice = security::ConvertSeccompProfile(*once, context);
  if (!twice.ok() || *twice != *once) std::abort();
  return 0;
}
