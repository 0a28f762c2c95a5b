// SPDX-License-Identifier: Apache-2.0
// The database: SQLite in WAL mode, one writer thread with group commit. Rows are keys plus one JSON record
// each; what is in a record is its owner's affair (runtime/codec.h, image/). Frozen as schema version 1:
// later versions only add (design.md, rule 18).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::store {

struct PodRow {
  std::string id;
  std::string name_key;  // unique: namespace/name/uid/attempt
  std::int64_t created_at = 0;
  std::string record;  // JSON
};
struct ContainerRow {
  std::string id;
  std::string pod_id;
  std::string name_key;  // unique: pod id/name/attempt
  std::int64_t created_at = 0;
  std::string record;
};
struct ImageRow {
  std::string id;  // config digest "sha256:…"
  std::string record;
};
struct ImageNameRow {
  std::string name;  // normalised reference, with tag or with digest
  std::string image_id;
};
struct LayerRow {
  std::string diff_id;  // digest of the uncompressed archive
  std::string record;
};
// What CNI was asked for a pod: written before ADD, updated with its result, erased after DEL succeeded.
// Survives the pod's row.
struct NetworkRow {
  std::string pod_id;
  std::string record;
};

// Handed to work on the writer thread; valid only during the call. Errors: ALREADY_EXISTS for a taken id or
// name_key (the message names the holder's id), NOT_FOUND for an update or delete of a row that is not there
// (deletes: success).
class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual absl::Status InsertPod(const PodRow& row) = 0;
  virtual absl::Status UpdatePod(const std::string& id, const std::string& record) = 0;
  virtual absl::Status DeletePod(const std::string& id) = 0;  // its containers' rows must be gone
  virtual absl::Status InsertContainer(const ContainerRow& row) = 0;
  virtual absl::Status UpdateContainer(const std::string& id, const std::string& record) = 0;
  virtual absl::Status DeleteContainer(const std::string& id) = 0;
  virtual absl::Status PutImage(const ImageRow& row) = 0;       // insert or replace
  virtual absl::Status DeleteImage(const std::string& id) = 0;  // and its names
  virtual absl::Status PutImageName(const ImageNameRow& row) = 0;
  virtual absl::Status DeleteImageName(const std::string& name) = 0;
  virtual absl::Status PutLayer(const LayerRow& row) = 0;
  virtual absl::Status DeleteLayer(const std::string& diff_id) = 0;
  virtual absl::Status PutNetwork(const NetworkRow& row) = 0;
  virtual absl::Status DeleteNetwork(const std::string& pod_id) = 0;
};

// kNormal: survives a crash of ours, in order; a power loss may lose the last moments. kFull: on disk when
// Write returns.
enum class Durability { kNormal, kFull };

// Thread safe.
class Store {
 public:
  // Creates or migrates. A schema newer than ours: FAILED_PRECONDITION with advice. A file that is no
  // database or is torn is moved aside (name + ".broken-<time>") and a new one begun; `quarantined()` names
  // it.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path);
  virtual ~Store() = default;
  // Runs `work` in a transaction on the writer thread, together with others that wait (each in a savepoint:
  // one's failure is its own). Returns when committed. `work` must not block and must not call Write.
  virtual absl::Status Write(std::function<absl::Status(Transaction&)> work,
                             Durability durability = Durability::kNormal) = 0;

  // Whole tables, for start-up and fsck. Any thread; see every finished Write.
  virtual absl::StatusOr<std::vector<PodRow>> Pods() = 0;
  virtual absl::StatusOr<std::vector<ContainerRow>> Containers() = 0;
  virtual absl::StatusOr<std::vector<ImageRow>> Images() = 0;
  virtual absl::StatusOr<std::vector<ImageNameRow>> ImageNames() = 0;
  virtual absl::StatusOr<std::vector<LayerRow>> Layers() = 0;
  virtual absl::StatusOr<std::vector<NetworkRow>> Networks() = 0;
  // The one row of a pod; nullopt when it has none.
  virtual absl::StatusOr<std::optional<NetworkRow>> Network(const std::string& pod_id) = 0;
  // Path of the file that Open moved aside, "" if none.
  virtual std::string quarantined() const = 0;
};

}  // namespace berth::store
