// SPDX-License-Identifier: Apache-2.0
#include "daemon/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"

namespace berth::daemon {
namespace {

// systemd's end of NOTIFY_SOCKET.
class Systemd {
 public:
  explicit Systemd(const char* period_us) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "berth-test-watchdog-" + std::to_string(::getpid());
    std::memcpy(address.sun_path + 1, name.data(), name.size());  // abstract
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
    ::setenv("WATCHDOG_USEC", period_us, 1);
  }
  ~Systemd() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }
  std::string Next(int timeout_ms) const {
    pollfd fd{socket_.get(), POLLIN, 0};
    char text[256];
    if (::poll(&fd, 1, timeout_ms) <= 0) return "";
    const ssize_t size = ::recv(socket_.get(), text, sizeof text, 0);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : "";
  }

 private:
  const base::UniqueFd socket_;
};

TEST(WatchdogTest, NotifiesAgainAndAgainWhileAlive) {
  const Systemd systemd("30000");
  const Watchdog watchdog([](std::int64_t timeout_ns) {
    EXPECT_EQ(timeout_ns, 10'000'000);
    return absl::OkStatus();
  });
  EXPECT_EQ(systemd.Next(10'000), "WATCHDOG=1");
  EXPECT_EQ(systemd.Next(10'000), "WATCHDOG=1");
}

TEST(WatchdogTest, SaysNothingWhileItIsNotAlive) {
  const Systemd systemd("3000");
  std::atomic<int> asked{0};
  {
    const Watchdog watchdog([&](std::int64_t) {
      ++asked;
      return absl::DeadlineExceededError("no answer");
    });
    while (asked < 3) ::usleep(1000);
  }
  EXPECT_EQ(systemd.Next(0), "");
}

TEST(WatchdogTest, WithoutSystemdItAsksNobody) {
  const Watchdog watchdog([](std::int64_t) {
    ADD_FAILURE();
    return absl::OkStatus();
  });
}

TEST(WatchdogTest, NobodyAnswersOnASocketThatIsNotThere) {
  EXPECT_FALSE(CallOwnSocket("/nonexistent/berth.sock", 1'000'000'000).ok());
}

}  // namespace
}  // namespace berth::daemon
