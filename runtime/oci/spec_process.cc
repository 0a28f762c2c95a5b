// SPDX-License-Identifier: Apache-2.0
// The `process` object: what runs, as whom, with which words around it.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "runtime/oci/spec.h"
#include "runtime/oci/spec_parts.h"
#include "runtime/security/relabel.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kOomScoreMax = 1000;

// An ordered list in which the last value of a key wins.
class EnvList {
 public:
  void Set(const std::string& key, const std::string& value) {
    const auto [it, fresh] = index_.try_emplace(key, list_.size());
    if (fresh) {
      list_.push_back(absl::StrCat(key, "=", value));
    } else {
      list_[it->second] = absl::StrCat(key, "=", value);
    }
  }
  void SetDefault(const std::string& key, const std::string& value) {
    if (!index_.contains(key)) Set(key, value);
  }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
  std::map<std::string, std::size_t> index_;
};

// What a text of the specification can hold: JSON is UTF-8, and the kernel's strings end at NUL.
absl::Status CheckText(const std::string& text, const std::string& what) {
  if (text.find('\0') != std::string::npos) return absl::InvalidArgumentError(what + " contains a NUL byte");
  try {
    (void)json(text).dump();
  } catch (const json::exception&) {
    return absl::InvalidArgumentError(
        what + " is not UTF-8: the OCI runtime reads its specification as JSON, which cannot carry it");
  }
  return absl::OkStatus();
}

// AppArmor and SELinux. A host without one of them ignores the defaults and refuses what was asked for by
// name.
absl::Status AddLsmLabels(const SpecInput& input, json& process) {
  const ContainerConfig& container = *input.container;
  if (container.privileged) return absl::OkStatus();
  if (container.apparmor && container.apparmor->type == ProfileType::kLocalhost) {
    if (container.apparmor->localhost_ref.empty())
      return absl::InvalidArgumentError("AppArmor profile of type Localhost without a name");
    if (!input.host->apparmor) {
      return absl::FailedPreconditionError(absl::StrCat("AppArmor profile '",
                                                        container.apparmor->localhost_ref,
                                                        "' was asked for, but this host has no AppArmor"));
    }
    BERTH_RETURN_IF_ERROR(CheckText(container.apparmor->localhost_ref, "the AppArmor profile's name"));
    process["apparmorProfile"] = container.apparmor->localhost_ref;
  } else if (input.host->apparmor &&
             (!container.apparmor || container.apparmor->type == ProfileType::kRuntimeDefault)) {
    // Nothing said: what other runtimes do, and only as far as the node has it.
    if (!input.host->apparmor_default.empty()) {
      process["apparmorProfile"] = input.host->apparmor_default;
    } else if (container.apparmor) {
      return absl::FailedPreconditionError(
          absl::StrCat("the default AppArmor profile was asked for, but could not be loaded: ",
                       input.host->no_apparmor_default));
    }
  }
  if (input.host->selinux && container.selinux) {
    const std::string label = security::ProcessLabel(*container.selinux);
    BERTH_RETURN_IF_ERROR(CheckText(label, "the SELinux label"));
    process["selinuxLabel"] = label;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> BuildArgs(const ContainerConfig& container,
                                                   const image::ImageConfig& image) {
  std::vector<std::string> args = container.command;
  const std::vector<std::string>* rest = &container.args;
  if (args.empty()) {
    // ENTRYPOINT [""] is how an image file takes back its base image's entry point.
    if (!(image.entrypoint.size() == 1 && image.entrypoint[0].empty())) args = image.entrypoint;
    if (container.args.empty()) rest = &image.cmd;
  }
  args.insert(args.end(), rest->begin(), rest->end());
  if (args.empty())
    return absl::InvalidArgumentError("no command: neither the request nor the image names one");
  if (args[0].empty()) return absl::InvalidArgumentError("the command's first word is empty");
  for (const std::string& arg : args) BERTH_RETURN_IF_ERROR(CheckText(arg, "the command line"));
  return args;
}

absl::StatusOr<std::vector<std::string>> Environment(const SpecInput& input) {
  EnvList env;
  env.Set("PATH", kDefaultPath);
  if (input.defaults != nullptr) {
    for (const auto& [name, value] : input.defaults->env) env.Set(name, value);
  }
  for (const std::string& entry : input.image->env) {
    const std::size_t equals = entry.find('=');
    // Entries without a value name a build argument that was not given: nothing to set.
    if (equals == 0 || equals == std::string::npos) continue;
    BERTH_RETURN_IF_ERROR(
        CheckText(entry, absl::StrCat("environment variable '", entry.substr(0, equals), "' of the image")));
    env.Set(entry.substr(0, equals), entry.substr(equals + 1));
  }
  // After the image: a HOSTNAME there is the one of the machine that built it.
  const std::string& hostname = input.pod->hostname.empty() ? input.host->node_name : input.pod->hostname;
  if (!hostname.empty()) env.Set("HOSTNAME", hostname);
  for (const EnvVar& var : input.container->envs) {
    if (var.key.empty() || var.key.find('=') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("environment variable with the impossible name '", var.key, "'"));
    }
    BERTH_RETURN_IF_ERROR(CheckText(var.key, "the name of an environment variable"));
    BERTH_RETURN_IF_ERROR(CheckText(var.value, absl::StrCat("environment variable '", var.key, "'")));
    env.Set(var.key, var.value);
  }
  if (input.container->tty) env.SetDefault("TERM", "xterm");
  env.SetDefault("HOME", input.user.home.empty() ? "/" : input.user.home);
  return env.Take();
}

absl::StatusOr<std::string> WorkingDir(const SpecInput& input) {
  const std::string& asked = input.container->working_dir;
  if (!asked.empty() && asked[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("working directory '", asked, "' is not absolute"));
  }
  const std::string& dir = asked.empty() ? input.image->working_dir : asked;
  BERTH_RETURN_IF_ERROR(CheckText(dir, "the working directory"));
  return CleanPath(dir);
}

absl::StatusOr<json> Process(const SpecInput& input, const security::CapabilitySets& capabilities) {
  const ContainerConfig& container = *input.container;
  json process;
  process["terminal"] = container.tty;
  BERTH_ASSIGN_OR_RETURN(process["args"], BuildArgs(container, *input.image));
  BERTH_ASSIGN_OR_RETURN(process["env"], Environment(input));
  BERTH_ASSIGN_OR_RETURN(process["cwd"], WorkingDir(input));
  process["user"] = {
      {"uid", input.user.uid}, {"gid", input.user.gid}, {"additionalGids", input.user.supplemental_groups}};
  process["capabilities"] = {{"bounding", capabilities.bounding},
                             {"effective", capabilities.bounding},
                             {"permitted", capabilities.bounding},
                             {"inheritable", capabilities.ambient},
                             {"ambient", capabilities.ambient}};
  process["noNewPrivileges"] = container.no_new_privs;
  if (input.defaults != nullptr) {
    if (input.defaults->umask) process["user"]["umask"] = *input.defaults->umask;
    for (const Rlimit& limit : input.defaults->rlimits)
      process["rlimits"].push_back({{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}});
  }
  // Always written: unset, it would be the monitor's.
  process["oomScoreAdj"] = std::clamp<std::int64_t>(container.oom_score_adj.value_or(0),
                                                    input.host->oom_score_adj_floor, kOomScoreMax);
  BERTH_RETURN_IF_ERROR(AddLsmLabels(input, process));
  return process;
}

json BuildExecProcess(const json& container_spec, const std::vector<std::string>& command, bool tty) {
  json process = container_spec.at("process");
  process["args"] = command;
  process["terminal"] = tty;
  process.erase("consoleSize");
  if (tty) {
    json& env = process["env"];
    const bool has = std::any_of(env.begin(), env.end(),
                                 [](const json& e) { return e.get<std::string>().rfind("TERM=", 0) == 0; });
    if (!has) env.push_back("TERM=xterm");
  }
  return process;
}

}  // namespace berth::runtime::oci
