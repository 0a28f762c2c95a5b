// SPDX-License-Identifier: Apache-2.0
// Manifests, indexes and configs from strangers: every digest that comes out is one.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/config.h"
#include "image/digest.h"
#include "image/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = berth::image::ParseConfig(text); config.ok()) {
    for (const auto& diff_id : config->diff_ids) {
      if (!berth::image::IsDigest(diff_id)) std::abort();
    }
  }
  const auto manifest = berth::image::ParseManifest(text, "");
  if (!manifest.ok()) return 0;
  if (manifest->is_index) {
    const auto chosen = berth::image::ChoosePlatform(*manifest, {"linux", "arm", "v7"});
    if (chosen.ok() && !berth::image::IsDigest(chosen->digest)) std::abort();
  } else if (!berth::image::IsDigest(manifest->config.digest)) {
    std::abort();
  }
  for (const auto& layer : manifest->layers) {
    if (!berth::image::IsDigest(layer.digest)) std::abort();
  }
  return 0;
}
