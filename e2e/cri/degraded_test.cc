// SPDX-License-Identifier: Apache-2.0
// A root directory on a file system that overlayfs cannot write to: root file systems are copied, and it is
// said.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// An overlayfs: the kernel takes it for no upper directory of another one.
class NoOverlayHere {
 public:
  NoOverlayHere() : dir_(Environment::Get().dir() + "/no-overlay") {
    for (const char* name : {"/lower", "/upper", "/work", "/disk"}) MakeDirs(dir_ + name);
    const std::string options =
        "lowerdir=" + dir_ + "/lower,upperdir=" + dir_ + "/upper,workdir=" + dir_ + "/work";
    mounted_ = ::mount("overlay", path().c_str(), "overlay", 0, options.c_str()) == 0;
  }
  ~NoOverlayHere() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string path() const { return dir_ + "/disk"; }

 private:
  std::string dir_;
  bool mounted_ = false;
};

TEST(Degraded, WithoutOverlayfsRootFileSystemsAreCopiedAndItIsSaid) {
  BERTH_NEEDS_OWN_DAEMON();
  const NoOverlayHere disk;
  if (!disk.mounted()) GTEST_SKIP() << "overlayfs itself cannot be mounted here";
  DaemonConfig config = Environment::Get().AnotherDaemon("daemon-copied");
  config.root = disk.path() + "/root";
  const ScopedDaemon daemon(config);
  const std::string doctor =
      RunProgram({GetOptions().berthd.substr(0, GetOptions().berthd.rfind('/')) + "/berth", "-e",
                  Environment::Get().daemon().endpoint(), "doctor"})
          .output;
  EXPECT_THAT(doctor, HasSubstr("overlay"));
  EXPECT_THAT(doctor, HasSubstr("copied"));
  EXPECT_THAT(ReadFile(Environment::Get().daemon().log_file()), HasSubstr("copied"));
  const Pod pod;
  {
    Container container = Container::Run(pod, Server());
    EXPECT_EQ(
        container.Sh("echo changed > /etc/passwd; rm /etc/group; echo new > /new; cat /etc/passwd /new"),
        "changed\nnew");
    EXPECT_THAT(ListDir(config.root + "/containers/" + container.id()),
                testing::Not(testing::Contains("upper")));
    Environment::Get().daemon().Restart();
    EXPECT_EQ(container.Sh("cat /etc/passwd"), "changed");
    container.Stop(5);
    container.Remove();
  }
  EXPECT_THAT(ListDir(config.root + "/containers"), testing::IsEmpty());
  const std::string untouched = OutputOf(pod, Shell("cat /etc/passwd; ls -d /new /etc/group"), 1);
  EXPECT_THAT(untouched, HasSubstr("root:x:0:0"));
  EXPECT_THAT(untouched, HasSubstr("/etc/group"));
}

}  // namespace
}  // namespace berth::e2e
