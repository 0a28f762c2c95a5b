// SPDX-License-Identifier: Apache-2.0
#include "image/config.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "image/digest.h"
#include "image/json.h"

namespace berth::image {
namespace {

using nlohmann::json;

absl::Status ReadRunConfig(const json& object, ImageConfig* config) {
  BERTH_RETURN_IF_ERROR(ReadTexts(object, "Entrypoint", &config->entrypoint));
  BERTH_RETURN_IF_ERROR(ReadTexts(object, "Cmd", &config->cmd));
  BERTH_RETURN_IF_ERROR(ReadTexts(object, "Env", &config->env));
  BERTH_RETURN_IF_ERROR(ReadText(object, "User", &config->user));
  BERTH_RETURN_IF_ERROR(ReadText(object, "WorkingDir", &config->working_dir));
  BERTH_RETURN_IF_ERROR(ReadText(object, "StopSignal", &config->stop_signal));
  BERTH_RETURN_IF_ERROR(ReadKeys(object, "Volumes", &config->volumes));
  return ReadTextMap(object, "Labels", &config->labels);
}

}  // namespace

absl::StatusOr<ParsedConfig> ParseConfig(std::string_view text) {
  BERTH_ASSIGN_OR_RETURN(const json object, ParseObject(text, "image config", kMaxConfigSize));
  ParsedConfig parsed;
  auto read = [&]() -> absl::Status {
    BERTH_RETURN_IF_ERROR(ReadText(object, "os", &parsed.os));
    BERTH_RETURN_IF_ERROR(ReadText(object, "architecture", &parsed.architecture));
    BERTH_RETURN_IF_ERROR(ReadText(object, "variant", &parsed.variant));
    BERTH_ASSIGN_OR_RETURN(const json* run, Member(object, "config", json::value_t::object));
    if (run != nullptr) BERTH_RETURN_IF_ERROR(ReadRunConfig(*run, &parsed.config));
    BERTH_ASSIGN_OR_RETURN(const json* rootfs, Member(object, "rootfs", json::value_t::object));
    if (rootfs == nullptr) return absl::FailedPreconditionError("key 'rootfs' is missing");
    return ReadTexts(*rootfs, "diff_ids", &parsed.diff_ids);
  };
  BERTH_RETURN_IF_ERROR(base::Annotate(read(), "image config"));
  if (!parsed.os.empty() && parsed.os != "linux") {
    return absl::FailedPreconditionError(
        absl::StrCat("image config: is for '", parsed.os.substr(0, 40), "', not linux"));
  }
  if (parsed.diff_ids.size() > kMaxLayers) {
    return absl::FailedPreconditionError(
        absl::StrCat("image config: has ", parsed.diff_ids.size(), " layers, more than ", kMaxLayers));
  }
  for (const auto& diff_id : parsed.diff_ids) {
    if (!IsDigest(diff_id))
      return absl::FailedPreconditionError("image config: a diff_id is not sha256: and 64 hex digits");
  }
  return parsed;
}

}  // namespace berth::image
