// SPDX-License-Identifier: Apache-2.0
// Puts an exit record on disk so that it survives a power loss and a full disk (design.md, rule 1).
#pragma once

#include <string>

#include "base/result.h"
#include "monitor/exit_record.h"

namespace berth::monitor {

// Makes <record_dir>/exit.reserve with room for a record.
base::Result<void> ReserveRecord(const std::string& record_dir);

// Writes into the reserve, syncs and renames it to exit.json.
base::Result<void> WriteRecordDurable(const ExitRecord& record, const std::string& record_dir);

// Where the disk refused: <fallback_dir>/exit.json with durable=false.
base::Result<void> WriteRecordFallback(const ExitRecord& record, const std::string& fallback_dir);

// No text of others in a record is longer than this, so that the reserve always holds it.
inline constexpr std::size_t kMaxRecordText = 1024;
std::string Shorten(std::string text, std::size_t most = kMaxRecordText);

}  // namespace berth::monitor
