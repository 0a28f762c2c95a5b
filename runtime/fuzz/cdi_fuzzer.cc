// SPDX-License-Identifier: Apache-2.0
// Files that vendors put on the node: CDI (first byte even: YAML, odd: JSON) and hooks.d; and what becomes of
// a specification that they edit.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/oci/cdi.h"
#include "runtime/oci/hooks.h"

using berth::runtime::oci::ApplyCdi;
using berth::runtime::oci::ApplyHooks;
using berth::runtime::oci::ParseCdi;
using berth::runtime::oci::ParseHook;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  nlohmann::json spec = {
      {"process", {{"args", {"/bin/sh"}}, {"env", {"A=b"}}, {"user", {{"uid", 1}, {"gid", 1}}}}},
      {"mounts", {{{"destination", "/proc"}, {"type", "proc"}}}},
      {"linux", {{"resources", {{"devices", nlohmann::json::array()}}}}}};
  if (const auto cdi = ParseCdi(data[0] % 2 == 0 ? "f.yaml" : "f.json", text); cdi.ok()) {
    for (const auto& [name, edits] : cdi->devices) {
      if (!berth::runtime::oci::CheckCdiName(cdi->kind + "=" + name).ok()) std::abort();
      (void)ApplyCdi(edits, spec);
    }
  }
  if (const auto hook = ParseHook("f.json", text); hook.ok()) ApplyHooks({*hook}, spec);
  (void)spec.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return 0;
}
