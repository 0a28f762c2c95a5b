// SPDX-License-Identifier: Apache-2.0
// Clients attached to a container's standard streams: what it writes is copied into their pipes, what they
// send goes into its input. Nobody waits for a slow client for long: when its pipe has been full for
// kPatience, what follows is left out for it, and it is told how much when it has read all that was there.
// Meanwhile, and only then, the container's output (and so its log) waits.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "monitor/loop.h"

namespace berth::monitor {

// Held by shared_ptr: after Finish() it lives until the clients' pipes have taken the last bytes.
class Attachments : public std::enable_shared_from_this<Attachments> {
 public:
  struct Hooks {
    std::function<void()> resume;  // the container's outputs may be read again
    std::function<void()>
        end_stdin;  // an attacher's input is over, and was to be the container's end of input
  };
  Attachments(Loop& loop, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {}

  // The reading end of its input and the writing ends of what it wants to see; any may be invalid.
  struct Pipes {
    base::UniqueFd in, out, err;
  };
  void Add(std::string id, Pipes pipes);
  // Where input goes: non-blocking, borrowed; -1: there is none (any more), and what comes is refused.
  void SetStdin(int fd);
  // The end of this attacher's input, whenever it has been read, is the end of the container's.
  void InputIsLast(const std::string& id);
  // What the container has written. False: read no more until `resume`.
  bool Take(const std::string& stream, std::string_view bytes);
  // The container has ended: all that was taken is delivered, then the pipes are closed. No hook is called
  // any more.
  void Finish();

 private:
  struct Out {
    base::UniqueFd fd;
    std::string held;  // what the pipe did not take
    bool behind = false;
    std::uint64_t left_out = 0;
  };
  struct Attacher {
    std::string id;
    base::UniqueFd in;
    std::string held_in;  // what the container's input did not take
    bool in_is_last = false;
    Out out, err;
  };
  using Place = std::list<Attacher>::iterator;

  bool Put(Out& out, std::string_view bytes);
  bool Flush(Out& out);
  void Close(Out& out);
  void CloseInput(Attacher& attacher);
  void WatchOutput(const std::string& id, Out& out);
  void WatchInput(Attacher& attacher);
  void ReadInput(const std::string& id);
  bool WriteInput(Attacher& attacher, std::string_view bytes);
  void WaitForStdin();
  void LookAgain();
  void OnTick();
  void DropClosed();
  Attacher* Find(const std::string& id);

  Loop& loop_;
  Hooks hooks_;
  std::list<Attacher> attachers_;
  int stdin_ = -1;
  bool stdin_watched_ = false;
  Loop::TimerId tick_ = 0;
  std::int64_t waiting_since_ = 0;
  bool finished_ = false;
};

}  // namespace berth::monitor
