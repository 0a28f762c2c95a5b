// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <gtest/gtest.h>

namespace berth::base {
namespace {

TEST(SyscallError, CarriesItsErrnoThroughAnnotations) {
  const absl::Status status = Annotate(SyscallError(ENOENT, "open '/x'"), "make the pod");
  EXPECT_EQ(ErrnoOf(status), ENOENT);
  EXPECT_EQ(status.message(), "make the pod: open '/x': No such file or directory");
}

TEST(WithCode, DropsTheErrnoSoThatTheCodeIsMeant) {
  const absl::Status status =
      WithCode(absl::StatusCode::kNotFound, SyscallError(ENOENT, "open '/x'"), "image");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoOf(status), std::nullopt);
}

TEST(ToStatus, TellsMalformedTextFromFailedCalls) {
  EXPECT_EQ(ErrnoOf(ToStatus(Malformed("bad line"))), std::nullopt);
  EXPECT_EQ(ErrnoOf(ToStatus(SyscallFailed(EPERM, "x"))), EPERM);
}

}  // namespace
}  // namespace berth::base
