// SPDX-License-Identifier: Apache-2.0
// berthd's side of berth-unpack: starts it on a directory, feeds it, hears its report. One object, one
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/process.h"

namespace berth::image {

struct WorkerOptions {
  std::string program;
  bool layer = true;  // false: the members of an image archive (files only)
  std::uint64_t max_entries = 4'000'000;
};

struct UnpackReport {
  std::string diff_id;
  std::uint64_t archive_bytes = 0, entries = 0, size_bytes = 0, disk_bytes = 0, inodes = 0,
                xattrs_dropped = 0;
  std::vector<std::string> implicit;
  bool root_named = false;
};

class UnpackWorker {
 public:
  // `directory` must exist; how much may be written is what its file system has free, less a reserve.
  static absl::StatusOr<UnpackWorker> Start(const WorkerOptions& options, const std::string& directory);
  UnpackWorker(UnpackWorker&&) noexcept = default;
  UnpackWorker& operator=(UnpackWorker&&) = delete;
  ~UnpackWorker();  // kills and reaps what has not finished

  // Blocks while the worker is busy. An error means that it gave up: Finish() says why.
  absl::Status Feed(std::string_view data);
  // End of input; waits until everything is on disk. RESOURCE_EXHAUSTED: disk full. FAILED_PRECONDITION: bad
  // archive.
  absl::StatusOr<UnpackReport> Finish();

 private:
  UnpackWorker() = default;

  base::Child child_;
  base::UniqueFd input_, output_, errors_;
  std::string directory_;
};

// RESOURCE_EXHAUSTED with the figures when the file system of `path` is (nearly) full.
absl::StatusOr<std::uint64_t> FreeBytes(const std::string& path);

}  // namespace berth::image
