// SPDX-License-Identifier: Apache-2.0
// absl::Status with an errno riding along, and the conversion from base_core's results.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/result.h"

namespace berth::base {

// A failed system call: a canonical code by errno, "what: strerror", and the errno as payload. cri/ turns
// statuses that carry an errno into INTERNAL unless a layer above chose a code on purpose, so that ENOENT
// never reads as NOT_FOUND.
absl::Status SyscallError(int err, absl::string_view what);
absl::Status ToStatus(const Error& error);
template <typename T>
absl::StatusOr<T> ToStatusOr(Result<T> result) {
  if (!result.ok()) return ToStatus(result.error());
  return std::move(result).value();
}
inline absl::Status ToStatus(const Result<void>& result) {
  return result.ok() ? absl::OkStatus() : ToStatus(result.error());
}

// The errno a status carries, if a system call caused it.
std::optional<int> ErrnoOf(const absl::Status& status);

// The same status with "context: " put before its message; code and payloads stay.
absl::Status Annotate(const absl::Status& status, absl::string_view context);
// A status of a chosen code made from another's text; the errno payload is dropped, so the code is meant.
absl::Status WithCode(absl::StatusCode code, const absl::Status& status, absl::string_view context = "");

}  // namespace berth::base

// Returns from the calling function when `expr` is not OK.
#define BERTH_RETURN_IF_ERROR(expr)                                                  \
  do {                                                                               \
    if (absl::Status berth_status = (expr); !berth_status.ok()) return berth_status; \
  } while (false)
#define BERTH_CONCAT_INNER(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_INNER(a, b)
// BERTH_ASSIGN_OR_RETURN(auto fd, Open(path));
#define BERTH_ASSIGN_OR_RETURN(lhs, expr) \
  BERTH_ASSIGN_OR_RETURN_IMPL(BERTH_CONCAT(berth_statusor_, __LINE__), lhs, expr)
#define BERTH_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return tmp.status();               \
  lhs = std::move(tmp).value()
