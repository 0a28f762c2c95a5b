// SPDX-License-Identifier: Apache-2.0
// berthd as a program of the host: --check, readiness towards a service manager, what containers inherit.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <future>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;

RunResult Check(const std::string& toml) {
  const std::string file = Environment::Get().dir() + "/check.toml";
  WriteFile(file, toml);
  return RunProgram({GetOptions().berthd, "--config", file, "--check"});
}

TEST(Berthd, CheckSaysThatAConfigurationIsValidAndTouchesNothing) {
  BERTH_NEEDS_OWN_DAEMON();
  const std::string root = Environment::Get().dir() + "/never-made";
  const RunResult result = Check("root = \"" + root + "\"\nstate = \"" + root + "-state\"\n");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("valid"));
  EXPECT_FALSE(Exists(root));
  EXPECT_FALSE(Exists(root + "-state"));
}

TEST(Berthd, CheckNamesEveryProblemWithItsFileAndLineAndFails) {
  BERTH_NEEDS_OWN_DAEMON();
  const RunResult result = Check("root = \"/x\"\n\n[grpc]\nsockett = \"/y\"\n\n[log]\nlevel = \"loud\"\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("check.toml:4"));
  EXPECT_THAT(result.output, HasSubstr("sockett"));
  EXPECT_THAT(result.output, HasSubstr("check.toml:7"));
  EXPECT_THAT(result.output, HasSubstr("loud"));
  EXPECT_THAT(Check("root = \n").output, HasSubstr("check.toml:1"));
  const RunResult missing =
      RunProgram({GetOptions().berthd, "--config", Environment::Get().dir() + "/no-such.toml", "--check"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, HasSubstr("no-such.toml"));
}

// A service manager's end of NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(std::string path) : path_(std::move(path)) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = Address(path_);
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw TestError("cannot bind " + path_);
    const timeval patience{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Manager() { ::close(fd_); }
  std::string Next() const {
    char text[4096];
    const ssize_t got = ::recv(fd_, text, sizeof text, 0);
    return got < 0 ? "nothing within a minute" : std::string(text, static_cast<size_t>(got));
  }
  static sockaddr_un Address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }

 private:
  std::string path_;
  int fd_;
};

bool Connects(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = Manager::Address(path);
  const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

TEST(Berthd, TellsTheServiceManagerThatItIsReadyOnceItServesAndNobodyElseSpeaksToIt) {
  BERTH_NEEDS_OWN_DAEMON();
  DaemonConfig config = Environment::Get().AnotherDaemon("notify");
  MakeDirs(config.dir);
  const std::string notify = config.dir + "/notify";
  const Manager manager(notify);
  config.environment = {"NOTIFY_SOCKET=" + notify, "INVOCATION_ID=1"};
  const std::string socket = config.dir + "/run/berth.sock";
  // The first word, and whether the socket took connections at that very moment.
  auto ready = std::async(std::launch::async, [&] {
    std::string first = manager.Next();
    const bool connects = Connects(socket);
    return std::pair(std::move(first), connects);
  });
  const ScopedDaemon daemon(config);
  const auto [word, serving] = ready.get();
  EXPECT_THAT(Lines(word), Contains("READY=1"));
  EXPECT_TRUE(serving);
  {
    // runc would hand the socket on to its container, and wait for a word from it.
    const Pod pod;
    const Container container = Container::Run(pod, Server());
    const std::string monitor =
        Trim(ReadFile(Environment::Get().daemon().state() + "/pods/" + pod.id() + "/monitor.pid"));
    EXPECT_THAT(ReadFile("/proc/" + monitor + "/environ"), testing::Not(HasSubstr("NOTIFY_SOCKET")));
    EXPECT_THAT(ReadFile("/proc/" + std::to_string(container.Pid()) + "/environ"),
                testing::Not(HasSubstr("NOTIFY_SOCKET")));
    EXPECT_THAT(container.Sh("ls /run"), testing::Not(HasSubstr("notify")));
  }
  EXPECT_EQ(Environment::Get().daemon().Terminate(), 0);
  EXPECT_THAT(Lines(manager.Next()), Contains("STOPPING=1"));
  Environment::Get().daemon().Start();
}

TEST(Berthd, ContainersHaveTheDescriptorLimitThatItWasStartedWith) {
  BERTH_NEEDS_OWN_DAEMON();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(before.rlim_max, 777);
  for (const std::string handler : {"crun", "runc"}) {
    SCOPED_TRACE(handler);
    DaemonConfig config = Environment::Get().AnotherDaemon("limits-" + handler);
    config.handler = handler;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    const ScopedDaemon daemon(config);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    const std::string own =
        ReadFile("/proc/" + std::to_string(Environment::Get().daemon().pid()) + "/limits");
    const Pod pod;
    const Container container = Container::Run(pod, Server());
    for (const std::string& line : Lines(own)) {
      if (line.rfind("Max open files", 0) == 0) {
        EXPECT_THAT(line, testing::Not(HasSubstr(" 777 "))) << "its own is raised";
      }
    }
    // runc before 1.1.13 limits an exec while that one's Go may still be raising its own soft limit.
    if (handler != "runc") {
      EXPECT_EQ(container.Sh("ulimit -Sn"), "777");
    }
    EXPECT_EQ(container.Sh("sed -n 's/^Max open files *\\([0-9]*\\) .*/\\1/p' /proc/1/limits"), "777");
  }
}

}  // namespace
}  // namespace berth::e2e
