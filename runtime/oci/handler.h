// SPDX-License-Identifier: Apache-2.0
// OCI runtimes by RuntimeClass handler name, probed at start by starting a trivial container (design.md:
// Processes). Immutable after Probe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cgroupfs/cgroup.h"
#include "runtime/oci/hooks.h"
#include "runtime/oci/options.h"

namespace berth::runtime::oci {

struct HandlerFeatures {
  bool seccomp = false;    // a container was seen running under the filter of its specification
  std::string no_seccomp;  // why not, for people
  bool recursive_read_only_mounts = false;
  bool user_namespaces = false;
  std::string no_user_namespaces;  // why not, for people
};

struct Handler {
  std::string name;
  std::string path;
  std::string version;  // first line of --version
  bool usable = false;
  std::string why_not;            // the probe's words when not usable
  std::string spec_version;       // lowest ociVersion that our specs need
  std::string hide_mount;         // for SpawnOptions.hide_mount; "" = none
  std::vector<std::string> args;  // global arguments for every call
  HandlerFeatures features;
  // Of its configuration; the files are read at start.
  HandlerConfig config;
  nlohmann::json base_spec;        // null: none
  nlohmann::json seccomp_profile;  // null: ours
  std::vector<Hook> hooks;
};

struct ProbeOptions {
  std::vector<HandlerConfig> handlers;
  std::vector<std::string> default_order;
  std::string work_dir;     // on tmpfs or disk, ours: bundle and runtime roots of the probes
  std::string cgroup_root;  // where probe cgroups go
  std::string
      probe_program;       // a static program for the trivial container: berth-monitor with argument "true"
  std::string layers_dir;  // on the file system of the image layers, ours; "" = work_dir
  std::string cache_file;  // results by binary (path, size, mtime) and boot; "" = none
  const cgroupfs::Host* cgroups = nullptr;
};

class Handlers {
 public:
  // Never fails for a handler that does not work; that is its `why_not`.
  static absl::StatusOr<std::shared_ptr<const Handlers>> Probe(const ProbeOptions& options);
  // "" → the default. nullptr when the name is unknown. An unusable one is returned: look at `usable`.
  const Handler* Find(const std::string& name) const;
  // The first usable of the default order, one that applies seccomp filters before one that does not; nullptr
  // when none works.
  const Handler* Default() const;
  const std::vector<Handler>& all() const { return handlers_; }

 private:
  std::vector<Handler> handlers_;
  int default_index_ = -1;
};

}  // namespace berth::runtime::oci
