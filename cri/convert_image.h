// SPDX-License-Identifier: Apache-2.0
// Images between protobuf and image/. Pure.
#pragma once

#include <map>
#include <string>

#include "image/image.h"
#include "proto/cri/v1/api.pb.h"

namespace berth::cri {

::runtime::v1::Image ImageMessage(const image::ImageRecord& record);
// Key "info": {"imageSpec": the published configuration, "diffIDs": [...]}.
std::map<std::string, std::string> ImageInfo(const image::ImageRecord& record);
image::PullAuth AuthFrom(const ::runtime::v1::AuthConfig& auth);
void FillUsage(const image::FsUsage& usage, ::runtime::v1::FilesystemUsage* out);

}  // namespace berth::cri
