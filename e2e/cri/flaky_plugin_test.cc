// SPDX-License-Identifier: Apache-2.0
// A CNI plugin that fails ADD now and then, after others gave out addresses, and DEL the first few times:
// kubelet gets its pods all the same, and in the end every address is back.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <set>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::IsEmpty;

// Last in a chain after the bridge: each third ADD fails, and of each attachment the first two DELs.
class FlakyChain {
 public:
  explicit FlakyChain(std::string dir) : dir_(std::move(dir)) {
    for (const char* name : {"/bin", "/conf", "/ipam", "/dels"}) MakeDirs(dir_ + name);
    WriteProgram(dir_ + "/bin/e2e-flaky", "#!/bin/sh\nD='" + dir_ + R"SH('
cat > "$D/input.$$"
say() { printf '{"cniVersion":"1.0.0","code":999,"msg":"%s"}' "$1"; rm -f "$D/input.$$"; exit 1; }
case "$CNI_COMMAND" in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
  ADD) [ $(( $$ % 3 )) -ne 0 ] || say "the flaky plugin says no"
       python3 -c 'import json,sys; print(json.dumps(json.load(open(sys.argv[1]))["prevResult"]))' "$D/input.$$" ;;
  DEL) echo x >> "$D/dels/$CNI_CONTAINERID"
       [ "$(wc -l < "$D/dels/$CNI_CONTAINERID")" -gt 2 ] || say "the flaky plugin keeps it for now" ;;
esac
rm -f "$D/input.$$"
exit 0
)SH");
    WriteFile(dir_ + "/conf/10-flaky.conflist",
              R"({"cniVersion":"1.0.0","name":"flaky","plugins":[
{"type":"bridge","bridge":"e2ebr1","isGateway":true,
 "ipam":{"type":"host-local","dataDir":")" +
                  dir_ + R"(/ipam","ranges":[[{"subnet":"10.89.0.0/16"}]]}},
{"type":"e2e-flaky"}]})");
  }
  ~FlakyChain() { RunProgram({"ip", "link", "del", "e2ebr1"}); }

  DaemonConfig Daemon() const {
    DaemonConfig config = Environment::Get().AnotherDaemon("flaky");
    config.cni_conf_dir = dir_ + "/conf";
    config.cni_bin_dirs = {dir_ + "/bin", "/usr/lib/cni"};
    return config;
  }
  std::set<std::string> Addresses() const {
    std::set<std::string> taken;
    for (const std::string& name : ListDir(dir_ + "/ipam/flaky")) {
      if (name.rfind("10.", 0) == 0) taken.insert(name);
    }
    return taken;
  }
  size_t Attachments() const { return ListDir(dir_ + "/dels").size(); }

 private:
  const std::string dir_;
};

TEST(FlakyPlugin, NoAddressIsLostHoweverOftenAddAndDelFail) {
  BERTH_NEEDS_OWN_DAEMON();
  const FlakyChain chain(Environment::Get().dir() + "/flaky");
  ScopedDaemon daemon(chain.Daemon());
  const int wanted = GetOptions().full ? 300 : 40;
  std::atomic<int> next{0}, refused{0}, refused_stops{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 6; ++c) {
    clients.emplace_back([&] {
      while (next++ < wanted) {
        cri::RunPodSandboxRequest run;
        *run.mutable_config() = PodConfig();
        absl::StatusOr<cri::RunPodSandboxResponse> made = absl::UnknownError("not tried");
        for (int i = 0; i < 30 && !made.ok(); ++i) {
          made = Cri().RunPodSandbox(run);
          if (!made.ok()) ++refused;
        }
        ASSERT_TRUE(made.ok()) << made.status();
        absl::Status gone = absl::UnknownError("not tried");
        for (int i = 0; i < 10 && !gone.ok(); ++i) {
          gone = Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(made->pod_sandbox_id())).status();
          if (!gone.ok()) ++refused_stops;
        }
        ASSERT_TRUE(gone.ok()) << gone;
        Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(made->pod_sandbox_id())));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(refused, 0);
  EXPECT_GT(refused_stops, 0);
  // What RunPodSandbox could not undo is tried again with growing gaps.
  EXPECT_TRUE(Eventually([&] { return chain.Addresses().empty(); }, seconds(120)))
      << chain.Addresses().size() << " addresses are still taken";
  EXPECT_GE(chain.Attachments(), static_cast<size_t>(wanted + refused));
  EXPECT_THAT(Fsck().findings, IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
