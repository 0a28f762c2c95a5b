// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/command_session.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;

// What makes a terminal's reader see the end: twice, since the first one only ends a line that has begun.
std::string EndOfFile(int terminal) {
  termios settings{};
  if (::tcgetattr(terminal, &settings) != 0 || settings.c_cc[VEOF] == 0) return "";
  return std::string(2, static_cast<char>(settings.c_cc[VEOF]));
}

}  // namespace

void CommandSession::Start(std::function<void()> done) {
  done_ = std::move(done);
  RemoteClient::Events events;
  const auto self = shared_from_this();
  events.ready = [self] { self->OnReady(); };
  events.input = [self](std::string_view bytes) { self->OnInput(bytes); };
  events.input_end = [self] { self->OnInputEnd(); };
  events.resize = [self](TerminalSize size) { self->OnResize(size); };
  events.writable = [self] { self->Resume(); };
  events.gone = [self](const absl::Status& why) { self->OnGone(why); };
  parts_.client->Start(std::move(events));
}

void CommandSession::OnReady() {
  begun_ = true;
  parts_.client->HoldInput(true);
  const bool accepted = parts_.executor->Submit([self = shared_from_this()] {
    auto opened = std::make_shared<Opened>(self->parts_.open());
    asio::post(self->parts_.thread, [self, opened] { self->Begin(std::move(*opened)); });
  });
  if (!accepted) Begin(absl::UnavailableError("berthd is shutting down"));
}

void CommandSession::Begin(Opened opened) {
  if (!opened.ok()) {
    if (gone_) return Leave();
    return Finish({opened.status()});
  }
  stdio_ = std::move(*opened);
  if (gone_)
    return OffThread([](runtime::Stdio& stdio) { stdio.Abandon(); },
                     [self = shared_from_this()] { self->Leave(); });
  Connect();
}

void CommandSession::Connect() {
  const auto self = shared_from_this();
  if (size_) OnResize(*size_);
  if (stdio_->in) {
    FdSink::Events events;
    events.writable = [self] { self->parts_.client->HoldInput(false); };
    events.broken = [self] {
      self->input_gone_ = true;
      self->parts_.client->HoldInput(false);
    };
    in_ = std::make_shared<FdSink>(parts_.thread, std::move(stdio_->in), std::move(events));
  }
  if (stdio_->ended) {
    ended_ = std::make_shared<asio::posix::stream_descriptor>(parts_.thread, stdio_->ended.Release());
    AwaitEnd();
  }
  out_ = Source(std::move(stdio_->out), Output::kStdout, parts_.ticket.out);
  err_ = Source(std::move(stdio_->err), Output::kStderr, parts_.ticket.err);
  parts_.client->HoldInput(false);
  if (!early_input_.empty()) OnInput(std::exchange(early_input_, ""));
  if (input_ended_) EndInput();
  if (out_ != nullptr) out_->Start();
  if (err_ != nullptr) err_->Start();
}

void CommandSession::AwaitEnd() {
  ended_->async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](boost::system::error_code error) {
                       if (error || self->gone_) return;
                       // Asio (seen with Boost 1.74) may wake a descriptor for what became of one that was
                       // closed a moment ago: of a thousand clients that went, two took others along.
                       pollfd fd{self->ended_->native_handle(), POLLIN, 0};
                       ::poll(&fd, 1, 0) == 1 ? self->OnEnded() : self->AwaitEnd();
                     });
}

std::shared_ptr<FdSource> CommandSession::Source(base::UniqueFd fd, Output output, bool wanted) {
  if (!fd) return nullptr;
  const auto self = shared_from_this();
  FdSource::Events events;
  events.data = [self, output, wanted](std::string bytes) {
    if (!wanted) return true;
    self->parts_.client->Send(output, std::move(bytes));
    return !self->parts_.client->full();
  };
  events.end = [self] { self->FinishIfDrained(); };
  return std::make_shared<FdSource>(parts_.thread, std::move(fd), std::move(events));
}

void CommandSession::OnInput(std::string_view bytes) {
  if (input_gone_ || !parts_.ticket.in) return;
  if (stdio_ == nullptr) {
    early_input_.append(bytes);  // no more than what was read together with the last stream's opening
    return;
  }
  if (in_ == nullptr) return;
  in_->Write(bytes);
  if (in_->full() && !input_gone_) parts_.client->HoldInput(true);
}

void CommandSession::OnInputEnd() {
  if (std::exchange(input_ended_, true)) return;
  if (in_ != nullptr) EndInput();
}

void CommandSession::EndInput() {
  if (in_ == nullptr) return;
  const std::string farewell = stdio_->terminal ? EndOfFile(stdio_->terminal.get()) : "";
  OffThread([](runtime::Stdio& stdio) { stdio.InputEnds(); },
            [self = shared_from_this(), farewell] { self->in_->End(farewell); });
}

void CommandSession::OnResize(TerminalSize size) {
  size_ = size;
  if (stdio_ == nullptr || !stdio_->terminal) return;
  winsize window{};
  window.ws_col = size.width;
  window.ws_row = size.height;
  (void)::ioctl(stdio_->terminal.get(), TIOCSWINSZ, &window);
}

void CommandSession::Resume() {
  if (out_ != nullptr) out_->Resume();
  if (err_ != nullptr) err_->Resume();
}

void CommandSession::OnEnded() {
  auto code = stdio_->ExitCode();
  outcome_ = code.ok() ? Outcome{absl::OkStatus(), *code} : Outcome{code.status()};
  // A grandchild that keeps the outputs open is not waited for.
  if (out_ != nullptr) out_->Drain();
  if (err_ != nullptr) err_->Drain();
  FinishIfDrained();
}

void CommandSession::FinishIfDrained() {
  if (gone_ || (ended_ != nullptr && !outcome_)) return;
  if ((out_ != nullptr && !out_->ended()) || (err_ != nullptr && !err_->ended())) return;
  Finish(outcome_.value_or(Outcome{}));
}

void CommandSession::Finish(const Outcome& outcome) {
  if (std::exchange(gone_, true)) return;
  parts_.client->Finish(outcome);
  if (in_ != nullptr) in_->Close();
  if (stdio_ == nullptr) return Leave();
  OffThread([](runtime::Stdio& stdio) { stdio.Abandon(); }, [self = shared_from_this()] { self->Leave(); });
}

void CommandSession::OnGone(const absl::Status& why) {
  if (std::exchange(gone_, true)) return;
  base::LogInfo("a streaming client is gone",
                {{"pod", parts_.ticket.pod_id}, {"container", parts_.ticket.container_id}, {"why", why}});
  if (!begun_) return Leave();
  if (stdio_ == nullptr) return;  // Begin() will see it
  OffThread([](runtime::Stdio& stdio) { stdio.Abandon(); }, [self = shared_from_this()] { self->Leave(); });
}

void CommandSession::OffThread(std::function<void(runtime::Stdio&)> work, std::function<void()> then) {
  // Another one's end may let go of the streams while this one is at work.
  const auto on_executor = [self = shared_from_this(), stdio = stdio_, work = std::move(work), then] {
    work(*stdio);
    asio::post(self->parts_.thread, then);
  };
  if (!parts_.executor->Submit(on_executor)) asio::post(parts_.thread, then);
}

void CommandSession::Leave() {
  if (out_ != nullptr) out_->Close();
  if (err_ != nullptr) err_->Close();
  if (in_ != nullptr) in_->Close();
  if (ended_ != nullptr && ended_->is_open()) ::close(ended_->release());
  stdio_ = nullptr;
  if (const auto done = std::exchange(done_, nullptr)) done();
}

}  // namespace berth::cri::streaming
