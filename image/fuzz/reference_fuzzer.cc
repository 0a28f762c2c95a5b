// SPDX-License-Identifier: Apache-2.0
// A name that parses must come out as a name that parses to the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/challenge.h"
#include "image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)berth::image::ParseChallenges(text);
  const auto reference = berth::image::ParseReference(text);
  if (!reference.ok()) return 0;
  const auto again = berth::image::ParseReference(reference->ToString());
  if (!again.ok() || again->ToString() != reference->ToString()) std::abort();
  return 0;
}
