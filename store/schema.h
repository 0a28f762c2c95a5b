// SPDX-License-Identifier: Apache-2.0
// The tables; docs/database.md describes them for people.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "store/migrations.h"
#include "store/sqlite.h"

namespace berth::store {

// What an empty file gets first; Migrations() lead on from there.
inline constexpr std::int64_t kFirstSchemaVersion = 1;
// "brth": marks the file as ours (PRAGMA application_id).
inline constexpr std::int64_t kApplicationId = 0x62727468;

// Is it ours or empty? Reads only. DATA_LOSS when it is a database of somebody else, or none at all.
absl::Status CheckOwner(Connection& connection);
// How this file is to be used on each connection: WAL, foreign keys, small cache, no checkpoint in the middle
// of a commit.
absl::Status Configure(Connection& connection);
// Makes the tables in an empty file; migrates an older one; accepts a newer one whose `compatible_with`
// reaches down to us; FAILED_PRECONDITION with advice otherwise.
absl::Status EnsureSchema(Connection& connection, const std::vector<Migration>& migrations = Migrations());

}  // namespace berth::store
