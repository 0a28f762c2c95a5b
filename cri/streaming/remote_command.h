// SPDX-License-Identifier: Apache-2.0
// The parts of remote commands (exec, attach) that do not depend on the transport: the terminal's size, and
// how the end is told. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace berth::cri::streaming {

struct TerminalSize {
  std::uint16_t width = 0;
  std::uint16_t height = 0;
};

// The resize stream: JSON objects {"Width": n, "Height": n} one after the other, keys in any case.
class ResizeReader {
 public:
  // The newest size that `bytes` complete; what is malformed is skipped.
  std::optional<TerminalSize> Feed(std::string_view bytes);

 private:
  std::string held_;
};

// How a command ended: an exit code, or why it did not come to that.
struct Outcome {
  absl::Status status;
  std::int32_t exit_code = 0;
};

// What goes to the error stream. Version 4 and later: an object as Kubernetes' Status; before: words, and
// nothing for success.
std::string OutcomeText(const Outcome& outcome, int protocol_version);

}  // namespace berth::cri::streaming
