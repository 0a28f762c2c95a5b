// SPDX-License-Identifier: Apache-2.0
// The parts of the configuration about containers: [handlers.*], [defaults], [cdi].
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/config.h"
#include "daemon/toml_reader.h"

namespace berth::daemon {

void ApplyContainerTables(const TomlReader& top, Config* config);

// "64MiB", "1GiB", "65536" → bytes; nullopt for anything else, and for nothing.
std::optional<std::uint64_t> ParseSize(const std::string& text);
// "nofile=1024:4096", "core=unlimited", "nproc=100" → soft and hard; nullopt when it is none.
std::optional<runtime::oci::Rlimit> ParseUlimit(const std::string& text);

}  // namespace berth::daemon
