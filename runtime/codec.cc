// SPDX-License-Identifier: Apache-2.0
#include "runtime/codec.h"

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <type_traits>
#include <vector>

#include "absl/strings/escaping.h"

namespace berth::runtime {
namespace {

using nlohmann::json;

[[noreturn]] void Refuse(const std::string& what) { throw json::out_of_range::create(401, what, nullptr); }

// Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)?
bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i <= static_cast<std::size_t>(more)) return false;
    unsigned char low = 0x80, high = 0xBF;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (int k = 1; k <= more; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if (byte < low || byte > high) return false;
      low = 0x80;
      high = 0xBF;
    }
    i += more + 1;
  }
  return true;
}

json ToJson(const std::string& text) {
  if (IsUtf8(text)) return text;
  return json{{"base64", absl::Base64Escape(text)}};
}
void FromJson(const json& in, std::string& out) {
  if (!in.is_object()) {
    in.get_to(out);
    return;
  }
  if (!absl::Base64Unescape(in.at("base64").get_ref<const std::string&>(), &out))
    Refuse("malformed base64 text");
}

json ToJson(bool value) { return value; }
void FromJson(const json& in, bool& out) { in.get_to(out); }

template <typename T>
concept Number = std::integral<T> && !std::same_as<T, bool>;
json ToJson(Number auto value) { return value; }
// nlohmann-json would wrap silently what does not fit.
template <Number T>
void FromJson(const json& in, T& out) {
  bool fits = false;
  if (in.is_number_unsigned()) {
    const auto wide = in.get<std::uint64_t>();
    fits = wide <= static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    out = static_cast<T>(wide);
  } else if (in.is_number_integer()) {
    const auto wide = in.get<std::int64_t>();
    if constexpr (std::is_signed_v<T>) {
      fits = wide >= std::numeric_limits<T>::min() && wide <= std::numeric_limits<T>::max();
      out = static_cast<T>(wide);
    }
  }
  if (!fits)
    Refuse("'" + in.dump(-1, ' ', false, json::error_handler_t::replace) + "' is no number in range");
}

template <typename T>
  requires std::is_enum_v<T>
json ToJson(T value) {
  return static_cast<int>(value);
}
template <typename T>
  requires std::is_enum_v<T>
void FromJson(const json& in, T& out);

template <typename T>
json ToJson(const std::vector<T>& values);
template <typename T>
void FromJson(const json& in, std::vector<T>& out);
json ToJson(const StringMap& values);
void FromJson(const json& in, StringMap& out);

// Where each struct's fields are listed, once for both directions.
class Writer {
 public:
  explicit Writer(json& out) : out_(out) { out_ = json::object(); }
  template <typename T>
  void operator()(const char* name, const T& value) {
    if constexpr (requires { value.empty(); }) {
      if (value.empty()) return;
    }
    Put(name, value);
  }
  template <typename T>
  void operator()(const char* name, const std::optional<T>& value) {
    if (value) Put(name, *value);
  }

 private:
  template <typename T>
  void Put(const char* name, const T& value) {
    if constexpr (std::is_class_v<T> && !requires { value.empty(); }) {
      out_[name] = value;
    } else {
      out_[name] = ToJson(value);
    }
  }
  json& out_;
};

class Reader {
 public:
  explicit Reader(const json& in) : in_(in) {
    if (!in.is_object()) Refuse("a record must be an object");
  }
  template <typename T>
  void operator()(const char* name, T& value) {
    const auto it = in_.find(name);
    if (it != in_.end() && !it->is_null()) Get(*it, value);
  }
  template <typename T>
  void operator()(const char* name, std::optional<T>& value) {
    const auto it = in_.find(name);
    if (it != in_.end() && !it->is_null()) Get(*it, value.emplace());
  }

 private:
  template <typename T>
  static void Get(const json& in, T& value) {
    if constexpr (std::is_class_v<T> && !requires { value.empty(); }) {
      in.get_to(value);
    } else {
      FromJson(in, value);
    }
  }
  const json& in_;
};

template <typename T>
json ToJson(const std::vector<T>& values) {
  json out = json::array();
  for (const T& value : values) {
    if constexpr (std::is_class_v<T> && !std::same_as<T, std::string>) {
      out.push_back(json(value));
    } else {
      out.push_back(ToJson(value));
    }
  }
  return out;
}
template <typename T>
void FromJson(const json& in, std::vector<T>& out) {
  if (!in.is_array()) Refuse("a list must be an array");
  out.clear();
  for (const json& item : in) {
    if constexpr (std::is_class_v<T> && !std::same_as<T, std::string>) {
      out.push_back(item.get<T>());
    } else {
      FromJson(item, out.emplace_back());
    }
  }
}

json ToJson(const StringMap& values) {
  json out = json::object();
  for (const auto& [key, value] : values) out[key] = ToJson(value);
  return out;
}
void FromJson(const json& in, StringMap& out) {
  if (!in.is_object()) Refuse("a map must be an object");
  out.clear();
  for (const auto& [key, value] : in.items()) FromJson(value, out[key]);
}

template <typename T>
inline constexpr int kLast = 0;
template <>
inline constexpr int kLast<NamespaceMode> = static_cast<int>(NamespaceMode::kTarget);
template <>
inline constexpr int kLast<ProfileType> = static_cast<int>(ProfileType::kLocalhost);
template <>
inline constexpr int kLast<Protocol> = static_cast<int>(Protocol::kSctp);
template <>
inline constexpr int kLast<MountPropagation> = static_cast<int>(MountPropagation::kBidirectional);
template <>
inline constexpr int kLast<PodState> = static_cast<int>(PodState::kNotReady);
template <>
inline constexpr int kLast<ContainerState> = static_cast<int>(ContainerState::kUnknown);

template <typename T>
  requires std::is_enum_v<T>
void FromJson(const json& in, T& out) {
  int number = 0;
  FromJson(in, number);
  if (number < 0 || number > kLast<T>) Refuse("unknown enum number " + std::to_string(number));
  out = static_cast<T>(number);
}

// Fields of each struct
// ------------------------------------------------------------------------------------------------- `V` is
// the struct, const for writing.

template <typename A, typename V>
void HugepageLimitFields(A&& a, V& v) {
  a("page_size", v.page_size);
  a("limit_bytes", v.limit_bytes);
}

template <typename A, typename V>
void ResourcesFields(A&& a, V& v) {
  a("cpu_shares", v.cpu_shares);
  a("cpu_quota_us", v.cpu_quota_us);
  a("cpu_period_us", v.cpu_period_us);
  a("memory_limit_bytes", v.memory_limit_bytes);
  a("memory_swap_limit_bytes", v.memory_swap_limit_bytes);
  a("pids_limit", v.pids_limit);
  a("cpuset_cpus", v.cpuset_cpus);
  a("cpuset_mems", v.cpuset_mems);
  a("hugepage_limits", v.hugepage_limits);
  a("unified", v.unified);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const IdMapping*) {
  a("host_id", v.host_id);
  a("container_id", v.container_id);
  a("length", v.length);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const NamespaceOptions*) {
  a("network", v.network);
  a("pid", v.pid);
  a("ipc", v.ipc);
  a("target_id", v.target_id);
  a("user_namespace", v.user_namespace);
  a("uid_mappings", v.uid_mappings);
  a("gid_mappings", v.gid_mappings);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const SecurityProfile*) {
  a("type", v.type);
  a("localhost_ref", v.localhost_ref);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const SelinuxOptions*) {
  a("user", v.user);
  a("role", v.role);
  a("type", v.type);
  a("level", v.level);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const PodMetadata*) {
  a("name", v.name);
  a("uid", v.uid);
  a("namespace", v.name_space);
  a("attempt", v.attempt);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const DnsConfig*) {
  a("servers", v.servers);
  a("searches", v.searches);
  a("options", v.options);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const PortMapping*) {
  a("protocol", v.protocol);
  a("container_port", v.container_port);
  a("host_port", v.host_port);
  a("host_ip", v.host_ip);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const PodConfig*) {
  a("metadata", v.metadata);
  a("hostname", v.hostname);
  a("log_directory", v.log_directory);
  a("dns", v.dns);
  a("port_mappings", v.port_mappings);
  a("labels", v.labels);
  a("annotations", v.annotations);
  a("cgroup_parent", v.cgroup_parent);
  a("sysctls", v.sysctls);
  a("overhead", v.overhead);
  a("resources", v.resources);
  a("namespaces", v.namespaces);
  a("selinux", v.selinux);
  a("run_as_user", v.run_as_user);
  a("run_as_group", v.run_as_group);
  a("readonly_rootfs", v.readonly_rootfs);
  a("supplemental_groups", v.supplemental_groups);
  a("strict_supplemental_groups", v.strict_supplemental_groups);
  a("privileged", v.privileged);
  a("seccomp", v.seccomp);
  a("apparmor", v.apparmor);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ImageSpec*) {
  a("image", v.image);
  a("annotations", v.annotations);
  a("user_specified_image", v.user_specified_image);
  a("runtime_handler", v.runtime_handler);
  a("image_ref", v.image_ref);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const Mount*) {
  a("container_path", v.container_path);
  a("host_path", v.host_path);
  a("readonly", v.readonly);
  a("selinux_relabel", v.selinux_relabel);
  a("propagation", v.propagation);
  a("uid_mappings", v.uid_mappings);
  a("gid_mappings", v.gid_mappings);
  a("recursive_read_only", v.recursive_read_only);
  a("image", v.image);
  a("image_sub_path", v.image_sub_path);
  a("mount_options", v.mount_options);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const Device*) {
  a("container_path", v.container_path);
  a("host_path", v.host_path);
  a("permissions", v.permissions);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const EnvVar*) {
  a("key", v.key);
  a("value", v.value);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ContainerMetadata*) {
  a("name", v.name);
  a("attempt", v.attempt);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ContainerConfig*) {
  a("metadata", v.metadata);
  a("image", v.image);
  a("command", v.command);
  a("args", v.args);
  a("working_dir", v.working_dir);
  a("envs", v.envs);
  a("mounts", v.mounts);
  a("devices", v.devices);
  a("labels", v.labels);
  a("annotations", v.annotations);
  a("log_path", v.log_path);
  a("stdin_open", v.stdin_open);
  a("stdin_once", v.stdin_once);
  a("tty", v.tty);
  a("cdi_devices", v.cdi_devices);
  a("stop_signal", v.stop_signal);
  a("resources", v.resources);
  a("oom_score_adj", v.oom_score_adj);
  a("add_capabilities", v.add_capabilities);
  a("drop_capabilities", v.drop_capabilities);
  a("add_ambient_capabilities", v.add_ambient_capabilities);
  a("privileged", v.privileged);
  a("namespaces", v.namespaces);
  a("selinux", v.selinux);
  a("run_as_user", v.run_as_user);
  a("run_as_group", v.run_as_group);
  a("run_as_username", v.run_as_username);
  a("readonly_rootfs", v.readonly_rootfs);
  a("supplemental_groups", v.supplemental_groups);
  a("strict_supplemental_groups", v.strict_supplemental_groups);
  a("no_new_privs", v.no_new_privs);
  a("masked_paths", v.masked_paths);
  a("readonly_paths", v.readonly_paths);
  a("seccomp", v.seccomp);
  a("apparmor", v.apparmor);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ResolvedUser*) {
  a("uid", v.uid);
  a("gid", v.gid);
  a("supplemental_groups", v.supplemental_groups);
  a("home", v.home);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const PodStatus*) {
  a("id", v.id);
  a("state", v.state);
  a("created_at", v.created_at);
  a("runtime_handler", v.runtime_handler);
  a("config", v.config);
  a("ips", v.ips);
  a("network_namespace", v.network_namespace);
  a("cgroup", v.cgroup);
  a("cgroup_is_ours", v.cgroup_is_ours);
  a("message", v.message);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ContainerExit*) {
  a("exit_code", v.exit_code);
  a("reason", v.reason);
  a("message", v.message);
  a("finished_at", v.finished_at);
}

template <typename A, typename V>
void Fields(A&& a, V& v, const ContainerStatus*) {
  a("id", v.id);
  a("pod_id", v.pod_id);
  a("state", v.state);
  a("created_at", v.created_at);
  a("started_at", v.started_at);
  a("config", v.config);
  a("image_id", v.image_id);
  a("image_ref", v.image_ref);
  a("log_path", v.log_path);
  a("stop_signal", v.stop_signal);
  a("user", v.user);
  a("pid", v.pid);
  a("cgroup", v.cgroup);
  a("exit", v.exit);
}

}  // namespace

#define BERTH_DEFINE_CODEC(T)                                                                 \
  void to_json(nlohmann::json& json, const T& value) { Fields(Writer(json), value, &value); } \
  void from_json(const nlohmann::json& json, T& value) { Fields(Reader(json), value, &value); }
BERTH_DEFINE_CODEC(IdMapping)
BERTH_DEFINE_CODEC(NamespaceOptions)
BERTH_DEFINE_CODEC(SecurityProfile)
BERTH_DEFINE_CODEC(SelinuxOptions)
BERTH_DEFINE_CODEC(PodMetadata)
BERTH_DEFINE_CODEC(DnsConfig)
BERTH_DEFINE_CODEC(PortMapping)
BERTH_DEFINE_CODEC(PodConfig)
BERTH_DEFINE_CODEC(ImageSpec)
BERTH_DEFINE_CODEC(Mount)
BERTH_DEFINE_CODEC(Device)
BERTH_DEFINE_CODEC(EnvVar)
BERTH_DEFINE_CODEC(ContainerMetadata)
BERTH_DEFINE_CODEC(ContainerConfig)
BERTH_DEFINE_CODEC(ResolvedUser)
BERTH_DEFINE_CODEC(PodStatus)
BERTH_DEFINE_CODEC(ContainerExit)
BERTH_DEFINE_CODEC(ContainerStatus)
#undef BERTH_DEFINE_CODEC

// The two of cgroupfs, whose functions must live in their own namespace to be found.
static void WriteLimit(json& out, const cgroupfs::HugepageLimit& value) {
  HugepageLimitFields(Writer(out), value);
}
static void ReadLimit(const json& in, cgroupfs::HugepageLimit& value) {
  HugepageLimitFields(Reader(in), value);
}
static void WriteResources(json& out, const cgroupfs::Resources& value) {
  ResourcesFields(Writer(out), value);
}
static void ReadResources(const json& in, cgroupfs::Resources& value) { ResourcesFields(Reader(in), value); }

}  // namespace berth::runtime

namespace berth::cgroupfs {
void to_json(nlohmann::json& json, const HugepageLimit& value) { runtime::WriteLimit(json, value); }
void from_json(const nlohmann::json& json, HugepageLimit& value) { runtime::ReadLimit(json, value); }
void to_json(nlohmann::json& json, const Resources& value) { runtime::WriteResources(json, value); }
void from_json(const nlohmann::json& json, Resources& value) { runtime::ReadResources(json, value); }
}  // namespace berth::cgroupfs
