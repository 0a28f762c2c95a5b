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
  pull.cancelled = [cancellation = caller.cancellation, deadline = caller.deadline] {
    return (cancellation != nullptr && cancellation->cancelled()) || deadline.Passed();
  };
  return images.Pull(pull);
}

absl::Status PullError(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  return base::WithCode(absl::StatusCode::kUnknown, status, "RegistryUnavailable");
}

}  // namespace berth::cri
