// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "cri/streaming/forward_session.h"
#include "cri/streaming/ws_channels.h"

namespace berth::cri::streaming {
namespace {

constexpr auto kTick = std::chrono::seconds(5);
constexpr unsigned kCloseChannel = 255;
// A channel of the base64 protocols is one digit.
constexpr std::size_t kMaxPortsOfDigits = 5;

class ChannelForward final : public std::enable_shared_from_this<ChannelForward> {
 public:
  ChannelForward(ForwardParts parts, const std::string& protocol, std::function<void()> done)
      : parts_(std::move(parts)),
        protocol_{IsBase64(protocol), VersionOf(protocol) >= 5},
        done_(std::move(done)),
        clock_(parts_.thread),
        reader_(protocol_, {[this](unsigned channel, std::string_view part) { Data(channel, part); },
                            [this](unsigned channel) { HalfClosed(channel); }}) {}

  void Start() {
    const auto self = shared_from_this();
    Wire::Events wired;
    wired.bytes = [self](std::string_view bytes, bool last) {
      if (auto fed = self->reader_.Feed(bytes, last); !fed.ok()) self->Leave(fed);
    };
    wired.writable = [self] {
      for (const auto& tunnel : std::vector(self->tunnels_)) {
        if (tunnel != nullptr) tunnel->Resume();
      }
    };
    wired.gone = [self](const absl::Status& why) { self->Leave(why); };
    Watch();
    const bool named =
        parts_.ticket.ports.size() <= (protocol_.base64 ? kMaxPortsOfDigits : kMaxForwardPorts);
    if (!named) parts_.ticket.ports.clear();
    parts_.wire->Start(std::move(wired), std::move(parts_.early), parts_.idle_ns);
    for (unsigned i = 0; i < parts_.ticket.ports.size(); ++i) {
      const std::uint16_t port = parts_.ticket.ports[i];
      const std::string bytes{static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
      Send(2 * i, bytes);
      Send(2 * i + 1, bytes);
      tunnels_.push_back(MakeTunnel(i, port));
    }
    living_ = tunnels_.size();
    for (const auto& tunnel : std::vector(tunnels_)) tunnel->Start();
    if (living_ == 0)
      Leave(absl::InvalidArgumentError(named ? "no port was asked for" : "more ports than channels"));
  }

 private:
  std::shared_ptr<Tunnel> MakeTunnel(unsigned i, std::uint16_t port) {
    const auto self = shared_from_this();
    Tunnel::Events events;
    events.data = [self, i](std::string bytes) {
      self->Send(2 * i, std::move(bytes));
      return !self->parts_.wire->full();
    };
    events.data_end = [self, i] { self->PodEnded(i); };
    events.writable = [self] { self->HoldIfFull(); };
    events.failed = [self, i, port](const absl::Status& why) {
      self->Send(2 * i + 1, absl::StrCat("error forwarding port ", port, ": ", why.message()));
      self->Over(i);
    };
    events.done = [self, i] { self->Over(i); };
    return std::make_shared<Tunnel>(Tunnel::Parts{parts_.thread, parts_.executor, parts_.make_socket, port},
                                    std::move(events));
  }

  void Send(unsigned channel, std::string bytes) {
    auto message = MakeChannelMessage(protocol_, channel, std::move(bytes));
    parts_.wire->Send(std::move(message.head), std::move(message.body));
  }

  void Data(unsigned channel, std::string_view part) {
    if (channel % 2 != 0 || channel / 2 >= tunnels_.size() || tunnels_[channel / 2] == nullptr) return;
    tunnels_[channel / 2]->Write(part);
    HoldIfFull();
  }

  void HoldIfFull() {
    bool full = false;
    for (const auto& tunnel : tunnels_) full = full || (tunnel != nullptr && tunnel->full());
    parts_.wire->Hold(full);
  }

  void HalfClosed(unsigned channel) {
    if (channel % 2 == 0 && channel / 2 < tunnels_.size() && tunnels_[channel / 2] != nullptr)
      tunnels_[channel / 2]->EndWriting();
  }

  void PodEnded(unsigned i) {
    if (protocol_.can_close) {
      Send(kCloseChannel, std::string(1, static_cast<char>(2 * i)));
    } else {
      Over(i);  // no way to tell the client of one direction
    }
  }

  void Over(unsigned i) {
    const auto tunnel = std::exchange(tunnels_[i], nullptr);
    if (tunnel == nullptr) return;
    tunnel->Close();
    HoldIfFull();
    if (--living_ == 0) Leave(absl::OkStatus());
  }

  void Watch() {
    clock_.expires_after(kTick);
    clock_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (error || self->done_ == nullptr) return;
      if (!self->parts_.pod_lives())
        return self->Leave(absl::CancelledError("the pod is not ready any more"));
      self->Watch();
    });
  }

  void Leave(const absl::Status& why) {
    const auto done = std::exchange(done_, nullptr);
    if (done == nullptr) return;
    base::LogDebug("a port-forward session ended", {{"pod", parts_.ticket.pod_id}, {"why", why}});
    clock_.cancel();
    for (const auto& tunnel : tunnels_) {
      if (tunnel != nullptr) tunnel->Close();
    }
    parts_.wire->Finish();
    done();
  }

  ForwardParts parts_;
  const ChannelProtocol protocol_;
  std::function<void()> done_;
  boost::asio::steady_timer clock_;
  ChannelReader reader_;
  std::vector<std::shared_ptr<Tunnel>> tunnels_;  // by port; null when over
  std::size_t living_ = 0;
};

}  // namespace

void ForwardOverChannels(ForwardParts parts, const std::string& protocol, std::function<void()> done) {
  std::make_shared<ChannelForward>(std::move(parts), protocol, std::move(done))->Start();
}

}  // namespace berth::cri::streaming
