// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <charconv>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace berth::base {
namespace {
constexpr char kErrnoUrl[] = "type.berth/errno";
}  // namespace

absl::Status SyscallError(int err, absl::string_view what) {
  absl::Status status = absl::ErrnoToStatus(err, what);
  status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(err)));
  return status;
}

absl::Status ToStatus(const Error& error) {
  return error.err == 0 ? absl::InternalError(error.what) : SyscallError(error.err, error.what);
}

std::optional<int> ErrnoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoUrl);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  int err = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), err).ec != std::errc()) return std::nullopt;
  return err;
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

absl::Status WithCode(absl::StatusCode code, const absl::Status& status, absl::string_view context) {
  return absl::Status(
      code, context.empty() ? std::string(status.message()) : absl::StrCat(context, ": ", status.message()));
}

}  // namespace berth::base
