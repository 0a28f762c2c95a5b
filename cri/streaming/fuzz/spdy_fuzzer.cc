// SPDX-License-Identifier: Apache-2.0
// A client's side of a SPDY connection. However the bytes are cut, the same is told and the same is answered.
#include "cri/streaming/fuzz/transcript.h"
#include "cri/streaming/spdy_session.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::cri::streaming;
  SameHoweverItIsCut({reinterpret_cast<const char*>(data), size}, [](std::string_view bytes,
                                                                     std::size_t cut) {
    Transcript told;
    std::string sent;
    SpdySession* session = nullptr;
    SpdySession::Events events;
    events.accepts = [](const Headers& headers) { return HeaderValue(headers, "streamtype") != "refused"; };
    events.opened = [&](std::uint32_t id, const Headers& headers) {
      told.Event("opened " + std::to_string(id) + " " + std::to_string(headers.size()));
      session->Send(id, "hello");
    };
    events.data = [&](std::uint32_t id, std::string_view part) { told.Data(id, part); };
    events.half_closed = [&](std::uint32_t id) {
      told.Event("half " + std::to_string(id));
      session->Fin(id);
    };
    events.reset = [&](std::uint32_t id) { told.Event("reset " + std::to_string(id)); };
    events.send = [&](const std::string& head, const std::string& body) { sent += head + body; };
    SpdySession made(8, std::move(events));
    session = &made;
    absl::Status fed = made.Feed(bytes.substr(0, cut));
    if (fed.ok()) fed = made.Feed(bytes.substr(cut));
    told.Event(fed.ToString());
    return told.Take() + sent;
  });
  return 0;
}
