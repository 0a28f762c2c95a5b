// SPDX-License-Identifier: Apache-2.0
#include "base/refusal.h"

#include <cerrno>

namespace berth::base {
namespace {

constexpr char kPrivilege[] =
    "berthd needs CAP_SYS_ADMIN: run it as root, outside of containers that are not privileged; a seccomp "
    "profile "
    "or an LSM may forbid it too";

// unshare(2): ENOSPC is the answer of /proc/sys/user/max_*_namespaces since Linux 4.9.
const char* Namespace(int err) {
  switch (err) {
    case EPERM:
    case EACCES:
      return kPrivilege;
    case ENOSPC:
      return "the node's limit of namespaces is reached: look for leaked ones with `lsns`, or raise "
             "user.max_net_namespaces and its kin with sysctl";
    case EINVAL:
      return "this kernel was built without that namespace: it needs CONFIG_NAMESPACES with all kinds";
    case ENOMEM:
      return "the kernel is out of memory for it: free some on the node";
    default:
      return "";
  }
}

const char* Pin(int err) {
  switch (err) {
    case EPERM:
    case EACCES:
      return kPrivilege;
    case EINVAL:
      return "the state directory must lie on a mount whose propagation is private: `findmnt -o "
             "TARGET,PROPAGATION` "
             "shows it";
    case ENOSPC:
      return "the limit of mounts is reached: raise fs.mount-max with sysctl, or look for leaked mounts";
    default:
      return "";
  }
}

// Documentation/filesystems/overlayfs.rst, "Upper and lower": what the upper's file system must offer.
const char* Overlay(int err) {
  switch (err) {
    case EPERM:
    case EACCES:
      return kPrivilege;
    case ENODEV:
      return "this kernel has no overlayfs: `modprobe overlay`";
    case EINVAL:
      return "the file system of `root` cannot carry an overlay (another overlay, NFS, or one without d_type "
             "or "
             "trusted xattrs): put `root` on ext4 or xfs; the kernel log says which it missed";
    case ENOSPC:
      return "the disk of `root` is full, or the limit fs.mount-max is reached";
    case ELOOP:
      return "overlayfs nests no deeper than two: put `root` on a disk of its own";
    default:
      return "";
  }
}

// user_namespaces(7), "Defining user and group ID mappings".
const char* IdMap(int err) {
  switch (err) {
    case EPERM:
      return "berthd needs CAP_SETUID and CAP_SETGID over its own user namespace, and the mapped ids must "
             "exist "
             "there: compare /proc/self/uid_map";
    case EINVAL:
      return "mappings overlap, are empty, or are more than the kernel takes (340 lines)";
    default:
      return "";
  }
}

}  // namespace

const char* LikelyCause(Refused what, int err) {
  switch (what) {
    case Refused::kNamespace:
      return Namespace(err);
    case Refused::kNamespacePin:
      return Pin(err);
    case Refused::kOverlay:
      return Overlay(err);
    case Refused::kIdMap:
      return IdMap(err);
  }
  return "";
}

}  // namespace berth::base
