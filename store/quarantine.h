// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::store {

// Makes the directory (0700, if absent) and the file (0600) of a database, before SQLite would make it with
// the umask's mode.
absl::Status PrepareFile(const std::string& path);
// Renames the file, its -wal and its -shm to path + ".broken-<UTC time>" (and -wal, -shm), so that sqlite3's
// own tools can still open the three together. Returns the new name.
absl::StatusOr<std::string> MoveAside(const std::string& path);

}  // namespace berth::store
