// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/users.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/security/accounts.h"

namespace berth::runtime::security {
namespace {

// Real files of big directories exported from LDAP are hundreds of KiB.
constexpr std::size_t kAccountFileCap = 4u << 20;

// The file's text; "" when there is none. The image made it: it may be a link, a FIFO, a device, endless.
absl::StatusOr<std::string> ReadAccounts(int rootfs_fd, const std::string& path) {
  auto fd = base::OpenAt(rootfs_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, base::Resolve::kInRoot);
  if (!fd.ok()) {
    const int err = fd.error().err;
    // A loop or a file on the way is the image's own nonsense: as good as absent.
    if (err == ENOENT || err == ENOTDIR || err == ELOOP) return std::string();
    return base::WithCode(absl::StatusCode::kInternal, base::ToStatus(fd.error()),
                          "reading the image's accounts");
  }
  struct stat st;
  if (fstat(fd->get(), &st) != 0)
    return base::SyscallError(errno, absl::StrCat("stat '/", path, "' of the image"));
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("'/", path, "' of the image is not a regular file"));
  }
  auto text = base::ReadFd(fd->get(), kAccountFileCap);
  if (!text.ok()) {
    if (text.error().err == EFBIG) {
      return absl::InvalidArgumentError(
          absl::StrCat("'/", path, "' of the image is larger than ", kAccountFileCap >> 20, " MiB"));
    }
    return base::ToStatus(text.error());
  }
  return std::move(*text);
}

absl::Status CheckRange(std::int64_t id, const char* what) {
  if (id >= 0 && id <= kMaxId) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " ", id, " is out of range (0 to ", kMaxId, ")"));
}

struct Found {
  std::int64_t uid = 0;
  std::optional<Account> account;
};

// `text` is a name or a number; `whose` says where it was written.
absl::StatusOr<Found> FindUser(const std::string& text, const std::string& passwd, const char* whose) {
  if (AllDigits(text)) {
    const auto uid = ParseId(text);
    if (!uid) {
      return absl::InvalidArgumentError(
          absl::StrCat("user '", text, "' of ", whose, " is out of range (0 to ", kMaxId, ")"));
    }
    return Found{*uid, FindAccountByUid(passwd, *uid)};
  }
  auto account = FindAccountByName(passwd, text);
  if (!account) {
    return absl::InvalidArgumentError(absl::StrCat("user '", text, "' of ", whose,
                                                   " is not in the image's /etc/passwd",
                                                   passwd.empty() ? " (which is missing or empty)" : ""));
  }
  return Found{account->uid, account};
}

absl::StatusOr<std::int64_t> FindGroup(const std::string& text, const std::string& group) {
  if (AllDigits(text)) {
    const auto gid = ParseId(text);
    if (gid) return *gid;
    return absl::InvalidArgumentError(
        absl::StrCat("group '", text, "' of the image is out of range (0 to ", kMaxId, ")"));
  }
  if (const auto gid = FindGroupByName(group, text)) return *gid;
  return absl::InvalidArgumentError(
      absl::StrCat("group '", text, "' of the image is not in the image's /etc/group"));
}

}  // namespace

absl::StatusOr<ResolvedUser> ResolveUserFrom(const ContainerConfig& container,
                                             const image::ImageConfig& image, const std::string& passwd,
                                             const std::string& group) {
  const bool by_request = container.run_as_user.has_value() || !container.run_as_username.empty();
  if (container.run_as_group && !by_request) {
    return absl::InvalidArgumentError("run_as_group is set, but neither run_as_user nor run_as_username");
  }
  // USER of the image: user[:group].
  const std::size_t colon = image.user.find(':');
  const std::string image_user = image.user.substr(0, colon);
  const std::string image_group = colon == std::string::npos ? "" : image.user.substr(colon + 1);

  Found user;
  bool image_group_applies = !by_request;
  if (container.run_as_user) {
    BERTH_RETURN_IF_ERROR(CheckRange(*container.run_as_user, "run_as_user"));
    user = {*container.run_as_user, FindAccountByUid(passwd, *container.run_as_user)};
    // kubelet splits the image's USER and sends the user half only: the group half still belongs to it.
    image_group_applies = AllDigits(image_user) && ParseId(image_user) == user.uid;
  } else if (!container.run_as_username.empty()) {
    BERTH_ASSIGN_OR_RETURN(user, FindUser(container.run_as_username, passwd, "the request"));
    image_group_applies = image_user == container.run_as_username;
  } else if (!image_user.empty()) {
    BERTH_ASSIGN_OR_RETURN(user, FindUser(image_user, passwd, "the image"));
  } else {
    user.account = FindAccountByUid(passwd, 0);
  }

  ResolvedUser resolved;
  resolved.uid = user.uid;
  resolved.gid = user.account ? user.account->gid : 0;
  resolved.home = user.account && !user.account->home.empty() ? user.account->home : "/";
  if (container.run_as_group) {
    BERTH_RETURN_IF_ERROR(CheckRange(*container.run_as_group, "run_as_group"));
    resolved.gid = *container.run_as_group;
  } else if (image_group_applies && !image_group.empty()) {
    BERTH_ASSIGN_OR_RETURN(resolved.gid, FindGroup(image_group, group));
  }

  // The primary group is one of the supplemental ones too: else a set-group-id program could shed it and pass
  // where a mode like 0604 keeps that group out (CVE-2023-25173).
  std::vector<std::int64_t>& groups = resolved.supplemental_groups;
  groups.push_back(resolved.gid);
  for (const std::int64_t gid : container.supplemental_groups) {
    BERTH_RETURN_IF_ERROR(CheckRange(gid, "supplemental group"));
    groups.push_back(gid);
  }
  if (!container.strict_supplemental_groups && user.account) {
    const std::vector<std::int64_t> member = GroupsOfMember(group, user.account->name);
    groups.insert(groups.end(), member.begin(), member.end());
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  // NGROUPS_MAX of Linux: setgroups(2) would fail with an errno nobody understands.
  if (groups.size() > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat(groups.size(), " groups are more than the kernel's 65536"));
  }
  return resolved;
}

absl::StatusOr<ResolvedUser> ResolveUser(int rootfs_fd, const ContainerConfig& container,
                                         const image::ImageConfig& image) {
  BERTH_ASSIGN_OR_RETURN(const std::string passwd, ReadAccounts(rootfs_fd, "etc/passwd"));
  BERTH_ASSIGN_OR_RETURN(const std::string group, ReadAccounts(rootfs_fd, "etc/group"));
  return ResolveUserFrom(container, image, passwd, group);
}

}  // namespace berth::runtime::security
