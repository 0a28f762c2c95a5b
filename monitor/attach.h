// SPDX-License-Identifier: Apache-2.0
// Clients attached to a container's standard streams: what it writes is copied into their pipes, what they
// send goes into its input. Nobody waits for a slow client: what its pipe does not take is held in a ring of
// the newest output, one for each stream and all its clients; who falls out of it goes on half a ring behind
// the end, and is told there how much is missing. So a client that always takes part of 2 MiB in time misses
// nothing, the others are unaffected, and the last words reach everybody who reads at all.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "monitor/loop.h"
#include "monitor/output_ring.h"

namespace berth::monitor {

// Held by shared_ptr; after Finish() it lives until the clients' pipes have taken the last bytes.
class Attachments : public std::enable_shared_from_this<Attachments> {
 public:
  // `end_stdin`: an attacher's input is over, and was to be the container's end of input.
  Attachments(Loop& loop, std::function<void()> end_stdin) : loop_(loop), end_stdin_(std::move(end_stdin)) {}

  // The reading end of its input and the writing ends of what it wants to see; any may be invalid.
  struct Pipes {
    base::UniqueFd in, out, err;
  };
  void Add(std::string id, Pipes pipes);
  // Where input goes: non-blocking, borrowed; -1: there is none (any more), and what comes is refused.
  void SetStdin(int fd);
  // The end of this attacher's input, whenever it has been read, is the end of the container's.
  void InputIsLast(const std::string& id);
  // What the container has written. Never waits.
  void Take(const std::string& stream, std::string_view bytes);
  // The container has ended: what is held is delivered, for half a minute at most, and the pipes are closed.
  // `end_stdin` is not called any more. Idempotent.
  void Finish();

 private:
  struct Out {
    base::UniqueFd fd;
    std::uint64_t at = 0;  // of its stream, while it is behind
    std::string note;      // goes first
    bool behind = false;   // its pipe is full; watched for room
  };
  struct Attacher {
    std::string id;
    base::UniqueFd in;
    std::string held_in;  // what the container's input did not take
    bool in_is_last = false;
    Out out, err;
  };
  // One of the container's outputs and the clients' side of it.
  struct Stream {
    Out Attacher::*out;
    OutputRing ring;
  };

  void Watch(const std::string& id, Stream& stream, Out& out);
  void Write(const Stream& stream, Out& out);
  void OnRoom(const std::string& id, Stream& stream, std::uint32_t events);
  bool AnyBehind(const Stream& stream) const;
  void Settle(Stream& stream);
  void Close(Out& out);
  void CloseInput(Attacher& attacher);
  void WatchInput(Attacher& attacher);
  void ReadInput(const std::string& id);
  bool WriteInput(Attacher& attacher, std::string_view bytes);
  void WaitForStdin();
  void DropClosed();
  Attacher* Find(const std::string& id);

  Loop& loop_;
  std::function<void()> end_stdin_;
  std::list<Attacher> attachers_;
  Stream stdout_{&Attacher::out, {}}, stderr_{&Attacher::err, {}};
  int stdin_ = -1;
  bool stdin_watched_ = false;
  bool finished_ = false;
  Loop::TimerId give_up_ = 0;
};

}  // namespace berth::monitor
