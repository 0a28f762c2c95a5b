// SPDX-License-Identifier: Apache-2.0
// Full disks: of the daemon's root, of the logs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// A file system of a few MiB that can be filled to the last byte and emptied again.
class SmallDisk {
 public:
  SmallDisk(const std::string& name, int mib) : path_(Environment::Get().dir() + "/" + name) {
    MakeDirs(path_);
    const std::string options = "size=" + std::to_string(mib) + "m";
    if (::mount("berth-e2e-disk", path_.c_str(), "tmpfs", 0, options.c_str()) != 0)
      throw TestError("cannot mount tmpfs");
  }
  ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  void Fill() const {
    const int fd = ::open((path_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string block(65536, 'x');
    while (::write(fd, block.data(), block.size()) > 0) {
    }
    while (::write(fd, "x", 1) > 0) {
    }
    ::close(fd);
  }
  void Empty() const { ::unlink((path_ + "/filler").c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Disk : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
};

TEST_F(Disk, AFullRootIsToldAndEverythingWorksOnceThereIsRoom) {
  const SmallDisk disk("small-root", 96);
  DaemonConfig config = Environment::Get().AnotherDaemon("daemon-disk");
  config.root = disk.path() + "/root";
  {
    const ScopedDaemon daemon(config);
    Environment::Get().registry().Push("python", "big:1");
    const Pod pod;
    const Container lives = Container::Run(pod, Faults({"term", "23"}));
    lives.WaitLine("ready");
    disk.Fill();
    // A pull fails with the kernel's reason and leaves nothing.
    cri::PullImageRequest pull;
    pull.mutable_image()->set_image(Registry::Name("big:1"));
    const absl::Status pulled = Cri().PullImage(pull).status();
    ASSERT_FALSE(pulled.ok());
    EXPECT_THAT(std::string(pulled.message()), testing::ContainsRegex("[Nn]o space left|disk full"));
    // What ran before dies right, and its record stands.
    lives.Stop(10);
    EXPECT_EQ(lives.Status().exit_code(), 23);
    EXPECT_EQ(lives.Status().reason(), "Error");
    // A new container fails or works, but a failure says why, and frees its name.
    const cri::ContainerConfig next = Server();
    MakeDirs(pod.config().log_directory() + "/" + next.metadata().name());
    const auto created = Cri().CreateContainer(CreateRequest(pod, next));
    if (!created.ok()) {
      EXPECT_THAT(std::string(created.status().message()), testing::ContainsRegex("[Nn]o space left|disk"));
    }
    disk.Empty();
    if (created.ok())
      Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
    EXPECT_EQ(lives.Status().exit_code(), 23);
    const Container after = Container::Run(pod, next);
    EXPECT_EQ(after.Sh("echo fine"), "fine");
    Must(Cri().PullImage(pull));
    Environment::Get().daemon().Restart();
    EXPECT_EQ(lives.Status().exit_code(), 23) << "also after a restart";
  }
}

TEST_F(Disk, AFullRootKeepsNothingFromBeingStoppedAndRemoved) {
  const SmallDisk disk("small-root-3", 96);
  DaemonConfig config = Environment::Get().AnotherDaemon("daemon-disk-3");
  config.root = disk.path() + "/root";
  {
    const ScopedDaemon daemon(config);
    Pod pod;
    Container stopped = Container::Run(pod, Faults({"term", "5"})), running = Container::Run(pod, Server());
    stopped.WaitLine("ready");
    disk.Fill();
    stopped.Stop(10);
    EXPECT_EQ(stopped.Status().exit_code(), 5);
    stopped.Remove();
    disk.Fill();  // what the removal gave back
    pod.Stop();
    EXPECT_EQ(running.Status().state(), cri::CONTAINER_EXITED);
    disk.Fill();
    pod.Remove();
    EXPECT_EQ(Must(Cri().ListPodSandbox({})).items_size(), 0);
    disk.Fill();
    disk.Empty();
    Environment::Get().daemon().Restart();
    WaitFor("what was removed to stay away",
            [&] { return Must(Cri().ListPodSandbox({})).items_size() == 0; });
    const Pod after;
    EXPECT_EQ(OutputOf(after, Shell("echo fine")), "fine");
  }
}

TEST_F(Disk, ExitsWhileTheRootIsFullAndTheDaemonDeadAreRight) {
  const SmallDisk disk("small-root-2", 96);
  DaemonConfig config = Environment::Get().AnotherDaemon("daemon-disk-2");
  config.root = disk.path() + "/root";
  {
    const ScopedDaemon daemon(config);
    const Pod pod;
    std::vector<Container> containers;
    for (int code = 0; code < 5; ++code) {
      containers.push_back(
          Container::Run(pod, Faults({"after", "2000", "--", "exit", std::to_string(40 + code)})));
    }
    Environment::Get().daemon().Kill9();
    disk.Fill();
    // On the full disk in the space kept for them, or else beside it.
    const std::string state = Environment::Get().daemon().state();
    WaitFor("the exit records", [&] {
      return std::all_of(containers.begin(), containers.end(), [&](const Container& c) {
        const std::string path = "/pods/" + pod.id() + "/containers/" + c.id() + "/exit.json";
        return Exists(config.root + path) || Exists(state + path);
      });
    });
    disk.Empty();
    Environment::Get().daemon().Start();
    for (int code = 0; code < 5; ++code) {
      EXPECT_EQ(containers[static_cast<size_t>(code)].WaitExit().exit_code(), 40 + code);
    }
  }
}

TEST_F(Disk, AFullLogDiskNeverStallsTheApplicationAndTheGapIsTold) {
  const SmallDisk disk("small-logs", 1);
  cri::PodSandboxConfig config = PodConfig();
  config.set_log_directory(disk.path() + "/pod");
  const Pod pod(config);
  const Container container = Container::Run(pod, Faults({"chatter", "2000", "500"}));  // 1 MB per second
  container.WaitLine("line ");
  const auto written = [pid = container.Pid()] {
    const std::string text = ReadFile("/proc/" + std::to_string(pid) + "/io");
    return std::stoll(text.substr(text.find("wchar:") + 6));
  };
  disk.Fill();
  const long long wanted = written() + 3000000;  // what it says in three seconds
  WaitFor("the application to go on", [&] { return written() >= wanted; });
  disk.Empty();
  const size_t before = container.Output().size();
  WaitFor("lines again", [&] { return container.Output().size() > before; });
  const std::string last = container.Output("stdout").back();
  long number = -1, at = 0, longest = 0;
  ASSERT_EQ(sscanf(last.c_str(), "line %ld at %ld longest %ld", &number, &at, &longest), 3) << last;
  EXPECT_LT(longest, Patient(1000)) << "ms that the application was made to wait";
  EXPECT_GT(number, 4000) << "it went on while the disk was full";
  EXPECT_THAT(container.Text(), testing::ContainsRegex("dropped|lost"))
      << "the log says that something is missing";
}

}  // namespace
}  // namespace berth::e2e
