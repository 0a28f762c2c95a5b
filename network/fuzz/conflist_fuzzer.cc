// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "network/capabilities.h"
#include "network/conflist.h"

// Whatever is accepted must survive being stored and read back, and make a request for each plugin.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::network;
  const auto list = ParseConflist({reinterpret_cast<const char*>(data), size});
  if (!list.ok()) return 0;
  const std::string text = ToText(*list);
  if (!list->plugins.empty()) {
    const auto again = ParseConflist(text);
    if (text.size() <= kMaxJsonBytes && (!again.ok() || ToText(*again) != text)) std::abort();
  }
  const Json args = {{"portMappings", Json::array()}};
  for (std::size_t i = 0; i < list->plugins.size(); ++i) {
    if (!ParseJsonObject(RequestConfig(*list, i, args, Json::object())).ok() &&
        text.size() < kMaxJsonBytes / 2)
      std::abort();
  }
  return 0;
}
