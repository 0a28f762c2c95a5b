// SPDX-License-Identifier: Apache-2.0
#include "store/testing.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/files.h"

namespace berth::store {

TempDir::TempDir() {
  const char* base = std::getenv("TMPDIR");
  path_ = std::string(base == nullptr ? "/tmp" : base) + "/berth-test-store-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) std::abort();
}

TempDir::~TempDir() { (void)base::RemoveTree(path_); }

std::unique_ptr<Store> OpenOrDie(const std::string& path) {
  auto store = Store::Open(path);
  if (!store.ok()) {
    (void)std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
    std::abort();
  }
  return std::move(*store);
}

PodRow Pod(const std::string& id, const std::string& name) {
  return {id, name.empty() ? "ns/" + id + "/uid/0" : name, 17, "{}"};
}

ContainerRow Container(const std::string& id, const std::string& pod_id, const std::string& name) {
  return {id, pod_id, name.empty() ? pod_id + "/" + id + "/0" : name, 18, "{}"};
}

int WriteUntilKilled(const std::string& path) {
  auto store = OpenOrDie(path);
  // Long enough records that the log is checkpointed now and then while we are killed.
  const std::string record(2000, 'r');
  for (int i = 0;; ++i) {
    PodRow row = Pod(std::to_string(i));
    row.record = record;
    const Durability durability = i % 7 == 0 ? Durability::kFull : Durability::kNormal;
    const absl::Status written = store->Write(
        [&](Transaction& t) {
          absl::Status inserted = t.InsertPod(row);
          if (!inserted.ok()) return inserted;
          // The second half of the same change: never seen without the first.
          return t.PutNetwork({row.id, record});
        },
        durability);
    if (!written.ok()) {
      (void)std::fprintf(stderr, "%s\n", written.ToString().c_str());
      return 1;
    }
    const std::string line = std::to_string(i) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return 1;
  }
}

}  // namespace berth::store
