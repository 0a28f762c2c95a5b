// SPDX-License-Identifier: Apache-2.0
// Exec and attach over a WebSocket: channels 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize.
#include "cri/streaming/protocols.h"
#include "cri/streaming/remote_client.h"
#include "cri/streaming/ws_channels.h"

namespace berth::cri::streaming {
namespace {

enum Channel : unsigned { kIn = 0, kOut = 1, kErr = 2, kError = 3, kResize = 4 };

class WsClient final : public RemoteClient, public std::enable_shared_from_this<WsClient> {
 public:
  WsClient(std::shared_ptr<Wire> wire, const Ticket& ticket, ClientOptions options)
      : wire_(std::move(wire)),
        options_(std::move(options)),
        version_(VersionOf(options_.protocol)),
        protocol_{IsBase64(options_.protocol), version_ >= 5},
        first_channel_(ticket.out   ? kOut
                       : ticket.err ? kErr
                                    : kError),
        in_(ticket.in),
        reader_(protocol_, {[this](unsigned channel, std::string_view part) { Data(channel, part); },
                            [this](unsigned channel) { HalfClosed(channel); }}) {}

  void Start(Events events) override {
    events_ = std::move(events);
    const auto self = shared_from_this();
    Wire::Events wired;
    wired.bytes = [self, this](std::string_view bytes, bool last) {
      if (auto fed = reader_.Feed(bytes, last); !fed.ok()) Lost(fed);
    };
    wired.writable = [self, this] {
      if (events_.writable) events_.writable();
    };
    wired.gone = [self, this](const absl::Status& why) { Lost(why); };
    wire_->Start(std::move(wired), std::move(options_.early), options_.idle_ns);
    // Clients of the older protocols wait for a message, which tells them that the streams are there.
    if (!protocol_.can_close) SendOn(first_channel_, "");
    events_.ready();
  }

  void Send(Output output, std::string bytes) override {
    SendOn(output == Output::kStdout ? kOut : kErr, std::move(bytes));
  }
  bool full() const override { return wire_->full(); }
  void HoldInput(bool hold) override { wire_->Hold(hold); }
  void Finish(const Outcome& outcome) override {
    if (std::string text = OutcomeText(outcome, version_); !text.empty()) SendOn(kError, std::move(text));
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Finish();
  }
  void Close() override {
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Close();
  }

 private:
  void SendOn(unsigned channel, std::string bytes) {
    auto message = MakeChannelMessage(protocol_, channel, std::move(bytes));
    wire_->Send(std::move(message.head), std::move(message.body));
  }
  void Data(unsigned channel, std::string_view part) {
    if (channel == kIn && in_ && events_.input) events_.input(part);
    if (channel != kResize) return;
    if (const auto size = sizes_.Feed(part); size && events_.resize) events_.resize(*size);
  }
  void HalfClosed(unsigned channel) {
    if (channel == kIn && std::exchange(in_, false) && events_.input_end) events_.input_end();
  }
  void Lost(const absl::Status& why) {
    const auto tell = events_.gone;
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Finish();
    if (tell) tell(why);
  }

  const std::shared_ptr<Wire> wire_;
  ClientOptions options_;
  const int version_;
  const ChannelProtocol protocol_;
  const unsigned first_channel_;
  bool in_;
  Events events_;
  ChannelReader reader_;
  ResizeReader sizes_;
};

}  // namespace

std::shared_ptr<RemoteClient> MakeWsClient(std::shared_ptr<Wire> wire, const Ticket& ticket,
                                           ClientOptions options) {
  return std::make_shared<WsClient>(std::move(wire), ticket, std::move(options));
}

}  // namespace berth::cri::streaming
