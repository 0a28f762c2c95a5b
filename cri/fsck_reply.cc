// SPDX-License-Identifier: Apache-2.0
#include "cri/fsck_reply.h"

#include <google/protobuf/util/json_util.h>

namespace berth::cri {

void FillFsck(const runtime::fsck::Report& report, ops::v1::FsckResponse* reply) {
  for (const auto& finding : report.findings) {
    auto* out = reply->add_findings();
    out->set_kind(runtime::fsck::Name(finding.kind));
    out->set_subject(finding.subject);
    out->set_found(finding.found);
    out->set_remedy(finding.remedy);
    out->set_note(finding.note);
    out->set_mended(finding.mended);
    out->set_failure(finding.failure);
  }
  reply->set_pods(report.pods);
  reply->set_containers(report.containers);
  reply->set_images(report.images);
  reply->set_layers(report.layers);
}

std::string FsckJson(const runtime::fsck::Report& report) {
  ops::v1::FsckResponse reply;
  FillFsck(report, &reply);
  reply.set_offline(true);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(reply, &text, options);
  return text;
}

}  // namespace berth::cri
