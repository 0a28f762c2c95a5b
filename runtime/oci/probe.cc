// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/probe.h"

#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status.h"
#include "image/shifted.h"
#include "monitor/client.h"
#include "runtime/oci/host_facts.h"
#include "runtime/security/seccomp.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

// Lowest version whose fields our specs use; crun 1.8 refuses versions newer than it knows.
constexpr char kSpecVersion[] = "1.0.2";
constexpr std::int64_t kCleanUpNs = 10 * base::kSecondNs;
constexpr std::size_t kWordsCap = 600;

// What the runtime had to say, on one line: Go programs wrap it in msg="…".
std::string Words(const base::CommandResult& result) {
  std::string text(absl::StripAsciiWhitespace(result.err.empty() ? result.out : result.err));
  if (const std::size_t msg = text.rfind("msg=\""); msg != std::string::npos) {
    text = text.substr(msg + 5);
    if (!text.empty() && text.back() == '"') text.pop_back();
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (text.size() > kWordsCap) text = "…" + text.substr(text.size() - kWordsCap);
  return text.empty() ? result.status.ToString() : text;
}

// The exit status of somebody else's child that has ended: from /proc while it is a zombie (the last field of
// stat), from the pidfd once it is reaped (Linux 6.15). Twice, because it may be reaped between the two.
std::optional<base::ExitStatus> HowItEnded(pid_t pid, int pidfd) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (const auto status = base::PidfdExitStatus(pidfd); status.ok()) return *status;
    const auto stat = base::ReadFile(absl::StrCat("/proc/", pid, "/stat"));
    // Still there after reading: so it was this process, not a later one of the same number.
    if (!stat.ok() || !base::PidfdSignal(pidfd, 0).ok()) continue;
    const absl::string_view text = absl::StripTrailingAsciiWhitespace(*stat);
    int status = 0;
    if (absl::SimpleAtoi(text.substr(text.rfind(' ') + 1), &status)) return base::ExitStatusFromWait(status);
  }
  return std::nullopt;
}

class Trial {
 public:
  Trial(const HandlerConfig& config, const ProbeOptions& options, const std::string& hide_mount,
        base::Deadline deadline)
      : path_(config.path),
        args_(config.args),
        options_(options),
        hide_mount_(hide_mount),
        deadline_(deadline) {
    const std::size_t tag = std::hash<std::string>()(options.work_dir + "\n" + config.name) % 0xffffffffu;
    id_ = absl::StrCat("berth-probe-", absl::Hex(tag, absl::kZeroPad8));
    dir_ = options.work_dir + "/" + id_;
    rootfs_ = dir_ + "/bundle/rootfs";
    cgroup_ = options.cgroup_root == "/" || options.cgroup_root.empty() ? "/" + id_
                                                                        : options.cgroup_root + "/" + id_;
  }
  ~Trial() { CleanUp(); }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Runs one container to its end. `adjust` changes the minimal spec; `created` looks at the created
  // container's init before it is started.
  absl::Status Run(const std::function<void(json&)>& adjust,
                   const std::function<absl::Status(pid_t)>& created) {
    CleanUp();
    BERTH_RETURN_IF_ERROR(MakeBundle(adjust));
    BERTH_FAULT_POINT("oci.probe_create");
    const std::string pid_file = dir_ + "/pid";
    BERTH_RETURN_IF_ERROR(
        Call({"create", "--bundle", dir_ + "/bundle", "--pid-file", pid_file, id_}, "create"));
    BERTH_FAULT_POINT("oci.probe_created");
    pid_t pid = 0;
    if (const auto text = base::ReadFile(pid_file);
        !text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid)) {
      return absl::InternalError("it wrote no pid file");
    }
    BERTH_ASSIGN_OR_RETURN(const base::UniqueFd init, base::ToStatusOr(base::PidfdOpen(pid)));
    if (created != nullptr) BERTH_RETURN_IF_ERROR(created(pid));
    BERTH_RETURN_IF_ERROR(Call({"start", id_}, "start"));
    struct pollfd waiting = {init.get(), POLLIN, 0};
    int ready;
    do {
      ready = poll(&waiting, 1, deadline_.PollMs());
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) return absl::DeadlineExceededError("its container did not end in time");
    // Where neither way tells (older kernel, reaped already), its end must do; RunWitnessed asks for more.
    if (const auto status = HowItEnded(pid, init.get()); status && status->ShellCode() != 0) {
      return absl::InternalError("its container ended with " + status->ToString());
    }
    return absl::OkStatus();
  }

  // Runs one and returns what its program said from inside (monitor/true.h). Its word is also the proof that
  // it ran: where a kernel before 6.15 has its end reaped at once, nobody else tells.
  absl::StatusOr<std::string> RunWitnessed() {
    const std::string witness = dir_ + "/witness";
    absl::Status made;
    const absl::Status status = Run(
        [&](json& spec) {
          made = base::ToStatus(base::WriteFile(witness, ""));
          if (made.ok()) made = base::ToStatus(base::WriteFile(rootfs_ + "/witness", ""));
          spec["mounts"].push_back({{"destination", "/witness"},
                                    {"type", "bind"},
                                    {"source", witness},
                                    {"options", {"bind", "rw"}}});
          spec["process"]["args"].push_back("/witness");
        },
        nullptr);
    BERTH_RETURN_IF_ERROR(made);
    BERTH_RETURN_IF_ERROR(status);
    BERTH_ASSIGN_OR_RETURN(std::string said, base::ToStatusOr(base::ReadFile(witness)));
    if (said.empty()) return absl::InternalError("its container ended without having run its program");
    return said;
  }

  // From now on without a filter.
  void DropFilter() { filter_ = false; }

  const std::string& dir() const { return dir_; }

 private:
  absl::StatusOr<base::CommandResult> Command(std::vector<std::string> args, base::Deadline deadline) {
    base::SpawnOptions spawn;
    spawn.argv = {path_, "--root", dir_ + "/state"};
    spawn.argv.insert(spawn.argv.end(), args_.begin(), args_.end());
    spawn.argv.insert(spawn.argv.end(), args.begin(), args.end());
    spawn.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    spawn.hide_mount = hide_mount_;
    return base::ToStatusOr(base::RunCommand(spawn, "", deadline));
  }

  absl::Status Call(std::vector<std::string> args, const char* verb) {
    auto result = Command(std::move(args), deadline_);
    if (!result.ok()) return base::Annotate(result.status(), verb);
    if (result->status.ShellCode() != 0) return absl::InternalError(absl::StrCat(verb, ": ", Words(*result)));
    return absl::OkStatus();
  }

  absl::Status MakeBundle(const std::function<void(json&)>& adjust) {
    BERTH_FAULT_POINT("oci.probe_bundle");
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(rootfs_, 0755)));
    for (const char* dir : {"/proc", "/dev", "/sys", "/look"})
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(rootfs_ + dir, 0755)));
    BERTH_ASSIGN_OR_RETURN(const std::string program,
                           base::ToStatusOr(base::ReadFile(options_.probe_program, 256u << 20)));
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(rootfs_ + "/probe", program, 0755)));
    // A container's user namespace must be able to walk here.
    for (const std::string& dir : {dir_, dir_ + "/bundle", rootfs_}) chmod(dir.c_str(), 0755);
    chmod((rootfs_ + "/probe").c_str(), 0755);

    json spec = MinimalSpec();
    if (NeedsInterpreter(options_.probe_program)) BERTH_RETURN_IF_ERROR(LendLibraries(spec));
    if (adjust != nullptr) adjust(spec);
    return base::ToStatus(base::WriteFile(dir_ + "/bundle/config.json", spec.dump()));
  }

  json MinimalSpec() const {
    const std::vector<std::string> caps = {"CAP_CHOWN"};
    json spec = {{"ociVersion", kSpecVersion},
                 {"process",
                  {{"terminal", false},
                   {"user", {{"uid", 0}, {"gid", 0}}},
                   {"args", {"/probe", "true"}},
                   {"env", {"PATH=/", "ASAN_OPTIONS=detect_leaks=0"}},
                   {"cwd", "/"},
                   {"noNewPrivileges", true},
                   {"capabilities", {{"bounding", caps}, {"effective", caps}, {"permitted", caps}}}}},
                 {"root", {{"path", rootfs_}, {"readonly", true}}},
                 {"mounts",
                  {{{"destination", "/proc"},
                    {"type", "proc"},
                    {"source", "proc"},
                    {"options", {"nosuid", "noexec", "nodev"}}},
                   {{"destination", "/dev"},
                    {"type", "tmpfs"},
                    {"source", "tmpfs"},
                    {"options", {"nosuid", "mode=755", "size=64k"}}}}},
                 {"linux",
                  {{"cgroupsPath", cgroup_},
                   {"namespaces",
                    {{{"type", "mount"}},
                     {{"type", "pid"}},
                     {{"type", "ipc"}},
                     {{"type", "uts"}},
                     {{"type", "network"}}}},
                   {"resources", {{"devices", {{{"allow", false}, {"access", "rwm"}}}}}}}}};
    if (filter_) spec["linux"]["seccomp"] = Filter();
    return spec;
  }

  // Sanitizers make calls that our profile refuses; for them one call less is a filter, too.
  json Filter() const {
    if (!NeedsInterpreter(options_.probe_program))
      return security::DefaultSeccompProfile({Architecture(), {}});
    return {{"defaultAction", "SCMP_ACT_ALLOW"},
            {"syscalls", {{{"names", {"kexec_load"}}, {"action", "SCMP_ACT_ERRNO"}}}}};
  }

  // Sanitizer builds of the program are dynamic: the host's libraries, read-only.
  absl::Status LendLibraries(json& spec) const {
    for (const char* dir : {"/usr", "/lib", "/lib64"}) {
      struct stat st;
      if (lstat(dir, &st) != 0) continue;
      if (S_ISLNK(st.st_mode)) {
        char target[256] = {};
        if (readlink(dir, target, sizeof target - 1) <= 0 || symlink(target, (rootfs_ + dir).c_str()) != 0) {
          return base::SyscallError(errno, absl::StrCat("lending '", dir, "' to the probe"));
        }
      } else {
        BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(rootfs_ + dir, 0755)));
        spec["mounts"].push_back(
            {{"destination", dir}, {"type", "bind"}, {"source", dir}, {"options", {"rbind", "ro"}}});
      }
    }
    return absl::OkStatus();
  }

  // Has its own time budget. What is not there is no failure.
  void CleanUp() {
    if (!base::Exists(dir_)) return;
    const auto deadline = base::Deadline::After(kCleanUpNs);
    BERTH_FAULT_POINT("oci.probe_delete");
    (void)Command({"delete", "--force", id_}, deadline);
    if (options_.cgroups != nullptr) {
      if (auto cgroup = options_.cgroups->At(cgroup_); cgroup.ok()) {
        (void)(*cgroup)->KillAll(deadline);
        (void)(*cgroup)->Remove();
      }
    }
    BERTH_FAULT_POINT("oci.probe_remove");
    if (const auto removed = base::RemoveTree(dir_); !removed.ok()) {
      base::LogWarning("probe left files behind", {{"path", dir_}, {"error", removed.error().Message()}});
    }
  }

  std::string path_;
  std::vector<std::string> args_;
  const ProbeOptions& options_;
  std::string hide_mount_;
  base::Deadline deadline_;
  bool filter_ = KernelHasSeccomp();
  std::string id_, dir_, rootfs_, cgroup_;
};

struct MountLine {
  std::string point, options;
};
absl::StatusOr<std::vector<MountLine>> MountsOf(pid_t pid) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, base::ToStatusOr(base::ReadFile(
                                                     absl::StrCat("/proc/", pid, "/mountinfo"), 16u << 20)));
  std::vector<MountLine> mounts;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 5) mounts.push_back({std::string(fields[4]), std::string(fields[5])});
  }
  return mounts;
}

bool HasOption(const std::string& options, const std::string& wanted) {
  const std::vector<std::string> list = absl::StrSplit(options, ',');
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

json Bind(const std::string& source, std::vector<std::string> options) {
  return {{"destination", "/look"}, {"type", "bind"}, {"source", source}, {"options", std::move(options)}};
}

// Binds the host's /dev, which has writable mounts below it (pts at least), and looks whether they turned
// read-only too.
bool ProbeRecursiveReadOnly(Trial& trial) {
  // mount_setattr(2), Linux 5.12.
  if (syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0) != 0 && errno == ENOSYS) return false;
  bool proven = false;
  const absl::Status status = trial.Run(
      [](json& spec) {
        spec["mounts"].push_back(Bind("/dev", {"rbind", "ro", "rro"}));
      },
      [&](pid_t pid) -> absl::Status {
        BERTH_ASSIGN_OR_RETURN(const auto mounts, MountsOf(pid));
        int below = 0, writable = 0;
        for (const MountLine& m : mounts) {
          if (absl::StartsWith(m.point, "/look/")) ++below;
          if (absl::StartsWith(m.point, "/look") && !HasOption(m.options, "ro")) ++writable;
        }
        proven = below > 0 && writable == 0;
        return absl::OkStatus();
      });
  return status.ok() && proven;
}

// Whether containers run at all, and whether under their filters: crun built without libseccomp drops filters
// without a word, runc built so refuses the container.
absl::Status ProbeBasics(Trial& trial, HandlerFeatures& features) {
  if (!KernelHasSeccomp()) {
    features.no_seccomp = "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)";
    return trial.RunWitnessed().status();
  }
  const auto filtered = trial.RunWitnessed();
  features.seccomp = filtered.ok() && *filtered == "filtered";
  if (features.seccomp) return absl::OkStatus();
  // Its other features are tried without one, and so is the container that was refused.
  trial.DropFilter();
  if (filtered.ok()) {
    features.no_seccomp =
        "its container ran without the filter that it was given; it seems to be built without seccomp";
    return absl::OkStatus();
  }
  if (!trial.RunWitnessed().ok()) return filtered.status();
  features.no_seccomp = std::string(filtered.status().message());
  return absl::OkStatus();
}

// As a pod with hostUsers: false has it: namespaces made in a user namespace and pinned, joined by path, with
// the file systems that belong to them; and layers whose ids are mapped. OK, or why not.
absl::Status ProbeUserNamespaces(Trial& trial, const ProbeOptions& options, base::Deadline deadline) {
  // Ids that no account has, as kubelet hands them out.
  constexpr monitor::UserMap kMap = {0x40000000, 65536};
  monitor::PinOptions pin;
  pin.program = options.probe_program;
  pin.dir = trial.dir() + "-ns";
  pin.user = kMap;
  const auto unpin = [&]() -> absl::Status {
    BERTH_RETURN_IF_ERROR(monitor::Unpin(pin.dir));
    return base::ToStatus(base::RemoveTree(pin.dir));
  };
  BERTH_RETURN_IF_ERROR(unpin());  // a killed probe's
  const auto tried = [&]() -> absl::Status {
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(pin.dir)));
    BERTH_RETURN_IF_ERROR(monitor::Pin(pin, deadline));
    BERTH_FAULT_POINT("oci.probe_pinned");
    const std::string layers = options.layers_dir.empty() ? options.work_dir : options.layers_dir;
    BERTH_RETURN_IF_ERROR(image::ProbeShifted(layers + "/shift-probe", pin.dir + "/user"));
    BERTH_RETURN_IF_ERROR(CanBeWalkedTo(layers));
    bool mapped = false;
    BERTH_RETURN_IF_ERROR(trial.Run(
        [&](json& spec) {
          const json mapping =
              json::array({{{"containerID", 0}, {"hostID", kMap.first}, {"size", kMap.length}}});
          spec["linux"]["uidMappings"] = mapping;
          spec["linux"]["gidMappings"] = mapping;
          spec["linux"]["namespaces"] = {{{"type", "mount"}},
                                         {{"type", "pid"}},
                                         {{"type", "ipc"}, {"path", pin.dir + "/ipc"}},
                                         {{"type", "uts"}, {"path", pin.dir + "/uts"}},
                                         {{"type", "network"}, {"path", pin.dir + "/net"}},
                                         {{"type", "user"}, {"path", pin.dir + "/user"}}};
          const std::vector<std::string> plain = {"nosuid", "noexec", "nodev"};
          for (const auto& [place, type] : {std::pair{"/dev/mqueue", "mqueue"}, std::pair{"/sys", "sysfs"}})
            spec["mounts"].push_back(
                {{"destination", place}, {"type", type}, {"source", type}, {"options", plain}});
          // A source behind a directory that is closed to the namespace's root, as the pod's files are.
          spec["mounts"].push_back(Bind(pin.dir, {"rbind", "ro"}));
        },
        [&](pid_t pid) -> absl::Status {
          BERTH_ASSIGN_OR_RETURN(const std::string map,
                                 base::ToStatusOr(base::ReadFile(absl::StrCat("/proc/", pid, "/uid_map"))));
          const std::vector<std::string> words =
              absl::StrSplit(map, absl::ByAnyChar(" \n"), absl::SkipEmpty());
          mapped =
              words == std::vector<std::string>{"0", absl::StrCat(kMap.first), absl::StrCat(kMap.length)};
          return absl::OkStatus();
        }));
    return mapped ? absl::OkStatus() : absl::InternalError("it did not join the user namespace");
  };
  const absl::Status status = tried();
  const absl::Status removed = unpin();
  return status.ok() ? removed : status;
}

}  // namespace

absl::Status CanBeWalkedTo(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string dir = path.substr(0, end);
    struct stat st;
    if (stat(dir.c_str(), &st) != 0) return base::SyscallError(errno, absl::StrCat("stat '", dir, "'"));
    if ((st.st_mode & S_IXOTH) == 0) {
      return absl::FailedPreconditionError(absl::StrCat("the root of a user namespace cannot walk through '",
                                                        dir, "' (chmod o+x '", dir, "')"));
    }
    if (end == std::string::npos) return absl::OkStatus();
  }
}

bool NeedsInterpreter(const std::string& program) {
  const auto fd = base::OpenAt(AT_FDCWD, program, O_RDONLY);
  Elf64_Ehdr header;
  if (!fd.ok() || pread(fd->get(), &header, sizeof header, 0) != sizeof header) return false;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64)
    return false;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    const off_t at = static_cast<off_t>(header.e_phoff) + static_cast<off_t>(i) * header.e_phentsize;
    if (pread(fd->get(), &segment, sizeof segment, at) != sizeof segment) return false;
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

Handler ProbeHandler(const HandlerConfig& config, const ProbeOptions& options, base::Deadline deadline) {
  Handler handler;
  handler.name = config.name;
  handler.path = config.path;
  handler.spec_version = kSpecVersion;
  handler.args = config.args;
  if (access(config.path.c_str(), X_OK) != 0) {
    handler.why_not = absl::StrCat("'", config.path, "': ", std::strerror(errno));
    return handler;
  }
  base::SpawnOptions spawn;
  spawn.argv = {config.path, "--version"};
  const auto version = base::RunCommand(spawn, "", deadline);
  if (!version.ok() || version->status.ShellCode() != 0) {
    handler.why_not = "--version: " + (version.ok() ? Words(*version) : version.error().Message());
    return handler;
  }
  handler.version = version->out.substr(0, version->out.find('\n'));

  // As it is first; where that fails, without the v2 tree of a hybrid host, which crun refuses when it owns a
  // controller.
  std::vector<std::string> ways = {""};
  const std::string unified = options.cgroups == nullptr ? "" : options.cgroups->UnifiedMountToHide();
  if (!unified.empty() && absl::StartsWith(handler.version, "crun")) ways.push_back(unified);
  for (const std::string& hide : ways) {
    Trial trial(config, options, hide, deadline);
    const absl::Status status = ProbeBasics(trial, handler.features);
    if (!status.ok()) {
      absl::StrAppend(&handler.why_not,
                      handler.why_not.empty() ? "" : absl::StrCat("; with '", hide, "' hidden: "),
                      status.message());
      continue;
    }
    handler.usable = true;
    handler.why_not.clear();
    handler.hide_mount = hide;
    handler.features.recursive_read_only_mounts = ProbeRecursiveReadOnly(trial);
    if (const auto users = ProbeUserNamespaces(trial, options, deadline); users.ok()) {
      handler.features.user_namespaces = true;
    } else {
      handler.features.no_user_namespaces = std::string(users.message());
    }
    break;
  }
  return handler;
}

}  // namespace berth::runtime::oci
