// SPDX-License-Identifier: Apache-2.0
// Structured logging through spdlog. A line is a message and key=value pairs (or one JSON object with
// log.format=json). Secrets never reach it: types that hold them have no conversion to Field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace berth::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// Sets the process-wide logger (stderr). Call once in main before threads start; without it: info, text.
void InitLog(LogLevel level, LogFormat format);

// One key and value; made in place from text, numbers and statuses.
struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, std::int64_t v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, int v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, std::uint64_t v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, const absl::Status& v) : key(k), value(v.ToString()) {}
  std::string key;
  std::string value;
};

void Log(LogLevel level, std::string_view message, std::initializer_list<Field> fields = {});
inline void LogDebug(std::string_view m, std::initializer_list<Field> f = {}) { Log(LogLevel::kDebug, m, f); }
inline void LogInfo(std::string_view m, std::initializer_list<Field> f = {}) { Log(LogLevel::kInfo, m, f); }
inline void LogWarning(std::string_view m, std::initializer_list<Field> f = {}) {
  Log(LogLevel::kWarning, m, f);
}
inline void LogError(std::string_view m, std::initializer_list<Field> f = {}) { Log(LogLevel::kError, m, f); }

}  // namespace berth::base
