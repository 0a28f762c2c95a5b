// SPDX-License-Identifier: Apache-2.0
#include "runtime/fsck/fsck.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "base/status.h"
#include "runtime/fsck/host.h"
#include "runtime/fsck/repair.h"

namespace berth::runtime::fsck {
namespace {

// A step of a live operation between "on the host" and "on record" takes milliseconds; one that waits (a
// busy mount, a process that dies) up to seconds.
constexpr int kLooks = 4;
constexpr auto kGap = std::chrono::milliseconds(400);

struct Look {
  Records records;
  std::vector<Finding> findings;
};

absl::StatusOr<Look> LookOnce(const Ground& ground) {
  BERTH_ASSIGN_OR_RETURN(const Records before, ReadRecords(*ground.store));
  BERTH_ASSIGN_OR_RETURN(const Inventory host, TakeInventory(ground, before));
  Look look;
  BERTH_ASSIGN_OR_RETURN(look.records, ReadRecords(*ground.store));
  look.findings = Judge(ground, before, host, look.records, base::BootId());
  return look;
}

std::size_t Counted(const std::vector<Finding>& findings) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [](const Finding& finding) { return !finding.note; }));
}

absl::StatusOr<Look> LookUntilSteady(const Ground& ground) {
  BERTH_ASSIGN_OR_RETURN(Look look, LookOnce(ground));
  for (int i = 1; i < kLooks && Counted(look.findings) > 0; ++i) {
    std::this_thread::sleep_for(kGap);
    std::set<std::pair<Kind, std::string>> seen;
    for (const auto& finding : look.findings) seen.emplace(finding.kind, finding.subject);
    BERTH_ASSIGN_OR_RETURN(look, LookOnce(ground));
    std::erase_if(look.findings, [&](const Finding& finding) {
      return !seen.contains(std::pair(finding.kind, finding.subject));
    });
  }
  return look;
}

}  // namespace

const char* Name(Kind kind) {
  switch (kind) {
    case Kind::kProcess:
      return "process";
    case Kind::kCgroup:
      return "cgroup";
    case Kind::kMount:
      return "mount";
    case Kind::kDirectory:
      return "directory";
    case Kind::kLayer:
      return "layer";
    case Kind::kImage:
      return "image";
    case Kind::kAttachment:
      return "attachment";
    case Kind::kRecord:
      return "record";
    case Kind::kDatabase:
      return "database";
    case Kind::kQuarantine:
      return "quarantine";
  }
  return "unknown";
}

std::size_t Report::Left() const {
  return static_cast<std::size_t>(std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return !finding.note && !finding.mended;
  }));
}

absl::StatusOr<Report> Check(const Ground& ground, bool repair) {
  BERTH_ASSIGN_OR_RETURN(Look look, LookUntilSteady(ground));
  Report report;
  report.findings = std::move(look.findings);
  report.pods = look.records.pods.size();
  report.containers = look.records.containers.size();
  report.images = look.records.images.size();
  report.layers = look.records.layers.size();
  if (!repair || report.Left() == 0) return report;
  Repair(ground, &report.findings);
  // What came to light, or came back, when the first things were gone.
  BERTH_ASSIGN_OR_RETURN(Look again, LookUntilSteady(ground));
  for (auto& finding : report.findings) {
    for (const auto& left : again.findings) {
      if (!finding.mended || left.kind != finding.kind || left.subject != finding.subject) continue;
      finding.mended = false;
      finding.failure = "it is still there after the repair";
    }
  }
  for (auto& left : again.findings) {
    const bool known = std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& one) {
      return one.kind == left.kind && one.subject == left.subject;
    });
    if (!known) report.findings.push_back(std::move(left));
  }
  return report;
}

}  // namespace berth::runtime::fsck
