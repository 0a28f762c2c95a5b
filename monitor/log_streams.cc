// SPDX-License-Identifier: Apache-2.0
#include "monitor/log_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"

namespace berth::monitor {
namespace {
// A pipe's whole default capacity at once.
constexpr std::size_t kReadBytes = 64 * 1024;
}  // namespace

LogStreams::~LogStreams() {
  for (const auto& [fd, source] : sources_) loop_.Unwatch(fd);
}

base::Result<void> LogStreams::Add(base::UniqueFd fd, const std::string& stream) {
  const int number = fd.get();
  ::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) | O_NONBLOCK);
  auto source = std::make_unique<Source>(Source{std::move(fd), stream, LogSplitter(stream)});
  Source& added = *source;
  sources_[number] = std::move(source);
  return Watch(added);
}

base::Result<void> LogStreams::Watch(Source& source) {
  return loop_.Watch(source.fd.get(), EPOLLIN, [this, &source](std::uint32_t) {
    (void)ReadOnce(source);
    if (source.ended) loop_.Unwatch(source.fd.get());
  });
}

bool LogStreams::ReadOnce(Source& source) {
  static char buffer[kReadBytes];
  static std::string records;
  ssize_t got = 0;
  do {
    got = ::read(source.fd.get(), buffer, sizeof buffer);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {  // a pty whose slave is closed answers EIO
    source.ended = true;
    return false;
  }
  records.clear();
  source.splitter.Feed(std::string_view(buffer, static_cast<std::size_t>(got)), base::RealtimeNs(), records);
  writer_.Write(records, static_cast<std::uint64_t>(got));
  tap_(source.stream, std::string_view(buffer, static_cast<std::size_t>(got)));
  if (records.capacity() > 2 * kReadBytes) records = std::string();
  return true;
}

void LogStreams::End(Source& source) {
  std::string records;
  source.splitter.Finish(base::RealtimeNs(), records);
  writer_.Write(records, records.size());
}

void LogStreams::DrainAndClose() {
  // Both in turns: a stream that somebody outside the container goes on filling must not keep the other
  // waiting, nor us for ever.
  for (int turn = 0; turn < 1024; ++turn) {
    bool more = false;
    for (const auto& [fd, source] : sources_) {
      if (!source->ended && ReadOnce(*source)) more = true;
    }
    if (!more) break;
  }
  for (const auto& [fd, source] : sources_) {
    loop_.Unwatch(fd);
    End(*source);
  }
  sources_.clear();
}

}  // namespace berth::monitor
