// SPDX-License-Identifier: Apache-2.0
// The Container Device Interface, specification up to 1.0.0: device plugins and DRA drivers put files into
// /etc/cdi and /var/run/cdi, kubelet names devices ("vendor.com/class=name") in ContainerConfig.CDI_devices,
// and we put what the files say into the OCI specification. Parsing and editing are pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::runtime::oci {

struct CdiDeviceNode {
  std::string path, host_path;        // host_path "" = path
  std::string type;                   // "c", "b", "p"; "" = the host's
  std::int64_t major = 0, minor = 0;  // 0, 0 = the host's
  std::optional<std::uint32_t> mode, uid, gid;
  std::string permissions = "rwm";
};

struct CdiEdits {
  std::vector<std::string> env;  // "K=V"
  std::vector<CdiDeviceNode> devices;
  std::vector<nlohmann::json> mounts;                         // as the specification has them
  std::vector<std::pair<std::string, nlohmann::json>> hooks;  // stage, hook
  std::vector<std::uint32_t> groups;
};

// One file.
struct CdiSpec {
  std::string kind;  // "vendor.com/class"
  CdiEdits edits;    // for every device of the file
  std::map<std::string, CdiEdits> devices;
};

// JSON or YAML (by `file`'s name). INVALID_ARGUMENT names the file and what is wrong; what we cannot honour
// (intelRdt, netDevices, an unknown key of an edit) is an error: half a device is worse than none.
absl::StatusOr<CdiSpec> ParseCdi(const std::string& file, const std::string& text);

// "vendor.com/class=name" by grammar.
absl::Status CheckCdiName(const std::string& name);

// All files of the directories; a device of a later directory takes the place of one of an earlier, and one
// that two files of the same directory define is nobody's. Read anew for each container: drivers write them
// right before. A broken file is logged and left out: it must not take other vendors' devices along.
class CdiRegistry {
 public:
  static CdiRegistry Read(const std::vector<std::string>& dirs);
  // What the devices ask for, in their order, each file's common edits once, before its devices'.
  // INVALID_ARGUMENT names a device that no file (or two files) define.
  absl::StatusOr<CdiEdits> Resolve(const std::vector<std::string>& names) const;

 private:
  struct Found {
    std::shared_ptr<const CdiSpec> spec;
    std::string file;
    int priority = 0;
    std::string conflict;  // the other file
  };
  std::map<std::string, Found> devices_;
  std::string broken_;  // sentences about files left out
};

// Puts the edits into an OCI specification. Looks at the host for what a device node leaves out.
absl::Status ApplyCdi(const CdiEdits& edits, nlohmann::json& spec);

}  // namespace berth::runtime::oci
