// SPDX-License-Identifier: Apache-2.0
#include "cri/import.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/status.h"

namespace berth::cri {

Import::~Import() {
  if (path_.empty()) return;
  BERTH_FAULT_POINT("cri.import_remove");
  ::unlink(path_.c_str());
}

absl::Status Import::Open(const ops::v1::ImportImageHeader& header) {
  header_ = header;
  BERTH_FAULT_POINT("cri.import_directory");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(work_dir_)));
  // What a crash leaves here is removed when berthd starts.
  const std::string path = absl::StrCat(work_dir_, "/import-", base::ShortId(base::NewId()), ".tar");
  BERTH_ASSIGN_OR_RETURN(file_, base::ToStatusOr(base::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL,
                                                              base::Resolve::kAnywhere, 0600)));
  path_ = path;
  BERTH_FAULT_POINT("cri.import_file");
  return absl::OkStatus();
}

absl::Status Import::Take(const ops::v1::ImportImageRequest& part) {
  if (part.has_header()) {
    if (!path_.empty()) return absl::InvalidArgumentError("a second header in one import");
    return Open(part.header());
  }
  if (path_.empty()) return absl::InvalidArgumentError("data before the header of an import");
  BERTH_FAULT_POINT("cri.import_data");
  return base::Annotate(base::ToStatus(base::WriteAll(file_.get(), part.data())),
                        absl::StrCat("receive '", header_.archive_name(), "' into '", path_, "'"));
}

absl::Status Import::Commit(ops::v1::ImportImageResponse* reply) {
  if (path_.empty()) return absl::InvalidArgumentError("an import without a header");
  std::set<std::string> before;
  for (const auto& record : images_.List()) before.insert(record->id);
  BERTH_FAULT_POINT("cri.import_commit");
  const auto ids = images_.Import(path_, header_.reference());
  if (!ids.ok()) return base::Annotate(ids.status(), absl::StrCat("import '", header_.archive_name(), "'"));
  for (const auto& id : *ids) {
    auto* image = reply->add_images();
    image->set_id(id);
    image->set_existed(before.contains(id));
    const auto record = images_.Find(id);
    if (record == nullptr) continue;  // removed again meanwhile
    for (const auto& tag : record->repo_tags) image->add_references(tag);
    if (record->repo_tags.empty()) {
      for (const auto& digest : record->repo_digests) image->add_references(digest);
    }
    image->set_size_bytes(record->size_bytes);
  }
  return absl::OkStatus();
}

}  // namespace berth::cri
