// SPDX-License-Identifier: Apache-2.0
#include "daemon/stop.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"

namespace berth::daemon {
namespace {
constexpr int kOrderlyEndMs = 10'000;
}  // namespace

StopSignals::StopSignals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  end_.Reset(::eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { Loop(); });
}

StopSignals::~StopSignals() {
  static_cast<void>(::eventfd_write(end_.get(), 1));
  thread_.join();
}

int StopSignals::Next(int timeout_ms) {
  pollfd fds[] = {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
  for (;;) {
    const int ready = ::poll(fds, 2, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0 || fds[1].revents != 0) return 0;
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) == sizeof info) return static_cast<int>(info.ssi_signo);
  }
}

void StopSignals::Loop() {
  ::pthread_setname_np(::pthread_self(), "berth-signals");
  const int signal = Next(-1);
  if (signal == 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (!serving_) {
      base::LogInfo("stopped while starting");
      ::_exit(0);
    }
    received_ = signal;
    changed_.notify_all();
  }
  const base::UniqueFd& end = end_;
  const int again = Next(kOrderlyEndMs);
  pollfd ended{end.get(), POLLIN, 0};
  if (again == 0 && ::poll(&ended, 1, 0) == 1) return;
  base::LogWarning(again == 0 ? "work is still under way; leaving it to the next start"
                              : "stopped a second time; leaving at once");
  ::_exit(0);
}

void StopSignals::Serving() {
  const std::lock_guard lock(mutex_);
  serving_ = true;
}

int StopSignals::WaitForStop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return received_ != 0; });
  return received_;
}

}  // namespace berth::daemon
