// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/status.h"
#include "monitor/client/client_impl.h"

namespace berth::monitor {
namespace {

class HubImpl : public Hub {
 public:
  ~HubImpl() override {
    const std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Open() {
    epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return base::SyscallError(errno, "epoll_create1");
    stop_.Reset(::eventfd(0, EFD_CLOEXEC));
    if (!stop_) return base::SyscallError(errno, "eventfd");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = 0;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0)
      return base::SyscallError(errno, "epoll_ctl");
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& pod_dir, ClientEvents events,
                                                  base::Deadline deadline) override {
    auto fd = ConnectAt(pod_dir, kSocketName);
    if (!fd) return absl::UnavailableError(base::ToStatus(fd.error()).message());
    auto connection = std::make_shared<ClientConnection>(std::move(*fd), std::move(events));
    if (auto added = Add(connection); !added.ok()) return added;
    auto client = std::make_unique<ClientImpl>(connection, [this](const auto& leaving) { Remove(leaving); });
    if (auto greeted = client->Hello(deadline); !greeted.ok()) return greeted;
    return client;
  }

  absl::StatusOr<base::ProcessIdentity> Launch(const LaunchOptions& options,
                                               base::Deadline deadline) override {
    return monitor::Launch(options, deadline);
  }

 private:
  absl::Status Add(const std::shared_ptr<ClientConnection>& connection) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t id = next_id_++;
    connections_[id] = connection;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd(), &event) == 0) return absl::OkStatus();
    connections_.erase(id);
    return base::SyscallError(errno, "epoll_ctl");
  }

  void Remove(const std::shared_ptr<ClientConnection>& connection) {
    const std::lock_guard lock(mutex_);
    for (auto at = connections_.begin(); at != connections_.end(); ++at) {
      if (at->second != connection) continue;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
      connections_.erase(at);
      return;
    }
  }

  void Run() {
    ::pthread_setname_np(::pthread_self(), "berth-monitors");
    for (;;) {
      epoll_event events[32];
      const int count = ::epoll_wait(epoll_.get(), events, 32, -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 == 0) return;
        std::shared_ptr<ClientConnection> connection;
        {
          const std::lock_guard lock(mutex_);
          const auto at = connections_.find(events[i].data.u64);
          if (at == connections_.end()) continue;
          connection = at->second;
        }
        if (!connection->OnReadable()) Remove(connection);
      }
    }
  }

  base::UniqueFd epoll_;
  base::UniqueFd stop_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<ClientConnection>> connections_;
  std::uint64_t next_id_ = 1;  // 0 is the stop event
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Hub>> Hub::Start() {
  auto hub = std::make_unique<HubImpl>();
  if (auto opened = hub->Open(); !opened.ok()) return opened;
  return hub;
}

}  // namespace berth::monitor
