// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share.
#pragma once

#include <memory>
#include <string>

#include "store/store.h"

namespace berth::store {

// A directory under the system's temporary one that is erased at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::unique_ptr<Store> OpenOrDie(const std::string& path);
PodRow Pod(const std::string& id, const std::string& name = "");
ContainerRow Container(const std::string& id, const std::string& pod_id, const std::string& name = "");

// The crash test's child: pods "0", "1", … one after another, each number on standard output once its Write
// has returned.
int WriteUntilKilled(const std::string& path);

}  // namespace berth::store
