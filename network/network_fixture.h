// SPDX-License-Identifier: Apache-2.0
// A Network with plugins that are shell scripts, for tests.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "network/network.h"
#include "network/test_dir.h"

namespace berth::network {

inline constexpr char kResult[] =
    R"(echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/ns"}],"ips":[{"address":"10.9.0.7/24","interface":0}]}')";
inline constexpr char kOwnNetns[] =
    "/proc/self/ns/net";  // stands for a pod's; the scripts do nothing with it

// A Network, and waiting for what its state becomes.
class Fixture : public ::testing::Test {
 protected:
  void Open(std::int64_t grace_ns = 50 * base::kMillisecondNs) {
    Options options;
    options.conf_dir = dir_.conf();
    options.bin_dirs = {dir_.path() + "/nothing", dir_.bin()};
    options.conf_template = template_;
    options.status_poll_ns = 30 * base::kMillisecondNs;
    options.status_retry_ns = 30 * base::kMillisecondNs;
    options.grace_ns = grace_ns;
    auto network = Network::Open(options);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = std::move(*network);
    network_->OnChange([this] {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
  }
  bool Becomes(const std::function<bool(const NetworkState&)>& wanted) {
    std::unique_lock lock(mutex_);
    for (int i = 0; i < 200; ++i) {
      if (wanted(network_->state())) return true;
      changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
    return false;
  }
  bool BecomesReady() {
    return Becomes([](const NetworkState& state) { return state.ready; });
  }
  bool Says(const std::string& words) {
    return Becomes([&](const NetworkState& state) { return state.message.find(words) != std::string::npos; });
  }
  void TwoPlugins(const std::string& first_body = kResult,
                  const std::string& second_body = "cat $D/first.ADD.out 2>/dev/null || " +
                                                   std::string(kResult)) {
    dir_.Plugin("first", first_body);
    dir_.Plugin("second", second_body);
    dir_.Write(
        "conf/10-pods.conflist",
        R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first","key":[1]},{"type":"second","capabilities":{"portMappings":true}}]})");
  }
  static PodNetwork Pod() {
    PodNetwork pod;
    pod.pod_id = "abc123";
    pod.pod_name = "web";
    pod.pod_namespace = "default";
    pod.pod_uid = "uid-1";
    pod.netns_path = kOwnNetns;
    pod.port_mappings = {{"tcp", 80, 8080, ""}};
    return pod;
  }
  static base::Deadline Soon() { return base::Deadline::After(20 * base::kSecondNs); }
  Attachment Prepared() {
    auto attachment = network_->Prepare(Pod());
    EXPECT_TRUE(attachment.ok()) << attachment.status();
    return attachment.ok() ? *attachment : Attachment();
  }

  TestDir dir_;
  std::string template_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Network> network_;  // last: its thread uses what is above
};

}  // namespace berth::network
