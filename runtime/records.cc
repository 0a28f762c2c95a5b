// SPDX-License-Identifier: Apache-2.0
#include "runtime/records.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "runtime/codec.h"

namespace berth::runtime {
namespace {

nlohmann::json ToJson(const base::ProcessIdentity& process) {
  return {{"pid", process.pid}, {"start_ticks", process.start_ticks}, {"boot_id", process.boot_id}};
}

base::ProcessIdentity ProcessFrom(const nlohmann::json& json) {
  return {json.value("pid", -1), json.value("start_ticks", std::uint64_t{0}), json.value("boot_id", "")};
}

// Numbers of the stages are part of the record.
template <typename Stage>
Stage StageFrom(const nlohmann::json& json, Stage last) {
  const int stage = json.at("stage").get<int>();
  if (stage < 0 || stage > static_cast<int>(last)) throw std::out_of_range("stage");
  return static_cast<Stage>(stage);
}

// nlohmann's exceptions end here.
template <typename Record, typename Fill>
absl::StatusOr<Record> Decode(const std::string& text, Fill fill) {
  try {
    Record record;
    fill(nlohmann::json::parse(text), record);
    return record;
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat("unreadable record: ", error.what()));
  }
}

}  // namespace

std::string Encode(const PodRecord& record) {
  nlohmann::json json{{"status", record.status},
                      {"stage", static_cast<int>(record.stage)},
                      {"boot_id", record.boot_id},
                      {"monitor", ToJson(record.monitor)},
                      {"handler", record.handler}};
  if (record.holder) json["holder"] = ToJson(*record.holder);
  return json.dump();
}

std::string Encode(const ContainerRecord& record) {
  return nlohmann::json{{"status", record.status},
                        {"stage", static_cast<int>(record.stage)},
                        {"boot_id", record.boot_id},
                        {"init", ToJson(record.init)},
                        {"mount_sources", record.mount_sources}}
      .dump();
}

absl::StatusOr<PodRecord> DecodePod(const std::string& text) {
  return Decode<PodRecord>(text, [](const nlohmann::json& json, PodRecord& record) {
    json.at("status").get_to(record.status);
    record.stage = StageFrom(json, PodStage::kRemoving);
    record.boot_id = json.value("boot_id", "");
    record.monitor = ProcessFrom(json.at("monitor"));
    record.handler = json.at("handler").get<std::string>();
    if (json.contains("holder")) record.holder = ProcessFrom(json.at("holder"));
  });
}

absl::StatusOr<ContainerRecord> DecodeContainer(const std::string& text) {
  return Decode<ContainerRecord>(text, [](const nlohmann::json& json, ContainerRecord& record) {
    json.at("status").get_to(record.status);
    record.stage = StageFrom(json, ContainerStage::kRemoving);
    record.boot_id = json.value("boot_id", "");
    record.init = ProcessFrom(json.at("init"));
    if (json.contains("mount_sources")) json.at("mount_sources").get_to(record.mount_sources);
  });
}

std::string PodNameKey(const PodMetadata& metadata) {
  return absl::StrCat(metadata.name_space, "/", metadata.name, "/", metadata.uid, "/", metadata.attempt);
}

std::string ContainerNameKey(const std::string& pod_id, const ContainerMetadata& metadata) {
  return absl::StrCat(pod_id, "/", metadata.name, "/", metadata.attempt);
}

}  // namespace berth::runtime
