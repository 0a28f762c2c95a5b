// SPDX-License-Identifier: Apache-2.0
// Unpacked layers, by diff id. Each is a directory that describes itself (layer.json), made elsewhere and
// renamed into place once all of it is on disk. Thread safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/layout.h"
#include "image/worker.h"
#include "store/store.h"

namespace berth::image {

struct Layer {
  std::string diff_id;
  std::uint64_t size_bytes = 0, disk_bytes = 0, inodes = 0;
  std::vector<std::string> implicit;  // directories whose mode a lower layer knows
  bool root_named = false;
};

class LayerStore {
 public:
  LayerStore(Layout layout, store::Store* store, std::string unpack_program);

  // At start: reads what is on disk, quarantines what does not describe itself, brings the database in line.
  absl::Status Load();

  // Gives the worker the layer's archive. May be called on the caller's thread only.
  using Source = std::function<absl::Status(UnpackWorker& worker)>;
  // Makes sure that the layer is there. One job per layer: who comes second waits for the first. `cancelled`
  // may be empty. RESOURCE_EXHAUSTED (disk), FAILED_PRECONDITION (bad archive, or another diff id than the
  // config's).
  absl::Status Ensure(const std::string& diff_id, const Source& source,
                      const std::function<bool()>& cancelled);
  std::shared_ptr<const Layer> Find(const std::string& diff_id) const;

  // While this lives its layers are not collected, whether they exist already or come to exist.
  class Pin {
   public:
    Pin(LayerStore* store, std::vector<std::string> diff_ids);
    ~Pin();
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    LayerStore* store_;
    std::vector<std::string> diff_ids_;
  };

  // Moves to the trash what is neither pinned nor in the set that `used` returns (called with our lock held:
  // it must only look at snapshots). Returns how many went.
  int Collect(const std::function<std::set<std::string>()>& used);

  struct Usage {
    std::uint64_t bytes = 0, inodes = 0;
  };
  Usage usage() const;

 private:
  absl::StatusOr<std::shared_ptr<const Layer>> Unpack(const std::string& diff_id, const Source& source);
  absl::StatusOr<std::shared_ptr<const Layer>> UnpackInto(const std::string& temp, const std::string& diff_id,
                                                          const Source& source);
  absl::Status Commit(const std::string& temp, const Layer& layer);

  const Layout layout_;
  store::Store* const store_;
  const std::string unpack_program_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<const Layer>> layers_;
  std::map<std::string, int> pins_;
  std::set<std::string> busy_;  // being unpacked, or on the way to the trash
};

std::string EncodeLayer(const Layer& layer);
absl::StatusOr<Layer> DecodeLayer(const std::string& text);

}  // namespace berth::image
