// SPDX-License-Identifier: Apache-2.0
// Exec and attach over SPDY/3.1: a stream each for error, stdin, stdout, stderr and resize.
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <set>

#include "absl/strings/str_cat.h"
#include "cri/streaming/protocols.h"
#include "cri/streaming/remote_client.h"
#include "cri/streaming/spdy_session.h"

namespace berth::cri::streaming {
namespace {

constexpr auto kStreamsBy = std::chrono::seconds(30);
constexpr std::size_t kMaxStreams = 5;
constexpr char kTypeHeader[] = "streamtype";

class SpdyClient final : public RemoteClient, public std::enable_shared_from_this<SpdyClient> {
 public:
  SpdyClient(std::shared_ptr<Wire> wire, const Ticket& ticket, ClientOptions options)
      : wire_(std::move(wire)), options_(std::move(options)), version_(VersionOf(options_.protocol)) {
    missing_.insert("error");
    if (ticket.in) missing_.insert("stdin");
    if (ticket.out) missing_.insert("stdout");
    if (ticket.err) missing_.insert("stderr");
    // Version 3 brought the resize stream.
    constexpr int kHasResize = 3;
    if (ticket.tty && version_ >= kHasResize) missing_.insert("resize");
  }

  void Start(Events events) override {
    events_ = std::move(events);
    const auto self = shared_from_this();
    SpdySession::Events mine;
    mine.accepts = [this](const Headers& headers) {
      return missing_.contains(HeaderValue(headers, kTypeHeader));
    };
    mine.opened = [this](SpdySession::StreamId id, const Headers& headers) { Opened(id, headers); };
    mine.data = [this](SpdySession::StreamId id, std::string_view bytes) { Data(id, bytes); };
    mine.half_closed = [this](SpdySession::StreamId id) { HalfClosed(id); };
    // A client that leaves resets its streams before it closes the connection: no end of input, which a
    // terminal would take for the user's.
    mine.reset = [](SpdySession::StreamId) {};
    mine.send = [this](std::string head, std::string body) { wire_->Send(std::move(head), std::move(body)); };
    session_ = std::make_unique<SpdySession>(kMaxStreams, std::move(mine));
    Wire::Events wired;
    wired.bytes = [self, this](std::string_view bytes, bool) {
      if (auto fed = session_->Feed(bytes); !fed.ok()) Lost(fed);
    };
    wired.writable = [self, this] {
      if (events_.writable) events_.writable();
    };
    wired.silence = [self, this] { session_->Ping(); };
    wired.gone = [self, this](const absl::Status& why) { Lost(why); };
    timer_ = std::make_unique<boost::asio::steady_timer>(wire_->get_executor(), kStreamsBy);
    timer_->async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto client = weak.lock();
      if (error || client == nullptr || client->ready_) return;
      client->Lost(absl::DeadlineExceededError("the client did not open its streams within 30 s"));
    });
    wire_->Start(std::move(wired), std::move(options_.early), options_.idle_ns);
  }

  void Send(Output output, std::string bytes) override {
    session_->Send(output == Output::kStdout ? stdout_ : stderr_, std::move(bytes));
  }
  bool full() const override { return wire_->full(); }
  void HoldInput(bool hold) override { wire_->Hold(hold); }

  void Finish(const Outcome& outcome) override {
    // In this order, but for the first version's clients: those leave when the outputs end.
    if (version_ == 1) session_->Send(error_, OutcomeText(outcome, version_), /*fin=*/true);
    session_->Fin(stdout_);
    session_->Fin(stderr_);
    session_->Send(error_, OutcomeText(outcome, version_), /*fin=*/true);
    session_->Fin(stdin_);
    session_->Fin(resize_);
    session_->GoAway();
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Finish();
  }
  void Close() override {
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Close();
  }

 private:
  using StreamId = SpdySession::StreamId;

  void Opened(StreamId id, const Headers& headers) {
    const std::string type = HeaderValue(headers, kTypeHeader);
    missing_.erase(type);
    (type == "error"    ? error_
     : type == "stdin"  ? stdin_
     : type == "stdout" ? stdout_
     : type == "stderr" ? stderr_
                        : resize_) = id;
    if (!missing_.empty()) return;
    ready_ = true;
    timer_->cancel();
    events_.ready();
  }
  void Data(StreamId id, std::string_view bytes) {
    if (id == stdin_ && events_.input) events_.input(bytes);
    if (id != resize_) return;
    if (const auto size = sizes_.Feed(bytes); size && events_.resize) events_.resize(*size);
  }
  void HalfClosed(StreamId id) {
    if (id == stdin_ && events_.input_end) events_.input_end();
  }
  void Lost(const absl::Status& why) {
    const auto tell = events_.gone;
    DropLater(wire_->get_executor(), std::exchange(events_, {}));
    wire_->Finish();  // what is queued, a GOAWAY perhaps, may still reach it
    if (tell) tell(why);
  }

  const std::shared_ptr<Wire> wire_;
  ClientOptions options_;
  const int version_;
  Events events_;
  std::unique_ptr<SpdySession> session_;
  std::unique_ptr<boost::asio::steady_timer> timer_;
  std::set<std::string> missing_;                                          // stream types not opened yet
  StreamId error_ = 0, stdin_ = 0, stdout_ = 0, stderr_ = 0, resize_ = 0;  // 0 is no stream
  ResizeReader sizes_;
  bool ready_ = false;
};

}  // namespace

std::shared_ptr<RemoteClient> MakeSpdyClient(std::shared_ptr<Wire> wire, const Ticket& ticket,
                                             ClientOptions options) {
  return std::make_shared<SpdyClient>(std::move(wire), ticket, std::move(options));
}

}  // namespace berth::cri::streaming
