// SPDX-License-Identifier: Apache-2.0
// One image archive on its way in: a header, its bytes into a temporary file, then the commit. Not thread
// safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/fd.h"
#include "image/image.h"
#include "proto/berth/operator/v1/operator.pb.h"

namespace berth::cri {

class Import {
 public:
  Import(std::string work_dir, image::Images& images) : work_dir_(std::move(work_dir)), images_(images) {}
  ~Import();  // removes the file
  Import(const Import&) = delete;
  Import& operator=(const Import&) = delete;

  // INVALID_ARGUMENT unless the header comes first, once.
  absl::Status Take(const ops::v1::ImportImageRequest& part);
  absl::Status Commit(ops::v1::ImportImageResponse* reply);

 private:
  absl::Status Open(const ops::v1::ImportImageHeader& header);

  const std::string work_dir_;
  image::Images& images_;
  ops::v1::ImportImageHeader header_;
  std::string path_;  // "" until the header came
  base::UniqueFd file_;
};

}  // namespace berth::cri
