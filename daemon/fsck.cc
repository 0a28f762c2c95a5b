// SPDX-License-Identifier: Apache-2.0
#include "daemon/fsck.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "daemon/host.h"
#include "runtime/rebuild.h"
#include "store/store.h"

namespace berth::daemon {
namespace {

constexpr std::size_t kDatabaseCap = 1 << 30;

// The database and its log as they lie there, on tmpfs; gone with this object.
class Copy {
 public:
  explicit Copy(const Config& config)
      : from_(config.root + "/berth.db"), dir_(absl::StrCat(config.state, "/fsck-", ::getpid())) {}
  ~Copy() { (void)base::RemoveTree(dir_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  absl::StatusOr<std::unique_ptr<store::Store>> Open() const {
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(dir_)));
    for (const char* suffix : {"", "-wal"}) {
      const auto content = base::ReadFile(from_ + suffix, kDatabaseCap);
      if (!content.ok() && base::IsGone(content.error().err)) continue;
      if (!content.ok()) return base::ToStatus(content.error());
      BERTH_RETURN_IF_ERROR(
          base::ToStatus(base::WriteFile(absl::StrCat(dir_, "/berth.db", suffix), *content)));
    }
    return store::Store::Open(dir_ + "/berth.db");
  }

 private:
  const std::string from_, dir_;
};

}  // namespace

absl::StatusOr<runtime::fsck::Report> CheckWithoutServing(const Config& config, bool repair) {
  for (const std::string& directory : {config.root, config.state}) {
    if (!base::Exists(directory)) return absl::NotFoundError(absl::StrCat("there is no '", directory, "'"));
  }
  BERTH_ASSIGN_OR_RETURN(const base::UniqueFd root_lock, LockDirectory(config.root));
  BERTH_ASSIGN_OR_RETURN(const base::UniqueFd state_lock, LockDirectory(config.state));
  BERTH_ASSIGN_OR_RETURN(const auto cgroups, base::ToStatusOr(cgroupfs::Host::Detect()));
  const Copy copy(config);
  const bool lost = !base::Exists(config.root + "/berth.db");
  BERTH_ASSIGN_OR_RETURN(const auto store,
                         repair ? store::Store::Open(config.root + "/berth.db") : copy.Open());
  const bool torn = lost || !store->quarantined().empty();
  if (torn || repair) {
    // An empty database would make everything that runs look like garbage.
    runtime::RebuildOptions rebuild;
    rebuild.root = config.root;
    rebuild.state = config.state;
    rebuild.store = store.get();
    BERTH_RETURN_IF_ERROR(runtime::RebuildRecords(rebuild));
  }
  runtime::fsck::Ground ground;
  ground.root = config.root;
  ground.state = config.state;
  ground.cgroup_root = config.cgroup.root;
  ground.store = store.get();
  ground.cgroups = cgroups.get();
  BERTH_ASSIGN_OR_RETURN(auto report, runtime::fsck::Check(ground, repair));
  if (torn) {
    runtime::fsck::Finding finding;
    finding.kind = runtime::fsck::Kind::kDatabase;
    finding.subject = config.root + "/berth.db";
    finding.found = lost ? "is not there" : "cannot be read";
    finding.remedy = "make the records anew from what is on disk, as berthd does when it starts";
    finding.mended = repair;
    report.findings.insert(report.findings.begin(), std::move(finding));
  }
  return report;
}

}  // namespace berth::daemon
