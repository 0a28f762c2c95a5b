// SPDX-License-Identifier: Apache-2.0
// What this host can and cannot do for berth: looks only, changes nothing. `berth doctor` shows all of it;
// what is done in a simpler way than it could be (warnings) is in Status too, so that nothing degrades
// silently (design.md, rule 12).
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "cgroupfs/cgroup.h"
#include "image/image.h"
#include "network/network.h"
#include "runtime/oci/handler.h"

namespace berth::cri {

enum class CheckStatus { kOk, kWarning, kFailure, kSkipped };
struct Check {
  std::string name;  // stable: "cgroup.version", "handler.crun"
  CheckStatus status = CheckStatus::kOk;
  std::string found;   // a sentence
  std::string remedy;  // "" if OK
};

struct DoctorSources {
  // Not owned.
  const cgroupfs::Host* cgroups = nullptr;
  const runtime::oci::Handlers* handlers = nullptr;
  const image::Images* images = nullptr;
  const network::Network* network = nullptr;
  std::string root, state;
  std::string monitor_program, unpack_program;  // "" = not found
  std::string kernel_log = "/dev/kmsg";
  std::string quarantined_store;  // store::Store::quarantined()
};

// Thread safe.
class Doctor {
 public:
  explicit Doctor(DoctorSources sources) : sources_(std::move(sources)) {}
  // Reads some files of /proc and /sys; quick, but not for gRPC's threads.
  std::vector<Check> Run() const;
  // The warnings of the last Run, as sentences.
  std::vector<std::string> Degradations() const;

 private:
  const DoctorSources sources_;
  mutable std::mutex mutex_;
  mutable std::vector<std::string> degradations_;
};

// The parts of Run. Texts of kernel files are parameters, so that each answer can be tried.
std::vector<Check> CheckCgroups(const cgroupfs::Host& cgroups);
std::vector<Check> CheckHandlers(const runtime::oci::Handlers& handlers);
Check CheckOverlay(const image::Images& images);
Check CheckCni(const network::NetworkState& state);
Check CheckForwarding(const std::string& ipv4_forward, const std::string& ipv6_forward);
Check CheckKernelLog(const std::string& path);
Check CheckOomScore(const std::string& proc_self_status, const std::string& own_score);
Check CheckPsi(bool host_has_psi, cgroupfs::Version version);
Check CheckSeccomp(const std::string& actions_avail);
// Of /sys/module/apparmor/parameters/enabled, and of the list of loaded profiles.
Check CheckApparmor(const std::string& enabled, const std::string& profiles);
Check CheckUserNamespaces(bool kernel_has_them, const std::string& max_user_namespaces);
Check CheckSwap(const std::string& proc_swaps);
Check CheckDisk(const std::string& name, const std::string& path);
Check CheckProgram(const std::string& name, const std::string& path);
Check CheckExitStatusOfLost(const std::string& kernel_release);

}  // namespace berth::cri
