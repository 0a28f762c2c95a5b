// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/mapped_disk.h"

#include <sys/mount.h>
#include <unistd.h>

#include "e2e/cri/harness/environment.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/process.h"

namespace berth::e2e {
namespace {

constexpr int kSectorsPerMib = 2048;

// Nobody waits for udev: there is none in a container.
RunResult Dmsetup(std::vector<std::string> words) {
  words.insert(words.begin(), {"dmsetup", "--noudevsync", "--noudevrules"});
  return RunProgram(words);
}

void MustDmsetup(const std::vector<std::string>& words) {
  const RunResult result = Dmsetup(words);
  if (result.exit_code != 0) throw TestError("dmsetup " + words[0] + ": " + result.output);
}

}  // namespace

std::string MappedDisk::Lacks() {
  // The shell says what it does not find, be it a program.
  const RunResult targets =
      RunProgram({"/bin/sh", "-c", "modprobe -a dm-mod dm-delay 2>&1; dmsetup targets"});
  if (targets.exit_code != 0) return "no device mapper: " + Trim(targets.output);
  return targets.output.find("delay") == std::string::npos ? "the kernel has no dm-delay" : "";
}

MappedDisk::MappedDisk(const std::string& name, int mib)
    : name_("berth-test-" + std::to_string(::getpid()) + "-" + name),
      path_(Environment::Get().dir() + "/" + name),
      file_(path_ + ".disk"),
      sectors_(std::to_string(mib * kSectorsPerMib)) {
  try {
    MustRun({"truncate", "--size", std::to_string(mib) + "M", file_});
    loop_ = Trim(MustRun({"losetup", "--find", "--show", file_}));
    MustDmsetup({"create", name_, "--table", "0 " + sectors_ + " linear " + loop_ + " 0"});
    mapped_ = true;
    // The kernel's own name: /dev/mapper has it only where udev made it.
    const std::string device =
        "/dev/dm-" + Trim(MustRun({"dmsetup", "info", "--columns", "--noheadings", "-o", "minor", name_}));
    MustRun({"mkfs.ext4", "-q", "-O", "^has_journal", device});
    MakeDirs(path_);
    if (::mount(device.c_str(), path_.c_str(), "ext4", 0, "errors=continue") != 0)
      throw TestError("cannot mount '" + device + "'");
    mounted_ = true;
  } catch (...) {
    Undo();
    throw;
  }
}

MappedDisk::~MappedDisk() { Undo(); }

void MappedDisk::Undo() {
  if (mapped_) Heal();
  if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  if (mapped_) (void)Dmsetup({"remove", "--retry", name_});
  if (!loop_.empty()) (void)RunProgram({"losetup", "--detach", loop_});
  ::unlink(file_.c_str());
}

void MappedDisk::Delay(int ms) const { Map("delay " + loop_ + " 0 " + std::to_string(ms)); }
void MappedDisk::Fail() const { Map("error"); }
void MappedDisk::Heal() const { Map("linear " + loop_ + " 0"); }
void MappedDisk::Hold() const { MustDmsetup({"suspend", "--noflush", "--nolockfs", name_}); }
void MappedDisk::Release() const { MustDmsetup({"resume", name_}); }

void MappedDisk::Map(const std::string& table) const {
  MustDmsetup({"load", name_, "--table", "0 " + sectors_ + " " + table});
  Hold();
  Release();
}

}  // namespace berth::e2e
