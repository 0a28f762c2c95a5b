// SPDX-License-Identifier: Apache-2.0
#include "monitor/say.h"

#include <unistd.h>

#include "base/clock.h"
#include "monitor/log_format.h"

namespace berth::monitor {

void Say(const std::string& line) {
  const std::string text = LogTimestamp(base::RealtimeNs()) + " berth-monitor: " + line + "\n";
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace berth::monitor
