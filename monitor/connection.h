// SPDX-License-Identifier: Apache-2.0
// One client of a serving monitor.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "monitor/context.h"
#include "monitor/loop.h"
#include "monitor/packet.h"

namespace berth::monitor {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Handlers {
    std::function<void(const std::shared_ptr<Connection>&, const std::string& type,
                       const nlohmann::json& request, std::vector<base::UniqueFd> fds, Reply reply)>
        request;
    std::function<void(const std::shared_ptr<Connection>&)> closed;
  };
  Connection(Loop& loop, base::UniqueFd fd, Handlers handlers)
      : loop_(loop), fd_(std::move(fd)), handlers_(std::move(handlers)) {}
  ~Connection();
  base::Result<void> Open();
  void Send(const nlohmann::json& message, std::vector<base::UniqueFd> fds = {});
  bool greeted() const { return greeted_; }
  void set_greeted() { greeted_ = true; }

 private:
  struct Waiting {
    std::string text;
    std::vector<base::UniqueFd> fds;
  };
  void OnEvents(std::uint32_t events);
  void Receive();
  void Handle(Packet packet);
  void Flush();
  void Watch();
  void Close();

  Loop& loop_;
  base::UniqueFd fd_;
  Handlers handlers_;
  bool greeted_ = false;
  bool writing_ = false;
  std::deque<Waiting> queue_;
};

}  // namespace berth::monitor
