// SPDX-License-Identifier: Apache-2.0
// berthd as a program of the host: --check, readiness towards a service manager, what containers inherit.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
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
  ~Manager() {
    LetGo();
    ::close(fd_);
  }
  // A descriptor that comes along is kept: programs that are started inherit it.
  std::string Next() {
    char text[4096];
    iovec bytes{text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(fd_, &message, 0);
    if (got < 0) return "nothing within a minute";
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      LetGo();
      std::memcpy(&kept_, CMSG_DATA(header), sizeof kept_);
    }
    return std::string(text, static_cast<size_t>(got));
  }
  int kept() const { return kept_; }
  void LetGo() {
    if (kept_ >= 0) ::close(kept_);
    kept_ = -1;
  }
  // What starts a program as systemd does, with `fd` from its store.
  static std::vector<std::string> Launcher(int fd) {
    const std::string from = std::to_string(fd);
    return {"bash", "-c", "exec 3<&" + from + " " + from + R"(<&-; LISTEN_PID=$$ exec "$@")", "bash"};
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
  int kept_ = -1;
};

// -1 where nobody listens.
int ConnectTo(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = Manager::Address(path);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

bool Connects(const std::string& path) {
  const int fd = ConnectTo(path);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

ino_t InodeOf(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 ? facts.st_ino : 0;
}

TEST(Berthd, TellsTheServiceManagerThatItIsReadyOnceItServesAndNobodyElseSpeaksToIt) {
  BERTH_NEEDS_OWN_DAEMON();
  DaemonConfig config = Environment::Get().AnotherDaemon("notify");
  MakeDirs(config.dir);
  const std::string notify = config.dir + "/notify";
  Manager manager(notify);
  config.environment = {"NOTIFY_SOCKET=" + notify, "INVOCATION_ID=1"};
  const std::string socket = config.dir + "/run/berth.sock";
  // The first word after the socket was handed over, and whether it took connections at that very moment.
  auto ready = std::async(std::launch::async, [&] {
    manager.Next();
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
  manager.LetGo();
  Environment::Get().daemon().Start();
}

TEST(Berthd, WhoConnectsBetweenTwoOfThemIsServedByTheNext) {
  BERTH_NEEDS_OWN_DAEMON();
  DaemonConfig config = Environment::Get().AnotherDaemon("kept");
  MakeDirs(config.dir);
  Manager manager(config.dir + "/notify");
  config.environment = {"NOTIFY_SOCKET=" + config.dir + "/notify"};
  const std::string socket = config.dir + "/run/berth.sock";
  const ScopedDaemon scoped(config);
  Daemon& daemon = Environment::Get().daemon();
  EXPECT_THAT(Lines(manager.Next()), testing::ElementsAre("FDSTORE=1", "FDNAME=berth-socket"));
  ASSERT_GE(manager.kept(), 0);
  EXPECT_THAT(Lines(manager.Next()), Contains("READY=1"));
  const ino_t before = InodeOf(socket);

  daemon.Kill9();
  const int early = ConnectTo(socket);
  ASSERT_GE(early, 0) << "refused while no berthd was there";
  daemon.config().launcher = Manager::Launcher(manager.kept());
  daemon.config().environment.insert(daemon.config().environment.end(),
                                     {"LISTEN_FDS=1", "LISTEN_FDNAMES=berth-socket"});
  daemon.Start();
  pollfd answer{early, POLLIN, 0};
  EXPECT_EQ(::poll(&answer, 1, 60'000), 1);
  char frame[9] = {};
  EXPECT_EQ(::recv(early, frame, sizeof frame, MSG_WAITALL), 9);
  EXPECT_EQ(frame[3], 4) << "HTTP/2 begins with SETTINGS";
  ::close(early);
  EXPECT_EQ(InodeOf(socket), before);
  EXPECT_THAT(Lines(manager.Next()), Contains("READY=1")) << "what is kept is not handed over again";

  EXPECT_EQ(daemon.Terminate(), 0);
  EXPECT_THAT(Lines(manager.Next()), Contains("STOPPING=1"));
  EXPECT_TRUE(Connects(socket)) << "an orderly end leaves the socket to the next";
  manager.LetGo();  // the service is stopped for good
  EXPECT_FALSE(Connects(socket));
  daemon.config().launcher = config.launcher;
  daemon.config().environment = config.environment;
  daemon.Start();
  EXPECT_THAT(Lines(manager.Next()), Contains("FDSTORE=1")) << "nobody kept it: a new one";
}

TEST(Berthd, ASocketThatWasKeptForAnotherPathIsLetGo) {
  BERTH_NEEDS_OWN_DAEMON();
  DaemonConfig config = Environment::Get().AnotherDaemon("moved");
  MakeDirs(config.dir);
  Manager manager(config.dir + "/notify");
  const int other = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = Manager::Address(config.dir + "/former.sock");
  ASSERT_EQ(::bind(other, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(other, 5), 0);
  config.launcher = Manager::Launcher(other);
  config.environment = {"NOTIFY_SOCKET=" + config.dir + "/notify", "LISTEN_FDS=1",
                        "LISTEN_FDNAMES=berth-socket"};
  const ScopedDaemon scoped(config);  // which serves at the path that it was told
  ::close(other);
  EXPECT_THAT(Lines(manager.Next()), testing::ElementsAre("FDSTOREREMOVE=1", "FDNAME=berth-socket"));
  EXPECT_THAT(Lines(manager.Next()), Contains("FDSTORE=1"));
  EXPECT_FALSE(Connects(config.dir + "/former.sock")) << "berthd holds it no more";
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
