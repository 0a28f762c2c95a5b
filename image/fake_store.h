// SPDX-License-Identifier: Apache-2.0
// A store in memory for this folder's tests; outlives the Images opened on it, as a database outlives a
// daemon.
#pragma once

#include <map>
#include <mutex>

#include "store/store.h"

namespace berth::image {

class FakeStore : public store::Store, private store::Transaction {
 public:
  absl::Status Write(std::function<absl::Status(store::Transaction&)> work, store::Durability) override {
    const std::lock_guard lock(mutex_);
    if (fail_writes) return absl::InternalError("the fake store was told to fail");
    const auto before = std::make_tuple(images_, names_, layers_);
    const absl::Status status = work(*this);
    if (!status.ok()) std::tie(images_, names_, layers_) = before;
    return status;
  }
  absl::StatusOr<std::vector<store::PodRow>> Pods() override { return std::vector<store::PodRow>(); }
  absl::StatusOr<std::vector<store::ContainerRow>> Containers() override {
    return std::vector<store::ContainerRow>();
  }
  absl::StatusOr<std::vector<store::NetworkRow>> Networks() override {
    return std::vector<store::NetworkRow>();
  }
  absl::StatusOr<std::optional<store::NetworkRow>> Network(const std::string&) override {
    return std::nullopt;
  }
  absl::StatusOr<std::vector<store::ImageRow>> Images() override {
    const std::lock_guard lock(mutex_);
    std::vector<store::ImageRow> rows;
    for (const auto& [id, record] : images_) rows.push_back({id, record});
    return rows;
  }
  absl::StatusOr<std::vector<store::ImageNameRow>> ImageNames() override {
    const std::lock_guard lock(mutex_);
    std::vector<store::ImageNameRow> rows;
    for (const auto& [name, id] : names_) rows.push_back({name, id});
    return rows;
  }
  absl::StatusOr<std::vector<store::LayerRow>> Layers() override {
    const std::lock_guard lock(mutex_);
    std::vector<store::LayerRow> rows;
    for (const auto& [id, record] : layers_) rows.push_back({id, record});
    return rows;
  }
  std::string quarantined() const override { return ""; }
  void Clear() {
    const std::lock_guard lock(mutex_);
    images_.clear();
    names_.clear();
    layers_.clear();
  }

  bool fail_writes = false;

 private:
  static absl::Status Unused() { return absl::UnimplementedError("not for images"); }
  absl::Status InsertPod(const store::PodRow&) override { return Unused(); }
  absl::Status UpdatePod(const std::string&, const std::string&) override { return Unused(); }
  absl::Status DeletePod(const std::string&) override { return Unused(); }
  absl::Status InsertContainer(const store::ContainerRow&) override { return Unused(); }
  absl::Status UpdateContainer(const std::string&, const std::string&) override { return Unused(); }
  absl::Status DeleteContainer(const std::string&) override { return Unused(); }
  absl::Status PutNetwork(const store::NetworkRow&) override { return Unused(); }
  absl::Status DeleteNetwork(const std::string&) override { return Unused(); }
  absl::Status PutImage(const store::ImageRow& row) override {
    images_[row.id] = row.record;
    return absl::OkStatus();
  }
  absl::Status DeleteImage(const std::string& id) override {
    images_.erase(id);
    std::erase_if(names_, [&](const auto& entry) { return entry.second == id; });
    return absl::OkStatus();
  }
  absl::Status PutImageName(const store::ImageNameRow& row) override {
    if (!images_.contains(row.image_id)) return absl::NotFoundError("name of an image that is not there");
    names_[row.name] = row.image_id;
    return absl::OkStatus();
  }
  absl::Status DeleteImageName(const std::string& name) override {
    names_.erase(name);
    return absl::OkStatus();
  }
  absl::Status PutLayer(const store::LayerRow& row) override {
    layers_[row.diff_id] = row.record;
    return absl::OkStatus();
  }
  absl::Status DeleteLayer(const std::string& diff_id) override {
    layers_.erase(diff_id);
    return absl::OkStatus();
  }

  std::mutex mutex_;
  std::map<std::string, std::string> images_, names_, layers_;
};

}  // namespace berth::image
