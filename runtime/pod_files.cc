// SPDX-License-Identifier: Apache-2.0
#include "runtime/pod_files.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr mode_t kReadable = 0644;  // any user of a container reads them

absl::Status CheckWord(const std::string& word, absl::string_view what) {
  if (word.empty() || word.find_first_of(" \t\r\n") != std::string::npos ||
      word.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("bad ", what, " in dns_config: '", word, "'"));
  }
  return absl::OkStatus();
}

std::string ReadHostFile(const std::string& path) {
  auto content = base::ReadFile(path);
  return content.ok() ? *content : std::string();  // a host without one: an empty file
}

}  // namespace

absl::StatusOr<std::string> ResolvConf(const DnsConfig& dns) {
  std::string text;
  for (const auto& server : dns.servers) {
    BERTH_RETURN_IF_ERROR(CheckWord(server, "server"));
    absl::StrAppend(&text, "nameserver ", server, "\n");
  }
  for (const auto& search : dns.searches) BERTH_RETURN_IF_ERROR(CheckWord(search, "search domain"));
  if (!dns.searches.empty()) absl::StrAppend(&text, "search ", absl::StrJoin(dns.searches, " "), "\n");
  for (const auto& option : dns.options) BERTH_RETURN_IF_ERROR(CheckWord(option, "option"));
  if (!dns.options.empty()) absl::StrAppend(&text, "options ", absl::StrJoin(dns.options, " "), "\n");
  return text;
}

std::string HostsFile(const std::string& hostname, const std::vector<std::string>& ips) {
  std::string text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const auto& ip : ips) {
    if (!hostname.empty()) absl::StrAppend(&text, ip, "\t", hostname, "\n");
  }
  return text;
}

absl::Status WritePodFiles(const PodPlaces& places, const PodConfig& config, const std::string& hostname,
                           const std::vector<std::string>& ips) {
  std::string resolv_conf;
  if (config.dns) {
    BERTH_ASSIGN_OR_RETURN(resolv_conf, ResolvConf(*config.dns));
  } else {
    resolv_conf = ReadHostFile("/etc/resolv.conf");
  }
  const bool host_network = config.namespaces.network == NamespaceMode::kNode;
  BERTH_FAULT_POINT("runtime.pod_files");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(places.resolv_conf, resolv_conf, kReadable)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(
      places.hosts, host_network ? ReadHostFile("/etc/hosts") : HostsFile(hostname, ips), kReadable)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(places.hostname, hostname + "\n", kReadable)));
  for (const std::string* path : {&places.resolv_conf, &places.hosts, &places.hostname})
    BERTH_RETURN_IF_ERROR(GiveToPod(config, *path));
  return absl::OkStatus();
}

absl::Status MountShm(const PodPlaces& places, const PodConfig& config, std::uint64_t bytes) {
  BERTH_RETURN_IF_ERROR(UnmountShm(places));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(places.shm, 0700)));
  std::string options = absl::StrCat("mode=1777,size=", bytes);
  if (const auto map = UserMapOf(config)) absl::StrAppend(&options, ",uid=", map->first, ",gid=", map->first);
  BERTH_FAULT_POINT("runtime.shm");
  if (::mount("shm", places.shm.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) {
    return base::SyscallError(errno, absl::StrCat("mount tmpfs on '", places.shm, "'"));
  }
  return absl::OkStatus();
}

absl::Status UnmountShm(const PodPlaces& places) {
  // EINVAL: not a mount; ENOENT: not even a directory.
  while (::umount2(places.shm.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("unmount '", places.shm, "'"));
  return absl::OkStatus();
}

}  // namespace berth::runtime
