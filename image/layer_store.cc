// SPDX-License-Identifier: Apache-2.0
#include "image/layer_store.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "image/json.h"
#include "image/tree.h"

namespace berth::image {
namespace {

absl::Status MoveTo(const std::string& from, const std::string& directory, const std::string& name) {
  const std::string to = absl::StrCat(directory, "/", name, "-", base::ShortId(base::NewId()));
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("move '", from, "' to '", to, "'"));
  return absl::OkStatus();
}

}  // namespace

std::string EncodeLayer(const Layer& layer) {
  return nlohmann::json({{"version", 1},
                         {"diff_id", layer.diff_id},
                         {"size_bytes", layer.size_bytes},
                         {"disk_bytes", layer.disk_bytes},
                         {"inodes", layer.inodes},
                         {"implicit", layer.implicit},
                         {"root_named", layer.root_named}})
      .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<Layer> DecodeLayer(const std::string& text) {
  BERTH_ASSIGN_OR_RETURN(const auto json, ParseObject(text, "layer record", 64 << 20));
  Layer layer;
  try {
    layer.diff_id = json.at("diff_id").get<std::string>();
    layer.size_bytes = json.at("size_bytes").get<std::uint64_t>();
    layer.disk_bytes = json.at("disk_bytes").get<std::uint64_t>();
    layer.inodes = json.at("inodes").get<std::uint64_t>();
    layer.implicit = json.at("implicit").get<std::vector<std::string>>();
    layer.root_named = json.at("root_named").get<bool>();
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat("layer record: ", error.what()));
  }
  if (!IsDigest(layer.diff_id)) return absl::DataLossError("layer record: no diff id");
  return layer;
}

LayerStore::LayerStore(Layout layout, store::Store* store, std::string unpack_program)
    : layout_(std::move(layout)), store_(store), unpack_program_(std::move(unpack_program)) {}

absl::Status LayerStore::Load() {
  BERTH_ASSIGN_OR_RETURN(const auto names, base::ToStatusOr(base::ListDir(layout_.layers())));
  std::map<std::string, std::shared_ptr<const Layer>> found;
  for (const auto& name : names) {
    const std::string digest = "sha256:" + name;
    absl::Status bad = absl::DataLossError("name is no digest");
    if (IsDigest(digest)) {
      auto text = base::ReadFile(layout_.layer_record(digest), 64 << 20);
      auto layer = text ? DecodeLayer(*text) : absl::StatusOr<Layer>(base::ToStatus(text.error()));
      if (layer.ok() && layer->diff_id == digest && base::Exists(layout_.layer(digest) + "/fs")) {
        found[digest] = std::make_shared<const Layer>(*std::move(layer));
        continue;
      }
      bad = layer.ok() ? absl::DataLossError("record and directory do not match") : layer.status();
    }
    base::LogWarning("quarantined a layer that does not describe itself", {{"layer", name}, {"why", bad}});
    BERTH_RETURN_IF_ERROR(MoveTo(layout_.layers() + "/" + name, layout_.quarantine(), name.substr(0, 80)));
  }
  // The directories are the truth; the database follows.
  BERTH_ASSIGN_OR_RETURN(const auto rows, store_->Layers());
  std::set<std::string> known;
  std::vector<std::string> gone;
  for (const auto& row : rows) {
    if (found.contains(row.diff_id))
      known.insert(row.diff_id);
    else
      gone.push_back(row.diff_id);
  }
  if (!gone.empty() || known.size() != found.size()) {
    const absl::Status written = store_->Write([&](store::Transaction& transaction) -> absl::Status {
      for (const auto& diff_id : gone) BERTH_RETURN_IF_ERROR(transaction.DeleteLayer(diff_id));
      for (const auto& [diff_id, layer] : found) {
        if (!known.contains(diff_id))
          BERTH_RETURN_IF_ERROR(transaction.PutLayer({diff_id, EncodeLayer(*layer)}));
      }
      return absl::OkStatus();
    });
    if (!written.ok()) return written;
  }
  const std::lock_guard lock(mutex_);
  layers_ = std::move(found);
  return absl::OkStatus();
}

absl::Status LayerStore::Ensure(const std::string& diff_id, const Source& source,
                                const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!busy_.contains(diff_id)) {
      if (layers_.contains(diff_id)) return absl::OkStatus();
      break;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(200));
    if (cancelled && cancelled())
      return absl::CancelledError("cancelled while another pull unpacks the same layer");
  }
  busy_.insert(diff_id);
  lock.unlock();
  auto layer = Unpack(diff_id, source);
  lock.lock();
  busy_.erase(diff_id);
  if (layer.ok()) layers_[diff_id] = *layer;
  changed_.notify_all();
  return layer.status();
}

absl::StatusOr<std::shared_ptr<const Layer>> LayerStore::Unpack(const std::string& diff_id,
                                                                const Source& source) {
  const std::string temp = absl::StrCat(layout_.work(), "/layer-", base::ShortId(base::NewId()));
  auto layer = UnpackInto(temp, diff_id, source);
  if (!layer.ok()) {
    if (auto removed = RemoveDeepTree(temp); !removed.ok())
      base::LogWarning("a failed layer stays until the next start", {{"why", removed}});
  }
  return layer;
}

absl::StatusOr<std::shared_ptr<const Layer>> LayerStore::UnpackInto(const std::string& temp,
                                                                    const std::string& diff_id,
                                                                    const Source& source) {
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(temp)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(temp + "/fs", 0755)));
  BERTH_ASSIGN_OR_RETURN(auto worker, UnpackWorker::Start({unpack_program_}, temp + "/fs"));
  const absl::Status fed = source(worker);
  // EPIPE: the worker gave up first and knows the reason.
  if (!fed.ok() && base::ErrnoOf(fed) != EPIPE) return fed;
  BERTH_ASSIGN_OR_RETURN(const auto report, worker.Finish());
  if (!fed.ok()) return fed;
  if (report.diff_id != diff_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("layer unpacks to '", report.diff_id, "', the image config says '", diff_id, "'"));
  }
  if (report.xattrs_dropped > 0) {
    base::LogWarning("extended attributes of a layer were not taken by the file system",
                     {{"layer", diff_id}, {"count", report.xattrs_dropped}});
  }
  BERTH_FAULT_POINT("image.layer.unpacked");
  auto layer = std::make_shared<Layer>();
  layer->diff_id = diff_id;
  layer->size_bytes = report.size_bytes;
  layer->disk_bytes = report.disk_bytes;
  layer->inodes = report.inodes;
  layer->implicit = report.implicit;
  layer->root_named = report.root_named;
  BERTH_RETURN_IF_ERROR(Commit(temp, *layer));
  return layer;
}

absl::Status LayerStore::Commit(const std::string& temp, const Layer& layer) {
  const std::string record = EncodeLayer(layer);
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFileDurable(temp + "/layer.json", record)));
  BERTH_FAULT_POINT("image.layer.described");
  const std::string place = layout_.layer(layer.diff_id);
  if (::rename(temp.c_str(), place.c_str()) != 0)
    return base::SyscallError(errno, absl::StrCat("move layer to '", place, "'"));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::FsyncDir(layout_.layers())));
  BERTH_FAULT_POINT("image.layer.renamed");
  const absl::Status written = store_->Write([&](store::Transaction& transaction) {
    return transaction.PutLayer({layer.diff_id, record});
  });
  if (written.ok()) return written;
  if (auto moved = MoveTo(place, layout_.trash(), HexOf(layer.diff_id)); !moved.ok())
    base::LogWarning("a layer without a row stays", {{"why", moved}});
  return base::Annotate(written, "record layer");
}

std::shared_ptr<const Layer> LayerStore::Find(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  return found == layers_.end() ? nullptr : found->second;
}

LayerStore::Pin::Pin(LayerStore* store, std::vector<std::string> diff_ids)
    : store_(store), diff_ids_(std::move(diff_ids)) {
  const std::lock_guard lock(store_->mutex_);
  for (const auto& diff_id : diff_ids_) ++store_->pins_[diff_id];
}

LayerStore::Pin::~Pin() {
  const std::lock_guard lock(store_->mutex_);
  for (const auto& diff_id : diff_ids_) {
    if (--store_->pins_[diff_id] == 0) store_->pins_.erase(diff_id);
  }
}

int LayerStore::Collect(const std::function<std::set<std::string>()>& used) {
  std::vector<std::string> unused;
  {
    const std::lock_guard lock(mutex_);
    const auto keep = used();
    for (auto layer = layers_.begin(); layer != layers_.end();) {
      const std::string& diff_id = layer->first;
      if (keep.contains(diff_id) || pins_.contains(diff_id) || busy_.contains(diff_id)) {
        ++layer;
        continue;
      }
      unused.push_back(diff_id);
      busy_.insert(diff_id);  // a pull of it waits until it is out of the way
      layer = layers_.erase(layer);
    }
  }
  for (const auto& diff_id : unused) {
    absl::Status moved = MoveTo(layout_.layer(diff_id), layout_.trash(), HexOf(diff_id));
    BERTH_FAULT_POINT("image.layer.trashed");
    if (moved.ok())
      moved =
          store_->Write([&](store::Transaction& transaction) { return transaction.DeleteLayer(diff_id); });
    if (!moved.ok())
      base::LogWarning("an unused layer cannot be removed", {{"layer", diff_id}, {"why", moved}});
    const std::lock_guard lock(mutex_);
    busy_.erase(diff_id);
    changed_.notify_all();
  }
  return static_cast<int>(unused.size());
}

LayerStore::Usage LayerStore::usage() const {
  const std::lock_guard lock(mutex_);
  Usage sum;
  for (const auto& [diff_id, layer] : layers_) {
    sum.bytes += layer->disk_bytes;
    sum.inodes += layer->inodes;
  }
  return sum;
}

}  // namespace berth::image
