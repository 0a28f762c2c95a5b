// SPDX-License-Identifier: Apache-2.0
#include "image/index.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "image/config.h"
#include "image/json.h"
#include "image/reference.h"

namespace berth::image {
namespace {

std::string Encode(const StoredImage& image) {
  return nlohmann::json({{"version", 1},
                         {"id", image.id},
                         {"repo_tags", image.repo_tags},
                         {"repo_digests", image.repo_digests},
                         {"manifests", image.manifests},
                         {"size_bytes", image.size_bytes},
                         {"pinned", image.pinned},
                         {"updated_ns", image.updated_ns}})
      .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void AddName(StoredImage& image, const std::string& name) {
  auto& list = name.find('@') == std::string::npos ? image.repo_tags : image.repo_digests;
  if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
}

bool DropName(StoredImage& image, const std::string& name) {
  return std::erase(image.repo_tags, name) + std::erase(image.repo_digests, name) > 0;
}

std::vector<std::string> NamesOf(const StoredImage& image) {
  std::vector<std::string> names = image.repo_tags;
  names.insert(names.end(), image.repo_digests.begin(), image.repo_digests.end());
  return names;
}

absl::Status WriteBlob(const Layout& layout, const std::string& content) {
  const std::string path = layout.blob(DigestOf(content));
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && static_cast<std::size_t>(info.st_size) == content.size())
    return absl::OkStatus();
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFileDurable(path, content)));
  BERTH_FAULT_POINT("image.blob.written");
  return absl::OkStatus();
}

}  // namespace

Index::Index(Layout layout, store::Store* store, const LayerStore* layers)
    : layout_(std::move(layout)), store_(store), layers_(layers) {}

std::shared_ptr<const ImageSnapshot> Index::snapshot() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

void Index::Publish(std::shared_ptr<const ImageSnapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  snapshot_ = std::move(snapshot);
}

absl::StatusOr<std::shared_ptr<StoredImage>> Index::ReadImage(const std::string& id) const {
  BERTH_ASSIGN_OR_RETURN(const std::string text,
                         base::ToStatusOr(base::ReadFile(layout_.image_record(id), 16 << 20)));
  BERTH_ASSIGN_OR_RETURN(const auto json, ParseObject(text, "image record", 16 << 20));
  auto image = std::make_shared<StoredImage>();
  try {
    image->id = json.at("id").get<std::string>();
    image->repo_tags = json.at("repo_tags").get<std::vector<std::string>>();
    image->repo_digests = json.at("repo_digests").get<std::vector<std::string>>();
    image->manifests = json.at("manifests").get<std::vector<std::string>>();
    image->size_bytes = json.at("size_bytes").get<std::uint64_t>();
    image->pinned = json.at("pinned").get<bool>();
    image->updated_ns = json.at("updated_ns").get<std::int64_t>();
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat("image record: ", error.what()));
  }
  if (image->id != id) return absl::DataLossError("image record is another's");
  for (const auto& manifest : image->manifests) {
    if (!IsDigest(manifest)) return absl::DataLossError("image record: a manifest is no digest");
  }
  BERTH_ASSIGN_OR_RETURN(image->config_json,
                         base::ToStatusOr(base::ReadFile(layout_.blob(id), kMaxConfigSize)));
  if (DigestOf(image->config_json) != id) return absl::DataLossError("image config on disk is damaged");
  BERTH_ASSIGN_OR_RETURN(auto config, ParseConfig(image->config_json));
  image->config = std::move(config.config);
  image->diff_ids = std::move(config.diff_ids);
  for (const auto& diff_id : image->diff_ids) {
    if (layers_->Find(diff_id) == nullptr)
      return absl::DataLossError(absl::StrCat("layer '", diff_id, "' is missing"));
  }
  return image;
}

absl::Status Index::Load() {
  const std::lock_guard writer(writer_);
  BERTH_ASSIGN_OR_RETURN(const auto names, base::ToStatusOr(base::ListDir(layout_.images())));
  auto snapshot = std::make_shared<ImageSnapshot>();
  std::vector<std::shared_ptr<StoredImage>> images;
  for (const auto& name : names) {
    if (name.find(".tmp.") != std::string::npos) {  // of a write that a crash cut short
      BERTH_FAULT_POINT("image.record.sweep");
      ::unlink((layout_.images() + "/" + name).c_str());
      continue;
    }
    const std::string id = "sha256:" + name.substr(0, name.find('.'));
    auto image =
        IsDigest(id) && name.ends_with(".json") ? ReadImage(id) : absl::DataLossError("name is no digest");
    if (image.ok()) {
      images.push_back(*std::move(image));
      continue;
    }
    base::LogWarning("quarantined a bad image record; the image must be pulled again",
                     {{"image", name}, {"why", image.status()}});
    const std::string to =
        absl::StrCat(layout_.quarantine(), "/", name.substr(0, 80), "-", base::ShortId(base::NewId()));
    BERTH_FAULT_POINT("image.record.quarantine");
    if (::rename((layout_.images() + "/" + name).c_str(), to.c_str()) != 0)
      return base::SyscallError(errno, absl::StrCat("move '", name, "'"));
  }
  std::sort(images.begin(), images.end(),
            [](const auto& a, const auto& b) { return a->updated_ns > b->updated_ns; });
  for (const auto& image : images) {
    for (const auto& name : NamesOf(*image)) {
      if (!snapshot->ids_by_name.emplace(name, image->id).second) DropName(*image, name);
    }
    snapshot->by_id[image->id] = image;
  }
  BERTH_RETURN_IF_ERROR(Reconcile(*snapshot));
  Publish(std::move(snapshot));
  return absl::OkStatus();
}

// Brings the database in line with the files: rows lost with it, rows whose removal a crash cut short.
absl::Status Index::Reconcile(const ImageSnapshot& snapshot) {
  BERTH_ASSIGN_OR_RETURN(const auto rows, store_->Images());
  BERTH_ASSIGN_OR_RETURN(const auto name_rows, store_->ImageNames());
  std::map<std::string, std::string> records;
  for (const auto& row : rows) records[row.id] = row.record;
  std::map<std::string, std::string> names;
  for (const auto& row : name_rows) names[row.name] = row.image_id;
  bool same = records.size() == snapshot.by_id.size() && names == snapshot.ids_by_name;
  for (const auto& [id, image] : snapshot.by_id)
    same = same && records.contains(id) && records[id] == Encode(*image);
  if (same) return absl::OkStatus();
  base::LogInfo("image records in the database brought in line with those on disk",
                {{"images", std::uint64_t{snapshot.by_id.size()}}, {"rows", std::uint64_t{records.size()}}});
  return store_->Write([&](store::Transaction& transaction) -> absl::Status {
    for (const auto& [name, id] : names) {
      if (!snapshot.ids_by_name.contains(name)) BERTH_RETURN_IF_ERROR(transaction.DeleteImageName(name));
    }
    for (const auto& [id, record] : records) {
      if (!snapshot.by_id.contains(id)) BERTH_RETURN_IF_ERROR(transaction.DeleteImage(id));
    }
    for (const auto& [id, image] : snapshot.by_id)
      BERTH_RETURN_IF_ERROR(transaction.PutImage({id, Encode(*image)}));
    for (const auto& [name, id] : snapshot.ids_by_name)
      BERTH_RETURN_IF_ERROR(transaction.PutImageName({name, id}));
    return absl::OkStatus();
  });
}

absl::Status Index::WriteImage(const StoredImage& image) {
  return base::ToStatus(base::WriteFileDurable(layout_.image_record(image.id), Encode(image)));
}

absl::StatusOr<std::string> Index::Put(const NewImage& image) {
  BERTH_ASSIGN_OR_RETURN(auto config, ParseConfig(image.config_json));
  auto stored = std::make_shared<StoredImage>();
  stored->id = DigestOf(image.config_json);
  stored->config_json = image.config_json;
  stored->config = std::move(config.config);
  stored->diff_ids = std::move(config.diff_ids);
  stored->size_bytes = image.config_json.size();
  for (const auto& diff_id : std::set<std::string>(stored->diff_ids.begin(), stored->diff_ids.end())) {
    const auto layer = layers_->Find(diff_id);
    if (layer == nullptr) return absl::InternalError(absl::StrCat("layer '", diff_id, "' vanished"));
    stored->size_bytes += layer->size_bytes;
  }
  stored->updated_ns = base::RealtimeNs();
  for (const auto& manifest : image.manifest_jsons) stored->manifests.push_back(DigestOf(manifest));

  const std::lock_guard writer(writer_);
  auto next = std::make_shared<ImageSnapshot>(*snapshot());
  if (const auto old = next->by_id.find(stored->id); old != next->by_id.end()) {
    for (const auto& name : NamesOf(*old->second)) AddName(*stored, name);
    for (const auto& manifest : old->second->manifests) {
      if (std::find(stored->manifests.begin(), stored->manifests.end(), manifest) == stored->manifests.end())
        stored->manifests.push_back(manifest);
    }
    stored->pinned = old->second->pinned;
  }
  std::map<std::string, std::shared_ptr<StoredImage>> robbed;
  for (const auto& name : image.names) {
    AddName(*stored, name);
    const auto holder = next->ids_by_name.find(name);
    if (holder != next->ids_by_name.end() && holder->second != stored->id) {
      auto& other = robbed[holder->second];
      if (other == nullptr) other = std::make_shared<StoredImage>(*next->by_id.at(holder->second));
      DropName(*other, name);
    }
    next->ids_by_name[name] = stored->id;
  }
  next->by_id[stored->id] = stored;
  for (const auto& [id, other] : robbed) next->by_id[id] = other;

  BERTH_RETURN_IF_ERROR(WriteBlob(layout_, image.config_json));
  for (const auto& manifest : image.manifest_jsons) BERTH_RETURN_IF_ERROR(WriteBlob(layout_, manifest));
  BERTH_RETURN_IF_ERROR(WriteImage(*stored));
  BERTH_FAULT_POINT("image.record.written");
  for (const auto& [id, other] : robbed) BERTH_RETURN_IF_ERROR(WriteImage(*other));
  const absl::Status written = store_->Write([&](store::Transaction& transaction) -> absl::Status {
    for (const auto& [id, other] : robbed) BERTH_RETURN_IF_ERROR(transaction.PutImage({id, Encode(*other)}));
    BERTH_RETURN_IF_ERROR(transaction.PutImage({stored->id, Encode(*stored)}));
    for (const auto& name : NamesOf(*stored))
      BERTH_RETURN_IF_ERROR(transaction.PutImageName({name, stored->id}));
    return absl::OkStatus();
  });
  if (!written.ok()) {
    // A file without a row would bring an image at the next start that nobody was told of.
    if (!snapshot()->by_id.contains(stored->id)) ::unlink(layout_.image_record(stored->id).c_str());
    return base::Annotate(written, "record image");
  }
  BERTH_FAULT_POINT("image.record.stored");
  Publish(std::move(next));
  return stored->id;
}

absl::Status Index::Remove(const std::string& id) {
  const std::lock_guard writer(writer_);
  auto next = std::make_shared<ImageSnapshot>(*snapshot());
  const auto found = next->by_id.find(id);
  if (found == next->by_id.end()) return absl::OkStatus();
  next->by_id.erase(found);
  std::erase_if(next->ids_by_name, [&](const auto& entry) { return entry.second == id; });
  const std::string path = layout_.image_record(id);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("remove '", path, "'"));
  BERTH_FAULT_POINT("image.remove.unlinked");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::FsyncDir(layout_.images())));
  BERTH_RETURN_IF_ERROR(
      store_->Write([&](store::Transaction& transaction) { return transaction.DeleteImage(id); }));
  Publish(std::move(next));
  return absl::OkStatus();
}

void Index::CollectBlobs() {
  const std::lock_guard writer(writer_);
  std::set<std::string> used;
  for (const auto images = snapshot(); const auto& [id, image] : images->by_id) {
    used.insert(HexOf(id));
    for (const auto& manifest : image->manifests) used.insert(HexOf(manifest));
  }
  auto names = base::ListDir(layout_.blobs());
  if (!names) return;
  for (const auto& name : *names) {
    if (used.contains(name)) continue;
    const std::string path = layout_.blobs() + "/" + name;
    BERTH_FAULT_POINT("image.blob.remove");
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      base::LogWarning("an unused blob cannot be removed", {{"path", path}, {"errno", errno}});
  }
}

std::uint64_t Index::BlobBytes() const {
  std::uint64_t sum = 0;
  for (const auto images = snapshot(); const auto& [id, image] : images->by_id)
    sum += (image->config_json.size() + 4095) / 4096 * 4096 + 4096 * (image->manifests.size() + 1);
  return sum;
}

std::shared_ptr<const StoredImage> FindImage(const ImageSnapshot& snapshot, const std::string& reference) {
  auto by_id = [&](const std::string& id) -> std::shared_ptr<const StoredImage> {
    const auto found = snapshot.by_id.find(id);
    return found == snapshot.by_id.end() ? nullptr : found->second;
  };
  if (reference.empty()) return nullptr;
  if (auto image = by_id(reference); image != nullptr) return image;
  if (auto image = by_id("sha256:" + reference); image != nullptr) return image;
  if (const auto parsed = ParseReference(reference); parsed.ok()) {
    // With a digest the tag is only a comment.
    const auto name =
        snapshot.ids_by_name.find(parsed->digest.empty() ? parsed->Tagged() : parsed->Digested());
    if (name != snapshot.ids_by_name.end()) return by_id(name->second);
  }
  const std::string hex = reference.starts_with("sha256:") ? reference.substr(7) : reference;
  if (hex.size() < 4 || hex.size() > 64 || hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    return nullptr;
  const std::string prefix = "sha256:" + hex;
  const auto first = snapshot.by_id.lower_bound(prefix);
  if (first == snapshot.by_id.end() || !first->first.starts_with(prefix)) return nullptr;
  const auto second = std::next(first);
  if (second != snapshot.by_id.end() && second->first.starts_with(prefix)) return nullptr;  // ambiguous
  return first->second;
}

}  // namespace berth::image
