// SPDX-License-Identifier: Apache-2.0
// What berth's own parts found when they started.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cri/doctor.h"

namespace berth::cri {

std::vector<Check> CheckCgroups(const cgroupfs::Host& cgroups) {
  std::vector<Check> checks;
  if (cgroups.version() == cgroupfs::Version::kV2) {
    checks.push_back({"cgroup.version", CheckStatus::kOk, "cgroup v2", ""});
  } else {
    checks.push_back(
        {"cgroup.version", CheckStatus::kWarning,
         "cgroup v1 (or hybrid): no pressure per container, and an OOM kill's limit is known only when the "
         "kernel logs it",
         "boot with cgroup v2; to stay on v1, kubelet 1.35 and later needs failCgroupV1: false"});
  }
  std::vector<std::string> have;
  std::vector<std::string> missing;
  for (const char* controller : {"cpu", "cpuset", "memory", "pids"}) {
    (cgroups.HasController(controller) ? have : missing).push_back(controller);
  }
  if (missing.empty()) {
    checks.push_back({"cgroup.controllers", CheckStatus::kOk,
                      absl::StrCat("controllers ", absl::StrJoin(have, ", ")), ""});
  } else {
    checks.push_back({"cgroup.controllers", CheckStatus::kFailure,
                      absl::StrCat("missing controllers: ", absl::StrJoin(missing, ", "),
                                   "; limits of these kinds are refused"),
                      "enable them on the kernel's command line (cgroup_enable=memory) and mount them"});
  }
  if (!cgroups.HasController("hugetlb")) {
    checks.push_back({"cgroup.hugetlb", CheckStatus::kWarning,
                      "no hugetlb controller: zero hugepage limits, which kubelet always sends, are dropped; "
                      "others are refused",
                      "mount the hugetlb controller if pods ask for hugepages"});
  } else {
    const auto sizes = cgroups.HugepageSizes();
    checks.push_back({"cgroup.hugetlb", CheckStatus::kOk,
                      absl::StrCat("hugepage sizes ", absl::StrJoin(sizes, ", ")), ""});
  }
  return checks;
}

std::vector<Check> CheckHandlers(const runtime::oci::Handlers& handlers) {
  std::vector<Check> checks;
  const auto* chosen = handlers.Default();
  if (chosen == nullptr) {
    checks.push_back({"handler", CheckStatus::kFailure, "no OCI runtime works: no pod can run",
                      "install crun or runc, or correct [handlers] in the configuration"});
  }
  for (const auto& handler : handlers.all()) {
    const std::string name = absl::StrCat("handler.", handler.name);
    if (handler.usable) {
      std::string found = absl::StrCat("'", handler.path, "' works (", handler.version, ")");
      if (&handler == chosen) absl::StrAppend(&found, "; it is the default");
      if (!handler.hide_mount.empty()) {
        absl::StrAppend(&found, "; it is started with '", handler.hide_mount,
                        "' hidden, which it would refuse");
      }
      checks.push_back({name, CheckStatus::kOk, std::move(found), ""});
      if (!handler.features.seccomp) {
        checks.push_back(
            {name + ".seccomp", CheckStatus::kWarning,
             absl::StrCat("'", handler.path, "' applies no seccomp filters, so containers that ask for a ",
                          "profile are refused: ", handler.features.no_seccomp),
             "install a build with seccomp (crun --version then says +SECCOMP)"});
      }
    } else {
      checks.push_back({name, CheckStatus::kWarning,
                        absl::StrCat("'", handler.path, "' does not work here: ", handler.why_not),
                        chosen == nullptr
                            ? absl::StrCat("make '", handler.path, "' work")
                            : absl::StrCat("none needed while '", chosen->name,
                                           "' works; pods that name this handler are refused")});
    }
  }
  return checks;
}

Check CheckOverlay(const image::Images& images) {
  std::string why;
  if (images.overlay_works(&why))
    return {"image.overlayfs", CheckStatus::kOk, "root file systems are overlays", ""};
  return {"image.overlayfs", CheckStatus::kWarning,
          absl::StrCat("overlayfs does not work, so each container gets a copy of its image: ", why),
          "put the root directory on a file system that overlayfs takes (ext4, xfs with ftype=1), and load "
          "the module"};
}

Check CheckCni(const network::NetworkState& state) {
  if (state.ready)
    return {"network.cni", CheckStatus::kOk,
            state.message.empty() ? "the pod network is ready" : state.message, ""};
  return {"network.cni", CheckStatus::kFailure, absl::StrCat("the pod network is not ready: ", state.message),
          "install a CNI plugin and its configuration; pods in the host's network run without it"};
}

Check CheckProgram(const std::string& name, const std::string& path) {
  const std::string check = absl::StrCat("program.", name);
  if (!path.empty()) return {check, CheckStatus::kOk, absl::StrCat("'", path, "'"), ""};
  return {check, CheckStatus::kFailure,
          absl::StrCat(name, " is neither beside berthd nor in /usr/libexec/berth"),
          "install the whole package"};
}

}  // namespace berth::cri
