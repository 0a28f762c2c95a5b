// SPDX-License-Identifier: Apache-2.0
// USER, passwd and group of a hostile image. Input: USER, a line end, passwd, a NUL byte, group.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/security/accounts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace security = berth::runtime::security;
  const std::string text(reinterpret_cast<const char*>(data), size);
  berth::image::ImageConfig image;
  const std::size_t line = text.find('\n');
  image.user = text.substr(0, line);
  const std::string rest = line == std::string::npos ? "" : text.substr(line + 1);
  const std::size_t nul = rest.find('\0');
  const std::string passwd = rest.substr(0, nul),
                    group = nul == std::string::npos ? "" : rest.substr(nul + 1);
  berth::runtime::ContainerConfig container;
  const auto user = security::ResolveUserFrom(container, image, passwd, group);
  if (!user.ok()) return 0;
  if (user->uid < 0 || user->uid > security::kMaxId || user->gid < 0 || user->gid > security::kMaxId)
    std::abort();
  for (const std::int64_t gid : user->supplemental_groups) {
    if (gid < 0 || gid > security::kMaxId) std::abort();
  }
  if (user->home.empty() || user->home[0] != '/' || user->home.find('\n') != std::string::npos) std::abort();
  // A number that is not zero never ends as root.
  const std::string name = image.user.substr(0, image.user.find(':'));
  if (security::AllDigits(name) && name.find_first_not_of('0') != std::string::npos && user->uid == 0)
    std::abort();
  return 0;
}
