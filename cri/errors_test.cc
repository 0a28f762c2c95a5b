// SPDX-License-Identifier: Apache-2.0
#include "cri/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace berth::cri {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(ToGrpc, KeepsCodeAndMessage) {
  const grpc::Status status = ToGrpc(absl::NotFoundError("no pod 'x'"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no pod 'x'");
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

TEST(ToGrpc, AFailedSystemCallIsInternalHoweverItReads) {
  const grpc::Status status = ToGrpc(base::Annotate(base::SyscallError(ENOENT, "open '/x'"), "start"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), HasSubstr("open '/x'"));
}

TEST(ToGrpc, ACodeChosenOnPurposeStays) {
  const auto chosen =
      base::WithCode(absl::StatusCode::kFailedPrecondition, base::SyscallError(ENOENT, "open '/x'"));
  EXPECT_EQ(ToGrpc(chosen).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(FitMessage, LeavesShortTextsAlone) { EXPECT_EQ(FitMessage("größer als 5 %"), "größer als 5 %"); }

TEST(FitMessage, CutsTheMiddleOfLongTexts) {
  const std::string fitted = FitMessage("begin " + std::string(100'000, 'x') + " end");
  EXPECT_LE(fitted.size(), kMaxEncodedMessageBytes);
  EXPECT_THAT(fitted, StartsWith("begin xxx"));
  EXPECT_THAT(fitted, EndsWith("xxx end"));
  EXPECT_THAT(fitted, HasSubstr("characters left out"));
}

TEST(FitMessage, CountsTheBytesThatPercentEncodingCosts) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "ä";  // 4000 bytes, but 12000 when encoded
  const std::string fitted = FitMessage(text);
  EXPECT_LE(fitted.size() * 3, kMaxEncodedMessageBytes + 200);
  EXPECT_THAT(fitted, HasSubstr("characters left out"));
}

TEST(FitMessage, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(FitMessage("a\xff"
                       "b\xc3"),
            "a?b?");
  EXPECT_EQ(FitMessage("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(FitMessage("\xc0\xaf"), "??") << "an overlong form";
  EXPECT_EQ(FitMessage("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

}  // namespace
}  // namespace berth::cri
