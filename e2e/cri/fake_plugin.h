// SPDX-License-Identifier: Apache-2.0
// A CNI plugin made of a shell script, whose behaviour is a file: for the failures that real plugins have.
#pragma once

#include <string>
#include <vector>

#include "e2e/cri/harness/environment.h"
#include "e2e/cri/harness/files.h"

namespace berth::e2e {

class FakePlugin {
 public:
  // Installed as "e2e-fake" in `dir`/bin, with a conflist in `dir`/conf.
  explicit FakePlugin(std::string dir) : dir_(std::move(dir)) {
    MakeDirs(dir_ + "/bin");
    MakeDirs(dir_ + "/conf");
    Behave("");
    WriteProgram(dir_ + "/bin/e2e-fake", "#!/bin/sh\nD='" + dir_ + R"SH('
input=$(cat)
printf '%s %s\n' "$CNI_COMMAND" "$CNI_CONTAINERID" >> "$D/calls"
say() { printf '{"cniVersion":"1.0.0","code":%s,"msg":"%s","details":"%s"}' "$1" "$2" "$3"; exit 1; }
case "$CNI_COMMAND:$(cat "$D/behaviour")" in
  VERSION:*) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
  ADD:refuse) say 999 "the fake plugin says no" "because the test wants it" ;;
  ADD:garbage) echo 'this is not JSON'; exit 1 ;;
  ADD:die) kill -9 $$ ;;
  ADD:hang) while [ "$(cat "$D/behaviour")" = hang ]; do sleep 0.2; done ;;
  DEL:stuck) say 999 "the fake plugin keeps it" "for now" ;;
esac
case "$CNI_COMMAND" in
  ADD) printf '%s' '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"address":"10.99.0.7/24","interface":0}]}' ;;
  DEL) printf '%s\n' "$CNI_CONTAINERID" >> "$D/deleted" ;;
esac
exit 0
)SH");
    WriteFile(dir_ + "/conf/10-fake.conflist",
              R"({"cniVersion":"1.0.0","name":"fake","plugins":[{"type":"e2e-fake"}]})");
  }

  // "", or one of: refuse, garbage, die, hang, stuck.
  void Behave(const std::string& how) const { WriteFile(dir_ + "/behaviour", how); }
  std::vector<std::string> Calls() const { return Lines(TryReadFile(dir_ + "/calls").value_or("")); }
  std::vector<std::string> Deleted() const { return Lines(TryReadFile(dir_ + "/deleted").value_or("")); }

  DaemonConfig Daemon(const std::string& name) const {
    DaemonConfig config = Environment::Get().AnotherDaemon(name);
    config.cni_conf_dir = dir_ + "/conf";
    config.cni_bin_dirs = {dir_ + "/bin", "/usr/lib/cni"};
    return config;
  }

 private:
  std::string dir_;
};

}  // namespace berth::e2e
