// SPDX-License-Identifier: Apache-2.0
#include "cri/pull.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/convert_image.h"

namespace berth::cri {

absl::StatusOr<std::string> Pull(image::Images& images, const ::runtime::v1::PullImageRequest& request,
                                 const runtime::Caller& caller) {
  image::PullRequest pull;
  pull.image = request.image().image();
  if (request.has_auth()) pull.auth = AuthFrom(request.auth());
  // The answer, which says how far it came, has to arrive before the client gives up.
  constexpr std::int64_t kReplyMarginNs = 150 * base::kMillisecondNs;
  const auto too_late = [deadline = caller.deadline] {
    return !deadline.never() && base::MonotonicNs() >= deadline.at_ns() - kReplyMarginNs;
  };
  pull.cancelled = [cancellation = caller.cancellation, too_late] {
    return (cancellation != nullptr && cancellation->cancelled()) || too_late();
  };
  auto id = images.Pull(pull);
  if (absl::IsCancelled(id.status()) && too_late())
    return base::WithCode(absl::StatusCode::kDeadlineExceeded, id.status());
  return id;
}

absl::Status PullError(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  return base::WithCode(absl::StatusCode::kUnknown, status, "RegistryUnavailable");
}

}  // namespace berth::cri
