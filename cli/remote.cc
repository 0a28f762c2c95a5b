// SPDX-License-Identifier: Apache-2.0
#include "cli/remote.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <deque>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/web_socket.h"
#include "cri/streaming/ws_channels.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

enum Channel : unsigned { kIn = 0, kOut = 1, kErr = 2, kError = 3, kResize = 4, kClose = 255 };
constexpr std::size_t kReadBytes = 32 * 1024;

// Keys go to the other side as they are pressed, for as long as this lives.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

// What the error channel said: an exit code, or why there is none.
absl::StatusOr<int> ReadOutcome(const std::string& text) {
  const auto status = nlohmann::json::parse(text, nullptr, false);
  if (!status.is_object())
    return absl::InternalError(text.empty() ? "the session ended without a word about how" : text);
  if (status.value("status", "") == "Success") return 0;
  const std::string message = status.value("message", "the session failed");
  if (status.value("reason", "") != "NonZeroExitCode") return absl::UnknownError(message);
  int code = 1;
  const auto details = status.value("details", nlohmann::json::object());
  for (const auto& cause : details.value("causes", nlohmann::json::array())) {
    if (cause.value("reason", "") == "ExitCode") (void)absl::SimpleAtoi(cause.value("message", ""), &code);
  }
  return code;
}

class Session {
 public:
  Session(asio::io_context& io, WebSocket& web, const RemoteStreams& streams)
      : io_(io),
        web_(web),
        streams_(streams),
        signals_(io),
        reader_({false, true},
                {[this](unsigned channel, std::string_view part) { Data(channel, part); }, [](unsigned) {}}) {
  }

  absl::StatusOr<int> Run() {
    if (streams_.tty) {
      signals_.add(SIGWINCH);
      SendSize();
      WatchSize();
    }
    Read();
    if (streams_.input) {
      // Not joined: it may sit in a read of the keyboard for ever.
      std::thread([this] {
        streams_.input([this](std::string_view bytes) { return Push(kIn, std::string(bytes)); });
        (void)Push(kClose, std::string(1, '\0'));
      }).detach();
    }
    io_.run();
    if (!failure_.ok()) return failure_;
    return ReadOutcome(outcome_);
  }

 private:
  void Read() {
    web_.stream.async_read_some(asio::buffer(buffer_), [this](error_code error, std::size_t got) {
      if (error) return End(error);
      const auto fed = reader_.Feed({buffer_.data(), got}, web_.stream.is_message_done());
      if (!fed.ok() && failure_.ok()) failure_ = fed;
      failure_.ok() ? Read() : io_.stop();
    });
  }

  void End(const error_code& error) {
    if (error != websocket::error::closed && outcome_.empty() && failure_.ok())
      failure_ = absl::UnavailableError(
          absl::StrCat("the connection to the streaming server broke: ", error.message()));
    io_.stop();
  }

  void Data(unsigned channel, std::string_view part) {
    if (channel == kError) outcome_ += part;
    const auto& sink = channel == kOut ? streams_.out : streams_.err;
    if ((channel != kOut && channel != kErr) || !sink || !failure_.ok()) return;
    failure_ = sink(part);
  }

  // From the thread of the input: waits until it is sent.
  bool Push(unsigned channel, std::string bytes) {
    auto sent = std::make_shared<std::promise<bool>>();
    auto result = sent->get_future();
    asio::post(io_, [this, channel, sent, bytes = std::move(bytes)]() mutable {
      Send(channel, std::move(bytes), [sent](bool ok) { sent->set_value(ok); });
    });
    try {
      return result.get();
    } catch (const std::future_error&) {  // the session is over
      return false;
    }
  }

  // One message at a time is written: further ones wait.
  void Send(unsigned channel, std::string bytes, std::function<void(bool)> then) {
    auto message = streaming::MakeChannelMessage({}, channel, std::move(bytes));
    queue_.push_back({std::move(message), std::move(then)});
    if (queue_.size() == 1) Write();
  }
  void Write() {
    const auto& message = queue_.front().message;
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(message.head), asio::buffer(message.body)};
    web_.stream.async_write(buffers, [this](error_code error, std::size_t) {
      const auto then = std::move(queue_.front().then);
      queue_.pop_front();
      if (then) then(!error);
      if (!error && !queue_.empty()) Write();
    });
  }

  void SendSize() {
    winsize window{};
    if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return;
    Send(kResize, absl::StrCat("{\"Width\":", window.ws_col, ",\"Height\":", window.ws_row, "}\n"), nullptr);
  }
  void WatchSize() {
    signals_.async_wait([this](error_code error, int) {
      if (error) return;
      SendSize();
      WatchSize();
    });
  }

  struct Waiting {
    streaming::ChannelMessage message;
    std::function<void(bool)> then;
  };
  asio::io_context& io_;
  WebSocket& web_;
  const RemoteStreams& streams_;
  asio::signal_set signals_;
  streaming::ChannelReader reader_;
  std::array<char, kReadBytes> buffer_;
  std::deque<Waiting> queue_;
  std::string outcome_;
  absl::Status failure_;
};

// Never taken down: the thread that reads the input may come back to it at any time. Remembered, so that the
// leak checker sees that it is meant.
template <typename T>
T& KeepForEver(T* object) {
  static auto& kept = *new std::vector<const void*>;
  kept.push_back(object);
  return *object;
}

absl::Status WriteAll(int fd, std::string_view bytes) { return base::ToStatus(base::WriteAll(fd, bytes)); }

}  // namespace

absl::StatusOr<int> RunRemote(const std::string& url, const RemoteStreams& streams) {
  auto& io = KeepForEver(new asio::io_context(1));
  auto web = OpenWebSocket(io, url);
  if (!web.ok()) return web.status();
  std::optional<RawTerminal> raw;
  if (streams.tty) raw.emplace();
  auto& session =
      KeepForEver(new Session(io, KeepForEver(web->release()), KeepForEver(new RemoteStreams(streams))));
  return session.Run();
}

RemoteStreams StandardStreams(bool input, bool tty) {
  RemoteStreams streams;
  streams.tty = tty;
  if (input) {
    streams.input = [](const std::function<bool(std::string_view)>& push) {
      std::array<char, kReadBytes> buffer;
      for (;;) {
        const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || !push({buffer.data(), static_cast<std::size_t>(got)})) return;
      }
    };
  }
  streams.out = [](std::string_view bytes) { return WriteAll(STDOUT_FILENO, bytes); };
  streams.err = [](std::string_view bytes) { return WriteAll(STDERR_FILENO, bytes); };
  return streams;
}

}  // namespace berth::cli
