// SPDX-License-Identifier: Apache-2.0
#include "cri/signals.h"

#include <signal.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

// One pair per Linux signal: for a number with two names the usual one.
const std::map<v1::Signal, int>& Primary() {
  static const auto* table = [] {
    auto* made = new std::map<v1::Signal, int>{
        {v1::SIGNAL_SIGABRT, SIGABRT},     {v1::SIGNAL_SIGALRM, SIGALRM},     {v1::SIGNAL_SIGBUS, SIGBUS},
        {v1::SIGNAL_SIGCHLD, SIGCHLD},     {v1::SIGNAL_SIGCONT, SIGCONT},     {v1::SIGNAL_SIGFPE, SIGFPE},
        {v1::SIGNAL_SIGHUP, SIGHUP},       {v1::SIGNAL_SIGILL, SIGILL},       {v1::SIGNAL_SIGINT, SIGINT},
        {v1::SIGNAL_SIGIO, SIGIO},         {v1::SIGNAL_SIGKILL, SIGKILL},     {v1::SIGNAL_SIGPIPE, SIGPIPE},
        {v1::SIGNAL_SIGPROF, SIGPROF},     {v1::SIGNAL_SIGPWR, SIGPWR},       {v1::SIGNAL_SIGQUIT, SIGQUIT},
        {v1::SIGNAL_SIGSEGV, SIGSEGV},     {v1::SIGNAL_SIGSTKFLT, SIGSTKFLT}, {v1::SIGNAL_SIGSTOP, SIGSTOP},
        {v1::SIGNAL_SIGSYS, SIGSYS},       {v1::SIGNAL_SIGTERM, SIGTERM},     {v1::SIGNAL_SIGTRAP, SIGTRAP},
        {v1::SIGNAL_SIGTSTP, SIGTSTP},     {v1::SIGNAL_SIGTTIN, SIGTTIN},     {v1::SIGNAL_SIGTTOU, SIGTTOU},
        {v1::SIGNAL_SIGURG, SIGURG},       {v1::SIGNAL_SIGUSR1, SIGUSR1},     {v1::SIGNAL_SIGUSR2, SIGUSR2},
        {v1::SIGNAL_SIGVTALRM, SIGVTALRM}, {v1::SIGNAL_SIGWINCH, SIGWINCH},   {v1::SIGNAL_SIGXCPU, SIGXCPU},
        {v1::SIGNAL_SIGXFSZ, SIGXFSZ}};
    // The enum's real-time signals stand in order: RTMIN, RTMIN+1 … RTMIN+15, then RTMAX-14 … RTMAX. As
    // everywhere in container land they are libc's (34 to 64), which keeps the kernel's first two for itself.
    for (int i = 0; i <= 15; ++i)
      made->emplace(static_cast<v1::Signal>(v1::SIGNAL_SIGRTMIN + i), SIGRTMIN + i);
    for (int i = 0; i <= 14; ++i)
      made->emplace(static_cast<v1::Signal>(v1::SIGNAL_SIGRTMAX - i), SIGRTMAX - i);
    return made;
  }();
  return *table;
}

}  // namespace

absl::StatusOr<std::optional<int>> LinuxSignal(v1::Signal signal) {
  switch (signal) {
    case v1::SIGNAL_RUNTIME_DEFAULT:
      return std::nullopt;
    case v1::SIGNAL_SIGCLD:
      return SIGCHLD;
    case v1::SIGNAL_SIGIOT:
      return SIGABRT;
    case v1::SIGNAL_SIGPOLL:
      return SIGIO;
    default:
      break;
  }
  const auto found = Primary().find(signal);
  if (found == Primary().end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("stop_signal ", static_cast<int>(signal), " is no signal of CRI"));
  }
  return found->second;
}

v1::Signal CriSignal(int linux_signal) {
  for (const auto& [signal, number] : Primary()) {
    if (number == linux_signal) return signal;
  }
  return v1::SIGNAL_RUNTIME_DEFAULT;
}

}  // namespace berth::cri
