// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "cri/streaming/forward_session.h"
#include "cri/streaming/spdy_session.h"

namespace berth::cri::streaming {
namespace {

using StreamId = SpdySession::StreamId;

constexpr std::size_t kMaxStreams = 2048;  // two for each connection
constexpr std::int64_t kPairByNs = 30 * base::kSecondNs;
constexpr auto kTick = std::chrono::seconds(5);

class SpdyForward final : public std::enable_shared_from_this<SpdyForward> {
 public:
  SpdyForward(ForwardParts parts, std::function<void()> done)
      : parts_(std::move(parts)), done_(std::move(done)), clock_(parts_.thread) {}

  void Start() {
    const auto self = shared_from_this();
    SpdySession::Events mine;
    mine.accepts = [](const Headers& headers) {
      const std::string type = HeaderValue(headers, "streamtype");
      return (type == "error" || type == "data") && PortOf(headers) != 0;
    };
    mine.opened = [this](StreamId id, const Headers& headers) { Opened(id, headers); };
    mine.data = [this](StreamId id, std::string_view bytes) { Data(id, bytes); };
    mine.half_closed = [this](StreamId id) {
      if (const auto pair = Find(id); pair != nullptr && pair->data == id && pair->tunnel != nullptr)
        pair->tunnel->EndWriting();
    };
    mine.reset = [this](StreamId id) {
      if (const auto pair = Find(id); pair != nullptr && pair->data == id) End(pair);
    };
    mine.send = [this](std::string head, std::string body) {
      parts_.wire->Send(std::move(head), std::move(body));
    };
    session_ = std::make_unique<SpdySession>(kMaxStreams, std::move(mine));
    Wire::Events wired;
    wired.bytes = [self](std::string_view bytes, bool) {
      if (auto fed = self->session_->Feed(bytes); !fed.ok()) self->Leave(fed);
    };
    wired.writable = [self] {
      for (const auto& [key, pair] : std::map(self->pairs_)) {
        if (pair->tunnel != nullptr) pair->tunnel->Resume();
      }
    };
    wired.silence = [self] { self->session_->Ping(); };
    wired.gone = [self](const absl::Status& why) { self->Leave(why); };
    Watch();
    parts_.wire->Start(std::move(wired), std::move(parts_.early), parts_.idle_ns);
  }

 private:
  struct Pair {
    std::string key;
    StreamId error = 0;
    StreamId data = 0;
    std::uint16_t port = 0;
    std::int64_t since_ns = base::MonotonicNs();
    std::shared_ptr<Tunnel> tunnel;
  };
  using PairPtr = std::shared_ptr<Pair>;

  static std::uint16_t PortOf(const Headers& headers) {
    int port = 0;
    if (!absl::SimpleAtoi(HeaderValue(headers, "port"), &port) || port < 1 || port > UINT16_MAX) return 0;
    return static_cast<std::uint16_t>(port);
  }

  PairPtr Find(StreamId id) const {
    const auto at = by_stream_.find(id);
    return at == by_stream_.end() ? nullptr : at->second;
  }

  void Opened(StreamId id, const Headers& headers) {
    const bool is_error = HeaderValue(headers, "streamtype") == "error";
    // Clients of old give no id: theirs open the error stream and then the data stream.
    std::string key = HeaderValue(headers, "requestid");
    if (key.empty()) key = absl::StrCat("stream ", is_error ? id : id - 2);
    PairPtr& pair = pairs_[key];
    if (pair == nullptr) {
      pair = std::make_shared<Pair>();
      pair->key = key;
    }
    StreamId& place = is_error ? pair->error : pair->data;
    if (place != 0) {
      session_->Send(pair->error, absl::StrCat("the ", is_error ? "error" : "data", " stream of request '",
                                               key, "' is there already"));
      return session_->Reset(id, ResetReason::kProtocolError);
    }
    place = id;
    by_stream_[id] = pair;
    if (!is_error) pair->port = PortOf(headers);
    if (pair->error != 0 && pair->data != 0) Connect(pair);
  }

  void Connect(const PairPtr& pair) {
    const auto self = shared_from_this();
    Tunnel::Events events;
    events.data = [self, pair](std::string bytes) {
      self->session_->Send(pair->data, std::move(bytes));
      return !self->parts_.wire->full();
    };
    events.data_end = [self, pair] { self->session_->Fin(pair->data); };
    events.writable = [self, pair] { self->LetGo(pair); };
    events.failed = [self, pair](const absl::Status& why) {
      self->session_->Send(pair->error,
                           absl::StrCat("error forwarding port ", pair->port, ": ", why.message()));
      self->session_->Reset(pair->data, ResetReason::kInternalError);
      self->End(pair);
    };
    events.done = [self, pair] { self->End(pair); };
    pair->tunnel = std::make_shared<Tunnel>(
        Tunnel::Parts{parts_.thread, parts_.executor, parts_.make_socket, pair->port}, std::move(events));
    pair->tunnel->Start();
  }

  void Data(StreamId id, std::string_view bytes) {
    const auto pair = Find(id);
    if (pair == nullptr || pair->data != id || pair->tunnel == nullptr) return;
    pair->tunnel->Write(bytes);
    if (!pair->tunnel->full()) return;
    // SPDY as its clients speak it cannot hold one stream: all wait.
    full_.insert(pair);
    parts_.wire->Hold(true);
  }

  void LetGo(const PairPtr& pair) {
    full_.erase(pair);
    if (full_.empty()) parts_.wire->Hold(false);
  }

  void End(const PairPtr& pair) {
    if (pair->tunnel != nullptr) pair->tunnel->Close();
    session_->Fin(pair->data);
    session_->Fin(pair->error);
    by_stream_.erase(pair->data);
    by_stream_.erase(pair->error);
    pairs_.erase(pair->key);
    LetGo(pair);
  }

  void Watch() {
    clock_.expires_after(kTick);
    clock_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (error || self->done_ == nullptr) return;
      if (!self->parts_.pod_lives())
        return self->Leave(absl::CancelledError("the pod is not ready any more"));
      const std::int64_t now = base::MonotonicNs();
      for (const auto& [key, pair] : std::map(self->pairs_)) {
        if (pair->tunnel != nullptr || now - pair->since_ns < kPairByNs) continue;
        self->session_->Send(pair->error, "the other stream of this request did not come within 30 s");
        self->End(pair);
      }
      self->Watch();
    });
  }

  void Leave(const absl::Status& why) {
    const auto done = std::exchange(done_, nullptr);
    if (done == nullptr) return;
    base::LogDebug("a port-forward session ended", {{"pod", parts_.ticket.pod_id}, {"why", why}});
    clock_.cancel();
    for (const auto& [key, pair] : pairs_) {
      if (pair->tunnel != nullptr) pair->tunnel->Close();
    }
    parts_.wire->Finish();
    DropLater(parts_.thread, std::exchange(pairs_, {}));
    done();
  }

  ForwardParts parts_;
  std::function<void()> done_;
  boost::asio::steady_timer clock_;
  std::unique_ptr<SpdySession> session_;
  std::map<std::string, PairPtr> pairs_;
  std::map<StreamId, PairPtr> by_stream_;
  std::set<PairPtr> full_;
};

}  // namespace

void ForwardOverSpdy(ForwardParts parts, std::function<void()> done) {
  std::make_shared<SpdyForward>(std::move(parts), std::move(done))->Start();
}

}  // namespace berth::cri::streaming
