// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/remote_command.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

using nlohmann::json;

// An object of two numbers needs some 40 bytes.
constexpr std::size_t kMaxResizeBytes = 1024;

std::optional<TerminalSize> ReadSize(std::string_view text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  TerminalSize size;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT16_MAX) continue;
    if (absl::EqualsIgnoreCase(key, "width")) size.width = value.get<std::uint16_t>();
    if (absl::EqualsIgnoreCase(key, "height")) size.height = value.get<std::uint16_t>();
  }
  if (size.width == 0 || size.height == 0) return std::nullopt;
  return size;
}

}  // namespace

std::optional<TerminalSize> ResizeReader::Feed(std::string_view bytes) {
  std::optional<TerminalSize> newest;
  for (const char c : bytes) {
    held_.push_back(c);
    if (c == '}') {
      if (const auto size = ReadSize(held_)) newest = size;
      held_.clear();
    } else if (held_.size() > kMaxResizeBytes) {
      held_.clear();
    }
  }
  return newest;
}

std::string OutcomeText(const Outcome& outcome, int protocol_version) {
  constexpr int kInternalError = 500;
  const std::string words =
      outcome.status.ok() ? absl::StrCat("command terminated with non-zero exit code: ", outcome.exit_code)
                          : std::string(outcome.status.message());
  const bool success = outcome.status.ok() && outcome.exit_code == 0;
  if (protocol_version < 4) return success ? "" : words;
  json status{{"metadata", json::object()}, {"status", success ? "Success" : "Failure"}};
  if (!success) status["message"] = words;
  if (!outcome.status.ok()) {
    status["reason"] = "InternalError";
    status["details"] = {{"causes", json::array({{{"message", words}}})}};
    status["code"] = kInternalError;
  } else if (!success) {
    status["reason"] = "NonZeroExitCode";
    status["details"] = {
        {"causes", json::array({{{"reason", "ExitCode"}, {"message", absl::StrCat(outcome.exit_code)}}})}};
  }
  return status.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace berth::cri::streaming
