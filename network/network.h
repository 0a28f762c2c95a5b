// SPDX-License-Identifier: Apache-2.0
// Pod networks through CNI plugins (spec 0.3.1 to 1.1.0). Namespaces are made and pinned by the monitor's
// `pin` mode; here they are only paths. Nothing is stored here: the caller keeps Attachment records (intent
// before ADD, result after, until DEL).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

namespace berth::network {

struct PortMapping {
  std::string protocol;  // "tcp", "udp", "sctp"
  std::int32_t container_port = 0;
  std::int32_t host_port = 0;
  std::string host_ip;
};

// What a pod wants of its network. Everything ADD, CHECK and DEL must be told alike.
struct PodNetwork {
  std::string pod_id;
  std::string pod_name, pod_namespace, pod_uid;  // K8S_POD_* arguments
  std::string netns_path;                        // pin; for DEL it may be gone already
  std::string hostname;
  std::vector<PortMapping> port_mappings;  // capability portMappings (host_port != 0 only)
  std::map<std::string, std::string>
      annotations;     // kubernetes.io/{ingress,egress}-bandwidth → capability bandwidth
  std::string cgroup;  // capability io.kubernetes.cri.pod-… where a plugin asks
  std::vector<std::string> dns_servers, dns_searches, dns_options;  // capability dns
};

// The record of one pod's attachment: enough to undo it with the configuration of its day. JSON by
// ToJson/FromJson.
struct Attachment {
  PodNetwork pod;
  std::string conflist;          // the whole conflist as used (JSON text)
  std::string result;            // ADD's result (JSON text); "" until it succeeded
  std::vector<std::string> ips;  // primary first, without prefix lengths
};
std::string ToJson(const Attachment& attachment);
absl::StatusOr<Attachment> AttachmentFromJson(const std::string& text);

struct NetworkState {
  bool ready = false;
  std::string reason;   // CamelCase word for the condition, e.g. "NetworkPluginNotReady"
  std::string message;  // names file and error
};

struct Options {
  std::string conf_dir;
  std::vector<std::string> bin_dirs;
  std::string conf_template;  // UpdateRuntimeConfig renders it into conf_dir; "" = none. The path of a file
                              // (template.h)
  // How often the directories and STATUS are looked at anyway, while all is well and while it is not; and how
  // long a network that worked stays in force while its files are gone or half-written (a CNI being
  // upgraded).
  std::int64_t status_poll_ns = 10 * base::kSecondNs;
  std::int64_t status_retry_ns = 2 * base::kSecondNs;
  std::int64_t grace_ns = 2 * base::kSecondNs;
};

// Thread safe. Watches conf_dir by inotify (a missing directory is waited for through its parent; polling
// STATUS with hysteresis where the plugin speaks CNI 1.1).
class Network {
 public:
  static absl::StatusOr<std::unique_ptr<Network>> Open(Options options);
  virtual ~Network() =
      default;  // may wait for a plugin that is being asked for its STATUS or VERSION (10 s at most)
  virtual NetworkState state() const = 0;
  // Called (on a thread of this class) whenever state() changed. Set once, before traffic.
  virtual void OnChange(std::function<void()> callback) = 0;

  // The intent: `pod` with the conflist that is in force now. Store it, then Add. FAILED_PRECONDITION with
  // the state's message when the network is not ready.
  virtual absl::StatusOr<Attachment> Prepare(const PodNetwork& pod) = 0;
  // Runs the plugins' ADD in order (loopback is not CNI's here: the pin mode sets lo up). On failure what was
  // added is undone with DEL under a budget of its own, and the error carries the plugin's own words; the
  // intent must still be kept and Del retried when that undo failed (then the status has UNAVAILABLE… and
  // message says so).
  virtual absl::Status Add(Attachment& attachment, base::Deadline deadline) = 0;
  // Runs DEL in reverse order with the cached result; also without a namespace. OK only when every plugin was
  // content.
  virtual absl::Status Del(const Attachment& attachment, base::Deadline deadline) = 0;
  virtual absl::Status Check(const Attachment& attachment, base::Deadline deadline) = 0;
  // CNI 1.1 GC with the attachments that are alive, where the conflist in force speaks it; else nothing.
  virtual absl::Status Gc(const std::vector<Attachment>& live, base::Deadline deadline) = 0;
  // Renders the template (if any) with the pod CIDRs.
  virtual absl::Status SetPodCidr(const std::string& pod_cidr) = 0;
};

}  // namespace berth::network
