// SPDX-License-Identifier: Apache-2.0
// From an older schema to the newest (docs/database.md, "Later versions").
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "store/sqlite.h"

namespace berth::store {

struct Migration {
  std::int64_t to = 0;  // from to-1
  const char* sql = "";
  // The oldest schema version whose berthd can live with the result; 0: as before (it only added).
  std::int64_t compatible_with = 0;
};

// Version 2 and later, in order. Empty: version 1 is the newest.
const std::vector<Migration>& Migrations();

// All steps in one transaction: after a crash there is all of them or none. Before it a copy of the file is
// put beside it, "<path>.before-schema-<newest version>", for the way back. The connection must be in no
// transaction.
absl::Status Migrate(Connection& connection, std::int64_t from, const std::vector<Migration>& migrations);

}  // namespace berth::store
