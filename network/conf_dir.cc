// SPDX-License-Identifier: Apache-2.0
#include "network/conf_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace berth::network {
namespace {

bool IsConfName(const std::string& name) {
  return absl::EndsWith(name, ".conflist") || absl::EndsWith(name, ".conf") || absl::EndsWith(name, ".json");
}

struct Content {
  std::string text;
  std::string signature;
};

absl::StatusOr<Content> ReadConf(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  auto fd = base::OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return base::ToStatus(fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return base::SyscallError(errno, "stat");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("is no regular file");
  Content content;
  content.signature =
      absl::StrCat(info.st_ino, ":", info.st_size, ":", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
  auto text = base::ReadFd(fd->get(), kMaxJsonBytes);
  if (!text.ok()) return base::ToStatus(text.error());
  content.text = std::move(*text);
  return content;
}

absl::Status AppendFolder(const std::string& folder, Conflist& list) {
  auto names = base::ListDir(folder);
  if (!names.ok()) {
    return base::IsGone(names.error().err) || names.error().err == ENOTDIR ? absl::OkStatus()
                                                                           : base::ToStatus(names.error());
  }
  for (const auto& name : *names) {
    if (!absl::EndsWith(name, ".conf")) continue;
    const auto content = ReadConf(absl::StrCat(folder, "/", name));
    if (!content.ok()) return base::Annotate(content.status(), absl::StrCat("'", folder, "/", name, "'"));
    auto plugin = ParsePluginConfig(content->text);
    if (!plugin.ok()) return base::Annotate(plugin.status(), absl::StrCat("'", folder, "/", name, "'"));
    list.plugins.push_back(std::move(*plugin));
  }
  return absl::OkStatus();
}

absl::StatusOr<Conflist> Load(const std::string& dir, const std::string& path, std::string& signature) {
  BERTH_ASSIGN_OR_RETURN(const Content content, ReadConf(path));
  signature = content.signature;
  BERTH_ASSIGN_OR_RETURN(Conflist list, ParseConflist(content.text));
  if (!list.only_inlined) BERTH_RETURN_IF_ERROR(AppendFolder(absl::StrCat(dir, "/", list.name), list));
  if (list.plugins.empty()) return absl::InvalidArgumentError("has no plugins");
  return list;
}

}  // namespace

ConfDirContents LoadConfDir(const std::string& dir) {
  ConfDirContents contents;
  auto names = base::ListDir(dir);
  if (!names.ok()) {
    if (!base::IsGone(names.error().err)) contents.problem = names.error().Message();
    return contents;
  }
  for (const auto& name : *names) {
    if (!IsConfName(name)) continue;
    const std::string path = absl::StrCat(dir, "/", name);
    struct stat info {};
    // A file renamed away between listing and reading is simply not there; the watch brings us back anyway.
    if (::lstat(path.c_str(), &info) != 0 || S_ISDIR(info.st_mode)) continue;
    std::string signature;
    auto list = Load(dir, path, signature);
    if (list.ok()) {
      contents.chosen = std::move(*list);
      contents.chosen_path = path;
      return contents;
    }
    contents.bad.push_back({path, std::string(list.status().message()), signature});
  }
  return contents;
}

}  // namespace berth::network
