// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstring>

namespace berth::base {

std::string Error::Message() const {
  if (err == 0) return what;
  char buffer[128];
  return what + ": " + ::strerror_r(err, buffer, sizeof buffer);
}

}  // namespace berth::base
