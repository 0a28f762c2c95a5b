// SPDX-License-Identifier: Apache-2.0
// Messages of a WebSocket and the sizes within them. The first byte chooses the protocol, 0x0a ends a
// message.
#include "cri/streaming/fuzz/transcript.h"
#include "cri/streaming/remote_command.h"
#include "cri/streaming/ws_channels.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::cri::streaming;
  if (size == 0) return 0;
  const ChannelProtocol protocol{(data[0] & 1) != 0, (data[0] & 2) != 0};
  SameHoweverItIsCut(
      {reinterpret_cast<const char*>(data) + 1, size - 1}, [&](std::string_view bytes, std::size_t cut) {
        Transcript told;
        ResizeReader sizes;
        ChannelReader reader(protocol,
                             {[&](unsigned channel, std::string_view part) {
                                told.Data(channel, part);
                                if (channel == 4) (void)sizes.Feed(part);
                              },
                              [&](unsigned channel) { told.Event("closed " + std::to_string(channel)); }});
        absl::Status fed;
        for (std::size_t at = 0; fed.ok() && at < bytes.size();) {
          const std::size_t line = bytes.find('\n', at);
          const std::size_t end = line == std::string_view::npos ? bytes.size() : line;
          // One cut of all, or (0) a cut after each byte.
          const bool split = at < cut && cut < end;
          if (split) fed = reader.Feed(bytes.substr(at, cut - at), false);
          std::size_t from = split ? cut : at;
          for (; cut == 0 && fed.ok() && from + 1 < end; ++from)
            fed = reader.Feed(bytes.substr(from, 1), false);
          if (fed.ok()) fed = reader.Feed(bytes.substr(from, end - from), true);
          told.Event("message");
          at = end + 1;
        }
        return told.Take() + fed.ToString();
      });
  return 0;
}
