// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/handler.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/oci/probe.h"
#include "runtime/security/seccomp.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

// A probe takes tens of milliseconds; a node that boots may be a thousand times slower.
constexpr std::int64_t kProbeNs = 30 * base::kSecondNs;

// Changes when the file does. "" when there is none.
std::string FileIdentity(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return "";
  return absl::StrCat(path, ":", st.st_dev, ":", st.st_ino, ":", st.st_size, ":", st.st_mtim.tv_sec, ".",
                      st.st_mtim.tv_nsec, ":", st.st_ctim.tv_sec, ".", st.st_ctim.tv_nsec);
}

// Successes of this boot only. A failure is tried again at the next start: it may have been the moment's. So
// is a runtime without seccomp filters.
class Cache {
 public:
  Cache(const ProbeOptions& options)
      : file_(options.cache_file),
        program_(FileIdentity(options.probe_program)),
        layers_(options.layers_dir) {
    if (options.cgroups != nullptr) unified_ = options.cgroups->UnifiedMountToHide();
    if (file_.empty()) return;
    const auto text = base::ReadFile(file_);
    if (!text.ok()) return;
    const json stored = json::parse(*text, nullptr, false);
    if (stored.is_object()) entries_ = stored;
  }

  std::optional<Handler> Find(const HandlerConfig& config) const {
    const auto it = entries_.find(config.name);
    if (it == entries_.end()) return std::nullopt;
    try {
      const json& e = *it;
      if (e.at("key") != Key(config)) return std::nullopt;
      Handler handler;
      handler.name = config.name;
      handler.path = config.path;
      handler.usable = true;
      e.at("version").get_to(handler.version);
      e.at("spec_version").get_to(handler.spec_version);
      e.at("hide_mount").get_to(handler.hide_mount);
      e.at("args").get_to(handler.args);
      handler.features.seccomp = true;  // nothing else is kept
      e.at("recursive_read_only_mounts").get_to(handler.features.recursive_read_only_mounts);
      e.at("user_namespaces").get_to(handler.features.user_namespaces);
      e.at("no_user_namespaces").get_to(handler.features.no_user_namespaces);
      return handler;
    } catch (const json::exception&) {
      return std::nullopt;  // another release's
    }
  }

  void Put(const HandlerConfig& config, const Handler& h) {
    entries_[config.name] = {{"key", Key(config)},
                             {"version", h.version},
                             {"spec_version", h.spec_version},
                             {"hide_mount", h.hide_mount},
                             {"args", h.args},
                             {"recursive_read_only_mounts", h.features.recursive_read_only_mounts},
                             {"user_namespaces", h.features.user_namespaces},
                             {"no_user_namespaces", h.features.no_user_namespaces}};
  }

  void Save() const {
    if (file_.empty()) return;
    BERTH_FAULT_POINT("oci.cache_write");
    if (const auto written = base::WriteFile(file_, entries_.dump()); !written.ok()) {
      base::LogWarning("results of the OCI runtime probes not kept", {{"error", written.error().Message()}});
    }
  }

 private:
  std::string Key(const HandlerConfig& config) const {
    return absl::StrCat(BERTH_VERSION, "|", base::BootId(), "|", FileIdentity(config.path), "|",
                        absl::StrJoin(config.args, " "), "|", program_, "|", unified_, "|", layers_);
  }
  std::string file_, program_, layers_, unified_;
  json entries_ = json::object();
};

absl::StatusOr<json> ReadJson(const std::string& file, const char* what) {
  if (file.empty()) return json();
  const auto text = base::ReadFile(file, 8 << 20);
  if (!text.ok()) return base::Annotate(base::ToStatus(text.error()), what);
  json parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object())
    return absl::InvalidArgumentError(absl::StrCat(what, " '", file, "' is no JSON object"));
  return parsed;
}

// What the configuration of a handler names. Not cached: it changes without the OCI runtime.
absl::Status ReadFiles(const HandlerConfig& config, Handler& handler) {
  handler.config = config;
  BERTH_ASSIGN_OR_RETURN(handler.base_spec, ReadJson(config.base_spec, "base_spec"));
  BERTH_ASSIGN_OR_RETURN(handler.seccomp_profile, ReadJson(config.seccomp_profile, "seccomp_profile"));
  if (!handler.seccomp_profile.is_null()) {
    const auto judged = security::ConvertSeccompProfile(handler.seccomp_profile, {"amd64", {}});
    if (!judged.ok()) return base::Annotate(judged.status(), absl::StrCat("'", config.seccomp_profile, "'"));
  }
  BERTH_ASSIGN_OR_RETURN(handler.hooks, ReadHooks(config.hooks_dirs));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Handlers>> Handlers::Probe(const ProbeOptions& options) {
  auto handlers = std::make_shared<Handlers>();
  for (const std::string& name : options.default_order) {
    const auto known = [&](const HandlerConfig& config) { return config.name == name; };
    if (std::none_of(options.handlers.begin(), options.handlers.end(), known)) {
      return absl::InvalidArgumentError(
          absl::StrCat("default handler '", name, "' is not configured: there is no [handlers.", name, "]"));
    }
  }
  BERTH_FAULT_POINT("oci.probe_directory");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(options.work_dir, 0711)));
  Cache cache(options);
  for (const HandlerConfig& config : options.handlers) {
    std::optional<Handler> handler = cache.Find(config);
    if (!handler) {
      handler = ProbeHandler(config, options, base::Deadline::After(kProbeNs));
      if (handler->usable && handler->features.seccomp) {
        cache.Put(config, *handler);
      } else if (handler->usable) {
        base::LogWarning(
            "degraded: OCI runtime without seccomp filters: containers that ask for a profile are refused",
            {{"handler", config.name}, {"path", config.path}, {"why", handler->features.no_seccomp}});
      } else {
        base::LogWarning("OCI runtime does not work",
                         {{"handler", config.name}, {"path", config.path}, {"why", handler->why_not}});
      }
    }
    if (auto read = ReadFiles(config, *handler); !read.ok()) {
      handler->usable = false;
      handler->why_not = std::string(read.message());
      base::LogWarning("a handler's configuration does not work", {{"handler", config.name}, {"why", read}});
    }
    handlers->handlers_.push_back(std::move(*handler));
  }
  cache.Save();
  for (const bool must_filter : {true, false}) {
    for (const std::string& name : options.default_order) {
      for (std::size_t i = 0; i < handlers->handlers_.size() && handlers->default_index_ < 0; ++i) {
        const Handler& handler = handlers->handlers_[i];
        if (handler.name == name && handler.usable && (handler.features.seccomp || !must_filter))
          handlers->default_index_ = static_cast<int>(i);
      }
    }
  }
  return handlers;
}

const Handler* Handlers::Find(const std::string& name) const {
  if (name.empty()) return Default();
  for (const Handler& handler : handlers_) {
    if (handler.name == name) return &handler;
  }
  return nullptr;
}

const Handler* Handlers::Default() const { return default_index_ < 0 ? nullptr : &handlers_[default_index_]; }

}  // namespace berth::runtime::oci
