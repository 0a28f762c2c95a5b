// SPDX-License-Identifier: Apache-2.0
#include "image/manifest.h"

#include <sys/utsname.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "image/config.h"
#include "image/digest.h"
#include "image/json.h"

namespace berth::image {
namespace {

using nlohmann::json;

constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";

constexpr std::string_view kConfigTypes[] = {"application/vnd.oci.image.config.v1+json",
                                             "application/vnd.docker.container.image.v1+json"};
constexpr std::string_view kLayerTypes[] = {"application/vnd.oci.image.layer.v1.tar",
                                            "application/vnd.oci.image.layer.v1.tar+gzip",
                                            "application/vnd.oci.image.layer.v1.tar+zstd",
                                            "application/vnd.docker.image.rootfs.diff.tar",
                                            "application/vnd.docker.image.rootfs.diff.tar.gzip",
                                            "application/vnd.docker.image.rootfs.diff.tar.zstd"};

template <typename List>
bool Among(std::string_view text, const List& list) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

std::string Shown(const std::string& text) {
  std::string shown;
  for (const char c : text.substr(0, 120)) shown += (c >= 0x20 && c < 0x7f) ? c : '?';
  return shown;
}

absl::Status Refuse(absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("manifest: ", why));
}

absl::StatusOr<Descriptor> ReadDescriptor(const json& object, const char* what) {
  if (!object.is_object())
    return Refuse(absl::StrCat(what, " is a JSON ", object.type_name(), ", not an object"));
  Descriptor descriptor;
  BERTH_RETURN_IF_ERROR(ReadText(object, "mediaType", &descriptor.media_type));
  BERTH_RETURN_IF_ERROR(ReadText(object, "digest", &descriptor.digest));
  if (!IsDigest(descriptor.digest))
    return Refuse(
        absl::StrCat(what, " has digest '", Shown(descriptor.digest), "', not sha256: and 64 hex digits"));
  if (!object.contains("size")) return Refuse(absl::StrCat(what, " has no size"));
  BERTH_RETURN_IF_ERROR(ReadSize(object, "size", &descriptor.size));
  BERTH_RETURN_IF_ERROR(ReadTextMap(object, "annotations", &descriptor.annotations));
  BERTH_ASSIGN_OR_RETURN(const json* platform, Member(object, "platform", json::value_t::object));
  if (platform != nullptr) {
    Platform value;
    BERTH_RETURN_IF_ERROR(ReadText(*platform, "os", &value.os));
    BERTH_RETURN_IF_ERROR(ReadText(*platform, "architecture", &value.architecture));
    BERTH_RETURN_IF_ERROR(ReadText(*platform, "variant", &value.variant));
    descriptor.platform = std::move(value);
  }
  return descriptor;
}

absl::Status CheckLayer(const Descriptor& layer) {
  const std::string& type = layer.media_type;
  if (Among(type, kLayerTypes)) return absl::OkStatus();
  if (type.find("nondistributable") != std::string::npos || type.find("foreign") != std::string::npos) {
    return Refuse(absl::StrCat("layer '", layer.digest, "' is not distributed by the registry (", Shown(type),
                               "); such images are refused"));
  }
  if (type.find("+encrypted") != std::string::npos)
    return Refuse(absl::StrCat("layer '", layer.digest, "' is encrypted, which is not supported"));
  return Refuse(absl::StrCat("layer '", layer.digest, "' has media type '", Shown(type),
                             "', which is no file system layer"));
}

absl::StatusOr<Manifest> ReadIndex(const json& object) {
  Manifest manifest;
  manifest.is_index = true;
  BERTH_ASSIGN_OR_RETURN(const json* entries, Member(object, "manifests", json::value_t::array));
  if (entries == nullptr) return Refuse("an index without 'manifests'");
  for (const auto& entry : *entries) {
    BERTH_ASSIGN_OR_RETURN(auto descriptor, ReadDescriptor(entry, "an entry of the index"));
    manifest.manifests.push_back(std::move(descriptor));
  }
  return manifest;
}

absl::StatusOr<Manifest> ReadImage(const json& object) {
  Manifest manifest;
  BERTH_ASSIGN_OR_RETURN(const json* config, Member(object, "config", json::value_t::object));
  if (config == nullptr) return Refuse("no 'config'");
  BERTH_ASSIGN_OR_RETURN(manifest.config, ReadDescriptor(*config, "config"));
  if (!Among(manifest.config.media_type, kConfigTypes)) {
    return Refuse(absl::StrCat("config has media type '", Shown(manifest.config.media_type),
                               "': an artifact, not a container image"));
  }
  if (manifest.config.size > kMaxConfigSize)
    return Refuse(absl::StrCat("config claims ", manifest.config.size, " bytes, more than ", kMaxConfigSize));
  BERTH_ASSIGN_OR_RETURN(const json* layers, Member(object, "layers", json::value_t::array));
  if (layers == nullptr) return Refuse("no 'layers'");
  if (layers->size() > kMaxLayers)
    return Refuse(absl::StrCat(layers->size(), " layers, more than ", kMaxLayers));
  for (const auto& entry : *layers) {
    BERTH_ASSIGN_OR_RETURN(auto layer, ReadDescriptor(entry, "a layer"));
    BERTH_RETURN_IF_ERROR(CheckLayer(layer));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

// How well a variant suits, higher is better, 0 not at all. Newer ARM runs what is built for older; plain
// amd64 suits best, since whether v2 or v3 run here is not known.
int Fit(const Platform& offered, const Platform& host) {
  if (offered.os != "linux" || offered.architecture != host.architecture) return 0;
  if (offered.variant == host.variant) return 100;
  if (offered.variant.empty()) return 90;
  auto level = [](const std::string& variant) {
    return variant.size() >= 2 && variant[0] == 'v' ? std::atoi(variant.c_str() + 1) : 0;
  };
  if (host.architecture == "amd64") return 0;
  if (level(offered.variant) > 0 && level(offered.variant) < level(host.variant))
    return level(offered.variant);
  return 0;
}

}  // namespace

const std::vector<std::string>& ManifestMediaTypes() {
  static const auto* types =
      new std::vector<std::string>{std::string(kOciIndex), std::string(kOciManifest),
                                   std::string(kDockerList), std::string(kDockerManifest)};
  return *types;
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text, std::string_view media_type) {
  BERTH_ASSIGN_OR_RETURN(const json object, ParseObject(text, "manifest", kMaxManifestSize));
  std::uint64_t schema = 0;
  BERTH_RETURN_IF_ERROR(base::Annotate(ReadSize(object, "schemaVersion", &schema), "manifest"));
  if (schema == 1)
    return Refuse(
        "is Docker schema 1, which was retired years ago; build or push the image again with a current tool");
  if (schema != 2) return Refuse(absl::StrCat("has schemaVersion ", schema, ", not 2"));
  std::string stated;
  BERTH_RETURN_IF_ERROR(base::Annotate(ReadText(object, "mediaType", &stated), "manifest"));
  const bool has_image = object.contains("config") || object.contains("layers");
  const bool has_index = object.contains("manifests");
  // A document that is both would be read one way by a scanner and another way by a runtime.
  if (has_image && has_index) return Refuse("is both an index and an image");
  for (const std::string_view type : {media_type, std::string_view(stated)}) {
    const bool says_index = type == kOciIndex || type == kDockerList;
    const bool says_image = type == kOciManifest || type == kDockerManifest;
    if ((says_index && has_image) || (says_image && has_index)) {
      return Refuse(absl::StrCat("is said to be '", Shown(std::string(type)), "' and is not"));
    }
  }
  auto manifest = has_index ? ReadIndex(object) : ReadImage(object);
  if (!manifest.ok() && !absl::StartsWith(manifest.status().message(), "manifest: "))
    return base::Annotate(manifest.status(), "manifest");
  return manifest;
}

Platform HostPlatform() {
  utsname name{};
  ::uname(&name);
  const std::string_view machine = name.machine;
  if (machine == "x86_64") return {"linux", "amd64", ""};
  if (machine == "aarch64") return {"linux", "arm64", "v8"};
  if (machine.starts_with("armv7") || machine.starts_with("armv8")) return {"linux", "arm", "v7"};
  if (machine.starts_with("armv6")) return {"linux", "arm", "v6"};
  if (machine == "i686" || machine == "i386") return {"linux", "386", ""};
  return {"linux", std::string(machine), ""};  // riscv64, ppc64le, s390x are called so by both
}

absl::StatusOr<Descriptor> ChoosePlatform(const Manifest& index, const Platform& host) {
  const Descriptor* best = nullptr;
  int best_fit = 0;
  std::vector<std::string> offered;
  for (const auto& entry : index.manifests) {
    if (!entry.platform) continue;
    const int fit = Fit(*entry.platform, host);
    if (fit > best_fit) {
      best = &entry;
      best_fit = fit;
    }
    if (entry.platform->os != "unknown" && offered.size() < 20) {
      offered.push_back(
          Shown(absl::StrCat(entry.platform->os, "/", entry.platform->architecture,
                             entry.platform->variant.empty() ? "" : "/", entry.platform->variant)));
    }
  }
  if (best != nullptr) return *best;
  // An index of one image that does not say what it is for.
  if (index.manifests.size() == 1 && !index.manifests[0].platform) return index.manifests[0];
  return absl::NotFoundError(absl::StrCat("image has nothing for linux/", host.architecture, "; it offers ",
                                          offered.empty() ? "no platform" : absl::StrJoin(offered, ", ")));
}

}  // namespace berth::image
