// SPDX-License-Identifier: Apache-2.0
#include "image/importer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "image/config.h"
#include "image/json.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/tree.h"

namespace berth::image {
namespace {

constexpr std::uint64_t kMaxMembers = 20'000;
constexpr std::size_t kChunk = 1 << 20;
constexpr int kMaxIndexDepth = 3;
constexpr std::size_t kMaxImages = 256;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("image archive: ", why));
}

// A member as a plain file, whatever links the archive made; `docker save` of old links equal layers.
absl::StatusOr<base::UniqueFd> OpenMember(int directory, const std::string& path) {
  auto fd = base::OpenAt(directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, base::Resolve::kInRoot);
  if (!fd && (fd.error().err == ENOENT || fd.error().err == ENOTDIR || fd.error().err == ELOOP)) {
    return Bad(absl::StrCat("member '", path.substr(0, 200), "' is missing"));
  }
  if (!fd) return base::ToStatus(fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode))
    return Bad(absl::StrCat("member '", path.substr(0, 200), "' is no file"));
  return std::move(*fd);
}

absl::StatusOr<std::string> ReadMember(int directory, const std::string& path, std::size_t cap) {
  BERTH_ASSIGN_OR_RETURN(const auto fd, OpenMember(directory, path));
  auto text = base::ReadFd(fd.get(), cap);
  if (!text && text.error().err == EFBIG)
    return Bad(absl::StrCat("member '", path.substr(0, 200), "' is larger than ", cap, " bytes"));
  return base::ToStatusOr(std::move(text));
}

std::string BlobPath(const std::string& digest) { return "blobs/sha256/" + HexOf(digest); }

// A blob of an OCI layout: its name is a claim, checked here.
absl::StatusOr<std::string> ReadBlobMember(int directory, const Descriptor& descriptor, std::size_t cap) {
  BERTH_ASSIGN_OR_RETURN(std::string text, ReadMember(directory, BlobPath(descriptor.digest), cap));
  if (text.size() != descriptor.size)
    return Bad(absl::StrCat("blob '", descriptor.digest, "' has ", text.size(), " bytes, its manifest says ",
                            descriptor.size));
  if (const auto digest = DigestOf(text); digest != descriptor.digest)
    return Bad(absl::StrCat("blob '", descriptor.digest, "' has digest '", digest, "'"));
  return text;
}

absl::Status FeedFile(int fd, const std::function<absl::Status(std::string_view)>& sink) {
  std::vector<char> buffer(kChunk);
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::SyscallError(errno, "read image archive");
    if (got == 0) return absl::OkStatus();
    BERTH_RETURN_IF_ERROR(sink({buffer.data(), static_cast<std::size_t>(got)}));
  }
}

// Names that an entry of an OCI index goes by. A bare tag needs a name to go with.
std::vector<std::string> OciNames(const Descriptor& entry, const std::string& name_hint) {
  std::string text;
  if (const auto full = entry.annotations.find("io.containerd.image.name"); full != entry.annotations.end()) {
    text = full->second;
  } else if (const auto name = entry.annotations.find("org.opencontainers.image.ref.name");
             name != entry.annotations.end()) {
    text = name->second;
    if (IsTag(text)) {
      const auto hint = ParseReference(name_hint);
      text = hint.ok() ? absl::StrCat(hint->Name(), ":", text) : "";
    }
  }
  if (text.empty()) text = name_hint;
  if (text.empty()) return {};
  auto reference = ParseReference(text);
  if (!reference.ok()) {
    base::LogWarning("an image of the archive has an unusable name", {{"why", reference.status()}});
    return {};
  }
  std::vector<std::string> names;
  if (!reference->tag.empty()) names.push_back(reference->Tagged());
  reference->digest = entry.digest;  // verified by the caller
  names.push_back(reference->Digested());
  return names;
}

}  // namespace

absl::Status Importer::Lay(const std::string& path, const std::string& directory) {
  BERTH_ASSIGN_OR_RETURN(const auto file,
                         base::ToStatusOr(base::OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK)));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a file"));
  BERTH_ASSIGN_OR_RETURN(auto worker,
                         UnpackWorker::Start({unpack_program_, /*layer=*/false, kMaxMembers}, directory));
  const absl::Status fed = FeedFile(file.get(), [&](std::string_view data) { return worker.Feed(data); });
  if (!fed.ok() && base::ErrnoOf(fed) != EPIPE) return fed;
  const auto report = worker.Finish();
  if (absl::IsFailedPrecondition(report.status()))
    return base::WithCode(absl::StatusCode::kInvalidArgument, report.status(), absl::StrCat("'", path, "'"));
  if (!report.ok()) return report.status();
  return fed;
}

absl::StatusOr<std::vector<std::string>> Importer::Import(const std::string& path,
                                                          const std::string& name_hint) {
  if (!name_hint.empty()) BERTH_RETURN_IF_ERROR(ParseReference(name_hint).status());
  const std::string directory = absl::StrCat(layout_.work(), "/import-", base::ShortId(base::NewId()));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory)));
  auto work = [&]() -> absl::StatusOr<std::vector<std::string>> {
    BERTH_RETURN_IF_ERROR(Lay(path, directory));
    BERTH_FAULT_POINT("image.import.laid");
    BERTH_ASSIGN_OR_RETURN(const auto root,
                           base::ToStatusOr(base::OpenAt(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY)));
    // Current `docker save` writes both; the layout has the digests.
    const bool oci = ::faccessat(root.get(), "index.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    const bool docker = ::faccessat(root.get(), "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!oci && !docker) return Bad("has neither index.json (OCI layout) nor manifest.json (docker-archive)");
    BERTH_ASSIGN_OR_RETURN(const auto found,
                           oci ? ReadOci(root.get(), name_hint) : ReadDocker(root.get(), name_hint));
    if (found.empty()) return Bad("holds no image");
    std::vector<std::string> ids;
    for (const auto& image : found) {
      BERTH_ASSIGN_OR_RETURN(auto id, Commit(root.get(), image));
      ids.push_back(std::move(id));
    }
    return ids;
  };
  auto ids = work();
  if (auto removed = RemoveDeepTree(directory); !removed.ok())
    base::LogWarning("import directory stays until the next start", {{"why", removed}});
  return ids;
}

absl::StatusOr<std::vector<Importer::Found>> Importer::ReadOci(int directory, const std::string& name_hint) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadMember(directory, "index.json", kMaxManifestSize));
  BERTH_ASSIGN_OR_RETURN(const auto index, ParseManifest(text, ""));
  if (!index.is_index) return Bad("index.json is no index");
  if (index.manifests.size() > kMaxImages)
    return Bad(absl::StrCat("holds more than ", kMaxImages, " images"));
  std::vector<Found> found;
  for (const auto& entry : index.manifests)
    BERTH_RETURN_IF_ERROR(ReadOciEntry(directory, entry, name_hint, found));
  return found;
}

absl::Status Importer::ReadOciEntry(int directory, const Descriptor& entry, const std::string& name_hint,
                                    std::vector<Found>& found) {
  Found image;
  Descriptor at = entry;
  Manifest manifest;
  for (int depth = 0;; ++depth) {
    if (depth > kMaxIndexDepth) return Bad("indexes nested too deep");
    BERTH_ASSIGN_OR_RETURN(std::string text, ReadBlobMember(directory, at, kMaxManifestSize));
    BERTH_ASSIGN_OR_RETURN(manifest, ParseManifest(text, at.media_type));
    image.image.manifest_jsons.push_back(std::move(text));
    if (!manifest.is_index) break;
    BERTH_ASSIGN_OR_RETURN(at, ChoosePlatform(manifest, HostPlatform()));
  }
  BERTH_ASSIGN_OR_RETURN(image.image.config_json, ReadBlobMember(directory, manifest.config, kMaxConfigSize));
  BERTH_ASSIGN_OR_RETURN(auto config, ParseConfig(image.image.config_json));
  image.diff_ids = std::move(config.diff_ids);
  for (const auto& layer : manifest.layers)
    image.layers.push_back({BlobPath(layer.digest), layer.digest, layer.size});
  image.image.names = OciNames(entry, name_hint);
  found.push_back(std::move(image));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Importer::Found>> Importer::ReadDocker(int directory,
                                                                  const std::string& name_hint) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadMember(directory, "manifest.json", kMaxManifestSize));
  // A list at the top; wrapped, it can go through the same checked reader as everything else.
  BERTH_ASSIGN_OR_RETURN(const auto wrapped, ParseObject(absl::StrCat("{\"images\":", text, "}"),
                                                         "manifest.json", kMaxManifestSize + 16));
  BERTH_ASSIGN_OR_RETURN(const nlohmann::json* images,
                         Member(wrapped, "images", nlohmann::json::value_t::array));
  if (images == nullptr) return Bad("manifest.json is no list");
  if (images->size() > kMaxImages) return Bad(absl::StrCat("holds more than ", kMaxImages, " images"));
  std::vector<Found> found;
  for (const auto& entry : *images) {
    if (!entry.is_object()) return Bad("manifest.json has an entry that is no object");
    Found image;
    std::string config_path;
    std::vector<std::string> tags;
    std::vector<std::string> layers;
    BERTH_RETURN_IF_ERROR(ReadText(entry, "Config", &config_path));
    BERTH_RETURN_IF_ERROR(ReadTexts(entry, "RepoTags", &tags));
    BERTH_RETURN_IF_ERROR(ReadTexts(entry, "Layers", &layers));
    if (config_path.empty()) return Bad("manifest.json names no config");
    BERTH_ASSIGN_OR_RETURN(image.image.config_json, ReadMember(directory, config_path, kMaxConfigSize));
    BERTH_ASSIGN_OR_RETURN(auto config, ParseConfig(image.image.config_json));
    image.diff_ids = std::move(config.diff_ids);
    for (auto& layer : layers) image.layers.push_back({std::move(layer), "", 0});
    if (tags.empty() && !name_hint.empty()) tags.push_back(name_hint);
    for (const auto& tag : tags) {
      auto reference = ParseReference(tag);
      if (reference.ok() && !reference->tag.empty()) {
        image.image.names.push_back(reference->Tagged());
      } else {
        base::LogWarning("an image of the archive has an unusable name", {{"name", tag.substr(0, 200)}});
      }
    }
    found.push_back(std::move(image));
  }
  return found;
}

absl::StatusOr<std::string> Importer::Commit(int directory, const Found& found) {
  if (found.layers.size() != found.diff_ids.size()) {
    return Bad(
        absl::StrCat("image has ", found.layers.size(), " layers, its config names ", found.diff_ids.size()));
  }
  const LayerStore::Pin pin(layers_, found.diff_ids);
  for (std::size_t i = 0; i < found.layers.size(); ++i) {
    const LayerMember& member = found.layers[i];
    auto source = [&](UnpackWorker& worker) -> absl::Status {
      BERTH_ASSIGN_OR_RETURN(const auto file, OpenMember(directory, member.path));
      Sha256 hash;
      std::uint64_t size = 0;
      BERTH_RETURN_IF_ERROR(FeedFile(file.get(), [&](std::string_view data) {
        hash.Update(data);
        size += data.size();
        return worker.Feed(data);
      }));
      if (member.digest.empty()) return absl::OkStatus();  // the diff id decides
      if (size != member.size)
        return Bad(absl::StrCat("layer '", member.digest, "' has ", size, " bytes, its manifest says ",
                                member.size));
      if (const auto digest = hash.Digest(); digest != member.digest)
        return Bad(absl::StrCat("layer '", member.digest, "' has digest '", digest, "'"));
      return absl::OkStatus();
    };
    absl::Status done = layers_->Ensure(found.diff_ids[i], source, nullptr);
    if (!done.ok()) return base::Annotate(done, absl::StrCat("layer ", i + 1, " of ", found.layers.size()));
  }
  return index_->Put(found.image);
}

}  // namespace berth::image
