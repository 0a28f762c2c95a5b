// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_common.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace berth::cri {
namespace {

constexpr std::int64_t kMaxId = 0xfffffffeLL;

absl::StatusOr<runtime::NamespaceMode> ModeFrom(const char* field, v1::NamespaceMode mode) {
  if (!v1::NamespaceMode_IsValid(mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("namespace mode ", static_cast<int>(mode), " of ", field, " is unknown"));
  }
  return static_cast<runtime::NamespaceMode>(mode);
}

absl::Status CheckMappings(const char* field, const std::vector<runtime::IdMapping>& mappings) {
  if (mappings.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("userns_options has ", mappings.size(), " ", field,
                                                   " mappings; exactly one is supported"));
  }
  if (mappings[0].container_id != 0 || mappings[0].length == 0) {
    return absl::InvalidArgumentError(absl::StrCat("userns_options does not map ", field, " id 0"));
  }
  if (static_cast<std::uint64_t>(mappings[0].host_id) + mappings[0].length > 0xffffffffULL) {
    return absl::InvalidArgumentError(absl::StrCat("userns_options maps ", field, " ids beyond 4294967294"));
  }
  return absl::OkStatus();
}

absl::Status UserNamespaceFrom(const v1::UserNamespace& in, runtime::NamespaceOptions* out) {
  switch (in.mode()) {
    case v1::NODE:
      if (in.uids_size() > 0 || in.gids_size() > 0) {
        return absl::InvalidArgumentError(
            "userns_options has mappings, but its mode NODE asks for no user namespace");
      }
      return absl::OkStatus();
    case v1::POD:
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "userns_options mode ", v1::NamespaceMode_Name(in.mode()), " is not supported: only POD and NODE"));
  }
  out->user_namespace = true;
  out->uid_mappings = MappingsFrom(in.uids());
  out->gid_mappings = MappingsFrom(in.gids());
  BERTH_RETURN_IF_ERROR(CheckMappings("user", out->uid_mappings));
  BERTH_RETURN_IF_ERROR(CheckMappings("group", out->gid_mappings));
  const auto& uid = out->uid_mappings[0];
  const auto& gid = out->gid_mappings[0];
  if (uid.host_id != gid.host_id || uid.length != gid.length) {
    return absl::InvalidArgumentError("userns_options maps users and groups differently");
  }
  return absl::OkStatus();
}

void EchoMappings(const std::vector<runtime::IdMapping>& in,
                  google::protobuf::RepeatedPtrField<v1::IDMapping>* out) {
  for (const auto& mapping : in) {
    auto* echoed = out->Add();
    echoed->set_host_id(mapping.host_id);
    echoed->set_container_id(mapping.container_id);
    echoed->set_length(mapping.length);
  }
}

}  // namespace

absl::StatusOr<runtime::NamespaceOptions> NamespacesFrom(const v1::NamespaceOption& in) {
  runtime::NamespaceOptions out;
  BERTH_ASSIGN_OR_RETURN(out.network, ModeFrom("network", in.network()));
  BERTH_ASSIGN_OR_RETURN(out.pid, ModeFrom("pid", in.pid()));
  BERTH_ASSIGN_OR_RETURN(out.ipc, ModeFrom("ipc", in.ipc()));
  out.target_id = in.target_id();
  if (out.pid == runtime::NamespaceMode::kTarget && out.target_id.empty()) {
    return absl::InvalidArgumentError("pid mode TARGET without target_id");
  }
  if (in.has_userns_options()) BERTH_RETURN_IF_ERROR(UserNamespaceFrom(in.userns_options(), &out));
  return out;
}

void EchoNamespaces(const runtime::NamespaceOptions& in, v1::NamespaceOption* out) {
  out->set_network(static_cast<v1::NamespaceMode>(in.network));
  out->set_pid(static_cast<v1::NamespaceMode>(in.pid));
  out->set_ipc(static_cast<v1::NamespaceMode>(in.ipc));
  out->set_target_id(in.target_id);
  auto* userns = out->mutable_userns_options();
  userns->set_mode(in.user_namespace ? v1::POD : v1::NODE);
  EchoMappings(in.uid_mappings, userns->mutable_uids());
  EchoMappings(in.gid_mappings, userns->mutable_gids());
}

runtime::SelinuxOptions SelinuxFrom(const v1::SELinuxOption& in) {
  return {in.user(), in.role(), in.type(), in.level()};
}

absl::StatusOr<runtime::SecurityProfile> ProfileFrom(const char* what, const v1::SecurityProfile& in) {
  if (!v1::SecurityProfile::ProfileType_IsValid(in.profile_type())) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " profile type ", static_cast<int>(in.profile_type()), " is unknown"));
  }
  if (in.profile_type() == v1::SecurityProfile::Localhost &&
      absl::StripPrefix(in.localhost_ref(), "localhost/").empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " profile is Localhost, but localhost_ref is empty"));
  }
  // Some clients keep the prefix of the old field, which neither a path nor a profile's name begins with.
  return runtime::SecurityProfile{static_cast<runtime::ProfileType>(in.profile_type()),
                                  std::string(absl::StripPrefix(in.localhost_ref(), "localhost/"))};
}

absl::StatusOr<std::optional<runtime::SecurityProfile>> OldProfileFrom(const char* what,
                                                                       const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "unconfined") return runtime::SecurityProfile{runtime::ProfileType::kUnconfined, ""};
  if (text == "runtime/default" || text == "docker/default") {
    return runtime::SecurityProfile{runtime::ProfileType::kRuntimeDefault, ""};
  }
  absl::string_view reference = text;
  if (absl::ConsumePrefix(&reference, "localhost/") && !reference.empty()) {
    return runtime::SecurityProfile{runtime::ProfileType::kLocalhost, std::string(reference)};
  }
  return absl::InvalidArgumentError(absl::StrCat(what, " profile '", text, "' is not understood"));
}

absl::StatusOr<std::optional<std::int64_t>> IdFrom(const char* field, bool present,
                                                   const v1::Int64Value& value) {
  if (!present) return std::nullopt;
  if (value.value() < 0 || value.value() > kMaxId) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " ", value.value(), " is not between 0 and ", kMaxId));
  }
  return value.value();
}

absl::StatusOr<std::vector<std::int64_t>> GroupsFrom(
    const google::protobuf::RepeatedField<std::int64_t>& groups) {
  for (const std::int64_t group : groups) {
    if (group < 0 || group > kMaxId) {
      return absl::InvalidArgumentError(
          absl::StrCat("supplemental group ", group, " is not between 0 and ", kMaxId));
    }
  }
  return std::vector<std::int64_t>(groups.begin(), groups.end());
}

}  // namespace berth::cri
