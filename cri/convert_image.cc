// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_image.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "base/clock.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

constexpr std::int64_t kMaxId = 0xfffffffeLL;

// The part of USER before the colon: digits are a uid, anything else a name, nothing is neither. Digits
// beyond the range of ids stay text: as a name they are refused when the container is made, while "neither"
// would make it root.
void FillUser(const std::string& user, v1::Image* out) {
  const std::string name = user.substr(0, user.find(':'));
  if (name.empty()) return;
  std::int64_t uid = 0;
  const bool digits = std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits && absl::SimpleAtoi(name, &uid) && uid <= kMaxId) {
    out->mutable_uid()->set_value(uid);
  } else {
    out->set_username(name);
  }
}

}  // namespace

v1::Image ImageMessage(const image::ImageRecord& record) {
  v1::Image out;
  out.set_id(record.id);
  for (const auto& tag : record.repo_tags) out.add_repo_tags(tag);
  for (const auto& digest : record.repo_digests) out.add_repo_digests(digest);
  out.set_size(std::max<std::uint64_t>(record.size_bytes, 1));  // clients take 0 for a broken reply
  FillUser(record.config.user, &out);
  out.mutable_spec()->set_image(record.id);
  out.set_pinned(record.pinned);
  return out;
}

std::map<std::string, std::string> ImageInfo(const image::ImageRecord& record) {
  nlohmann::json info;
  info["imageSpec"] = nlohmann::json::parse(record.config_json, nullptr, /*allow_exceptions=*/false);
  if (info["imageSpec"].is_discarded()) info["imageSpec"] = nullptr;
  info["diffIDs"] = record.diff_ids;
  return {{"info", info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
}

image::PullAuth AuthFrom(const v1::AuthConfig& in) {
  image::PullAuth out;
  out.username = in.username();
  out.password = in.password();
  out.auth = in.auth();
  out.identity_token = in.identity_token();
  out.registry_token = in.registry_token();
  out.server_address = in.server_address();
  return out;
}

void FillUsage(const image::FsUsage& usage, v1::FilesystemUsage* out) {
  out->set_timestamp(usage.timestamp_ns > 0 ? usage.timestamp_ns : base::RealtimeNs());
  out->mutable_fs_id()->set_mountpoint(usage.mountpoint);
  out->mutable_used_bytes()->set_value(usage.used_bytes);
  out->mutable_inodes_used()->set_value(usage.inodes_used);
}

}  // namespace berth::cri
