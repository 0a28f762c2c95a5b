// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace berth::store {

// The statements of all changes, prepared once on the writer's connection, which must outlive this.
absl::StatusOr<std::unique_ptr<Transaction>> MakeTransaction(Connection& connection);

}  // namespace berth::store
