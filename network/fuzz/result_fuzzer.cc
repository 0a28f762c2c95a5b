// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "network/result.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::network;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const CniVersion version : {CniVersion{{0, 2, 0}}, CniVersion{{0, 3, 1}}, CniVersion{{1, 0, 0}}}) {
    if (const auto result = ParseResult(text, version); result.ok()) (void)PodIps(*result, "eth0");
  }
  (void)FailureWords(text, text, {});
  (void)ParseSupportedVersions(text);
  return 0;
}
