// SPDX-License-Identifier: Apache-2.0
// Images: pull, import, look-up, removal, and root filesystems of containers. Facade of the folder;
// everything is thread safe. Layout under <root>: blobs/sha256/<hex> (manifests and configs; layer archives
// are not kept), layers/<diff id hex>/fs (unpacked, overlay whiteouts), containers/<id>/{upper,work,rootfs}
// made by PrepareRootfs. Layers describe themselves on disk (rule 10).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/store.h"

namespace berth::image {

// The part of an OCI/Docker image config that a container needs. Untrusted text.
struct ImageConfig {
  std::vector<std::string> entrypoint, cmd, env;  // env: "K=V"
  std::string user, working_dir, stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
};

struct ImageRecord {
  std::string id;                                    // "sha256:…" of the config
  std::vector<std::string> repo_tags, repo_digests;  // normalised names, as kubelet and crictl show them
  std::uint64_t size_bytes = 0;                      // unpacked layers + config
  bool pinned = false;
  ImageConfig config;
  std::string config_json;  // as published, for verbose
  std::vector<std::string> diff_ids;
};

struct PullAuth {  // never logged
  std::string username, password, auth, identity_token, registry_token, server_address;
};
struct PullRequest {
  std::string image;  // as given
  std::optional<PullAuth> auth;
  std::function<bool()> cancelled;  // polled; may be empty
};

struct FsUsage {
  std::int64_t timestamp_ns = 0;
  std::string mountpoint;  // existing directory on the backing file system
  std::uint64_t used_bytes = 0, inodes_used = 0;
};

struct Rootfs {
  std::string path;     // the merged tree, mounted (overlay) or copied
  bool copied = false;  // overlayfs could not be had: copied, slower, said in Status
};

// For the pods with a user namespace: id n of the image is shown as id n of that namespace. Only n below
// `length` can be shown; files of others are nobody's.
struct IdShift {
  std::string user_namespace;  // its file, e.g. a pin
  std::uint32_t first = 0;     // the host's id for its root
  std::uint32_t length = 0;
};

struct Options {
  std::string root;               // <root> of the configuration
  std::string registry_config;    // certs.d
  std::string unpack_program;     // berth-unpack
  store::Store* store = nullptr;  // not owned, outlives this
};

class Images {
 public:
  static absl::StatusOr<std::unique_ptr<Images>> Open(Options options);
  virtual ~Images() = default;

  // Returns the image's id. Always asks the registry (kubelet proves credentials so). Concurrent pulls of one
  // digest are one job. INVALID_ARGUMENT for an unparsable name; NOT_FOUND/PERMISSION_DENIED/… from the
  // registry, one line per host tried.
  virtual absl::StatusOr<std::string> Pull(const PullRequest& request) = 0;
  // OCI layout or docker-archive, a tar file. Ids of what was imported.
  virtual absl::StatusOr<std::vector<std::string>> Import(const std::string& path,
                                                          const std::string& name_hint) = 0;
  // By id (also an unambiguous prefix), short name, name:tag, name@digest, name:tag@digest. nullptr when
  // absent.
  virtual std::shared_ptr<const ImageRecord> Find(const std::string& reference) const = 0;
  virtual std::vector<std::shared_ptr<const ImageRecord>> List() const = 0;
  // By id: all names; by one name: all names of that id too (critest). Unknown: OK. Layers are freed in the
  // background, never those that a container's rootfs stands on.
  virtual absl::Status Remove(const std::string& reference) = 0;
  virtual FsUsage Usage() const = 0;  // cached; never walks the tree in the call

  // Makes the root file system of container `container_id` from image `image_id` (layers are held until
  // RemoveRootfs). Idempotent; what a crashed attempt left is replaced. Overlay refused by the kernel →
  // copied rootfs with a warning; with a shift that is FAILED_PRECONDITION instead.
  virtual absl::StatusOr<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id,
                                               const std::optional<IdShift>& shift) = 0;
  absl::StatusOr<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id) {
    return PrepareRootfs(container_id, image_id, std::nullopt);
  }
  // After a reboot the mount is gone: mounts again what PrepareRootfs made. OK if it is mounted.
  virtual absl::Status RemoveRootfs(const std::string& container_id) = 0;
  // The writable layer of a container: cached figure with its time.
  virtual absl::StatusOr<FsUsage> WritableUsage(const std::string& container_id) const = 0;
  // True when overlayfs works here (probed at Open); else why not.
  virtual bool overlay_works(std::string* why) const = 0;
};

}  // namespace berth::image
