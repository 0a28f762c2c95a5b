// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

constexpr std::int64_t kPatienceNs = 300 * base::kSecondNs;
constexpr std::size_t kReportCap = 64 << 20;
constexpr char kInstalled[] = "/usr/bin/berthd";

// Beside this program, else where the package puts it.
std::string DaemonProgram() {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  const std::string own(self, length > 0 ? static_cast<std::size_t>(length) : 0);
  std::string beside = own.substr(0, own.rfind('/') + 1) + "berthd";
  return ::access(beside.c_str(), X_OK) == 0 ? beside : kInstalled;
}

// No daemon answers: its program looks, if really none runs (it takes the locks of the directories).
absl::StatusOr<ops::FsckResponse> LookWithoutDaemon(const FsckOptions& options) {
  base::SpawnOptions spawn;
  spawn.argv = {DaemonProgram(), "--fsck"};
  if (options.repair) spawn.argv.push_back("--repair");
  if (!options.config.empty()) spawn.argv.insert(spawn.argv.end(), {"--config", options.config});
  for (char** entry = environ; *entry != nullptr; ++entry) spawn.env.emplace_back(*entry);
  BERTH_ASSIGN_OR_RETURN(const auto looked,
                         base::ToStatusOr(base::RunCommand(std::move(spawn), "",
                                                           base::Deadline::After(kPatienceNs), kReportCap)));
  if (looked.status.ShellCode() != 0)
    return absl::FailedPreconditionError(absl::StrCat("cannot look without a daemon: ", looked.err));
  ops::FsckResponse report;
  if (!google::protobuf::util::JsonStringToMessage(looked.out, &report).ok())
    return absl::InternalError("berthd --fsck printed no report; is it of the same version?");
  return report;
}

std::string Outcome(const ops::FsckFinding& finding, bool repair) {
  if (finding.mended()) return "done: " + finding.remedy();
  if (!finding.failure().empty()) return "FAILED: " + finding.failure();
  return finding.note() || repair ? finding.remedy() : "--repair: " + finding.remedy();
}

void Print(const ops::FsckResponse& report, const FsckOptions& options, int left) {
  if (options.json) {
    google::protobuf::util::JsonPrintOptions how;
    how.add_whitespace = true;
    how.always_print_primitive_fields = true;
    how.preserve_proto_field_names = true;
    std::string text;
    (void)google::protobuf::util::MessageToJsonString(report, &text, how);
    std::cout << text << std::flush;
    return;
  }
  if (report.findings_size() > 0) {
    std::vector<std::vector<std::string>> rows{{"KIND", "WHAT", "FOUND", "REPAIR"}};
    for (const auto& finding : report.findings()) {
      rows.push_back({absl::StrCat(finding.kind(), finding.note() ? " (note)" : ""),
                      Printable(finding.subject()), Printable(finding.found()),
                      Printable(Outcome(finding, options.repair))});
    }
    std::cout << Table(rows);
  }
  std::cout << report.pods() << " pods, " << report.containers() << " containers, " << report.images()
            << " images, " << report.layers() << " layers on record"
            << (report.offline() ? "; berthd does not run" : "") << ": "
            << (left == 0 ? "clean" : absl::StrCat(left, left == 1 ? " finding" : " findings")) << "\n";
}

}  // namespace

absl::Status Fsck(Connection& daemon, const FsckOptions& options, int* left) {
  ops::FsckRequest request;
  request.set_repair(options.repair);
  auto report = daemon.Fsck(request);
  if (absl::IsUnavailable(report.status())) report = LookWithoutDaemon(options);
  if (!report.ok()) return report.status();
  *left = 0;
  for (const auto& finding : report->findings()) *left += !finding.note() && !finding.mended() ? 1 : 0;
  Print(*report, options, *left);
  return absl::OkStatus();
}

}  // namespace berth::cli
