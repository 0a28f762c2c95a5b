// SPDX-License-Identifier: Apache-2.0
// The report of fsck as the operator API has it. Pure.
#pragma once

#include <string>

#include "proto/berth/operator/v1/operator.pb.h"
#include "runtime/fsck/fsck.h"

namespace berth::cri {

void FillFsck(const runtime::fsck::Report& report, ops::v1::FsckResponse* reply);
// As JSON, for `berthd --fsck`: berth reads it where no daemon answers.
std::string FsckJson(const runtime::fsck::Report& report);

}  // namespace berth::cri
