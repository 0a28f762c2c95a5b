// SPDX-License-Identifier: Apache-2.0
#include "monitor/connection.h"

#include "monitor/json_read.h"
#include "monitor/messages.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {
// A client that does not read is cut off rather than let it grow us.
constexpr std::size_t kMostWaiting = 4096;
}  // namespace

Connection::~Connection() {
  if (fd_) loop_.Unwatch(fd_.get());
}

base::Result<void> Connection::Open() {
  return loop_.Watch(fd_.get(), EPOLLIN, [this](std::uint32_t events) { OnEvents(events); });
}

void Connection::Watch() {
  const bool wanted = !queue_.empty();
  if (!fd_ || wanted == writing_) return;
  writing_ = wanted;
  (void)loop_.Watch(fd_.get(), wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
                    [this](std::uint32_t events) { OnEvents(events); });
}

void Connection::OnEvents(std::uint32_t events) {
  const auto self = shared_from_this();
  if ((events & EPOLLOUT) != 0) Flush();
  if (fd_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Receive();
}

void Connection::Receive() {
  auto packet = ReceivePacket(fd_.get());
  if (packet) return Handle(std::move(*packet));
  if (packet.error().err == EAGAIN) return;
  if (packet.error().err == EMSGSIZE) {
    Say("a request longer than a packet may be was dropped");
    return;
  }
  Close();
}

void Connection::Handle(Packet packet) {
  const auto request = ParseObject(packet.text);
  std::uint64_t seq = 0;
  std::string type;
  try {
    if (request) {
      Read(*request, "seq", seq);
      Read(*request, "type", type);
    }
  } catch (const nlohmann::json::exception&) {
    type.clear();
  }
  const std::weak_ptr<Connection> weak = weak_from_this();
  Reply reply;
  reply.ok = [weak, seq](nlohmann::json fields, std::vector<base::UniqueFd> fds) {
    if (fields.is_null()) fields = nlohmann::json::object();
    fields["seq"] = seq;
    if (const auto self = weak.lock()) self->Send(fields, std::move(fds));
  };
  reply.failed = [weak, seq](const ReplyError& error) {
    if (const auto self = weak.lock()) {
      self->Send({{"seq", seq},
                  {"error", {{"code", error.code}, {"stage", error.stage}, {"message", error.message}}}});
    }
  };
  if (!request || type.empty())
    return reply.failed({kErrInvalid, "", "not a request: a JSON object with seq and type"});
  if (!greeted_ && type != "hello") return reply.failed({kErrInvalid, "", "the first request is hello"});
  try {
    handlers_.request(shared_from_this(), type, *request, std::move(packet.fds), reply);
  } catch (const nlohmann::json::exception& wrong) {
    reply.failed({kErrInvalid, "", std::string("malformed request: ") + wrong.what()});
  }
}

void Connection::Send(const nlohmann::json& message, std::vector<base::UniqueFd> fds) {
  if (!fd_) return;
  queue_.push_back({Dump(message), std::move(fds)});
  Flush();
}

void Connection::Flush() {
  while (fd_ && !queue_.empty()) {
    std::vector<int> fds;
    for (const auto& fd : queue_.front().fds) fds.push_back(fd.get());
    auto sent = SendPacket(fd_.get(), queue_.front().text, fds);
    if (!sent && (sent.error().err == EAGAIN || sent.error().err == ENOBUFS)) {
      if (queue_.size() > kMostWaiting) return Close();
      break;
    }
    if (!sent && sent.error().err == EMSGSIZE) Say("a message too long to be sent was dropped");
    if (!sent && sent.error().err != EMSGSIZE) return Close();
    queue_.pop_front();
  }
  Watch();
}

void Connection::Close() {
  if (!fd_) return;
  loop_.Unwatch(fd_.get());
  fd_.Reset();
  queue_.clear();
  // Not from here: the caller may be in the middle of a request of this very connection.
  loop_.Post([self = shared_from_this()] { self->handlers_.closed(self); });
}

}  // namespace berth::monitor
