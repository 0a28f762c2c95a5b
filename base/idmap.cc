// SPDX-License-Identifier: Apache-2.0
#include "base/idmap.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "base/fault.h"

namespace berth::base {
namespace {

int Clone(const std::string& source, unsigned recursive) {
  return ::open_tree(AT_FDCWD, source.c_str(),
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT | recursive);
}

}  // namespace

Result<UniqueFd> CloneIdmapped(const std::string& source, int user_namespace) {
  UniqueFd mount(Clone(source, AT_RECURSIVE));
  if (!mount) return SyscallFailed(errno, "clone the mount of '" + source + "'");
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
  BERTH_FAULT_POINT("base.idmap");
  if (BERTH_FAULT_FAILS("base.idmap_einval")) return SyscallFailed(EINVAL, "map the ids of '" + source + "'");
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0)
    return mount;
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return mount;
  return SyscallFailed(errno, "map the ids of '" + source + "'");
}

Result<void> AttachMount(int mount, const std::string& target) {
  BERTH_FAULT_POINT("base.attach_mount");
  if (::move_mount(mount, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return SyscallFailed(errno, "mount on '" + target + "'");
  return {};
}

}  // namespace berth::base
