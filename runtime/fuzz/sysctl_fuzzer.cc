// SPDX-License-Identifier: Apache-2.0
// Name, a line end, value. What is accepted must stay below net, kernel or fs of /proc/sys.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/security/sysctl.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace security = berth::runtime::security;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const std::string name = text.substr(0, line),
                    value = line == std::string::npos ? "" : text.substr(line + 1);
  if (!security::ValidateSysctl(name, value, {}).ok()) return 0;
  const std::string path = "/" + security::SysctlPath(name) + "/";
  if (path.find("//") != std::string::npos || path.find("/../") != std::string::npos ||
      path.find("/./") != std::string::npos)
    std::abort();
  if (path.rfind("/net/", 0) != 0 && path.rfind("/kernel/", 0) != 0 && path.rfind("/fs/mqueue/", 0) != 0)
    std::abort();
  if (value.find('\n') != std::string::npos || value.find('\0') != std::string::npos) std::abort();
  return 0;
}
