// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/fd.h"

namespace berth::network {

// Tells when something happened in a few directories: inotify(7), one instance. A directory that is not there
// is waited for through its nearest ancestor that is. Without inotify (its instances are limited per user)
// only timeouts and Wake() end a wait; the caller polls anyway. One thread watches and waits; Wake() is for
// any thread.
class DirWatch {
 public:
  DirWatch();

  bool works() const { return inotify_.valid(); }
  // Replaces what is watched. Call before looking at the directories, so that no change falls between.
  void Watch(const std::vector<std::string>& dirs);

  enum class Event { kTimeout, kChanged, kWoken };
  // Until something changed, Wake() was called or `timeout_ms` passed. What happened is consumed.
  Event Wait(int timeout_ms);
  void Wake();

 private:
  base::UniqueFd inotify_;
  base::UniqueFd wake_;
  std::set<int> watches_;
};

}  // namespace berth::network
