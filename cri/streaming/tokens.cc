// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/tokens.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::cri::streaming {
namespace {

constexpr std::size_t kTokenBytes = 24;

}  // namespace

void Tokens::DropOld() {
  const std::int64_t now = now_();
  while (!oldest_first_.empty()) {
    const auto at = waiting_.find(oldest_first_.front());
    if (at->second.until_ns > now) return;
    waiting_.erase(at);
    oldest_first_.pop_front();
  }
}

absl::StatusOr<std::string> Tokens::Issue(Ticket ticket) {
  std::string bytes(kTokenBytes, '\0');
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return base::SyscallError(errno, "getrandom");
  const std::string token = absl::WebSafeBase64Escape(bytes);
  const std::lock_guard lock(mutex_);
  DropOld();
  if (waiting_.size() >= kMaxTokens) {
    return absl::ResourceExhaustedError(absl::StrCat(
        kMaxTokens, " exec, attach and port-forward URLs wait to be used; try again within a minute"));
  }
  oldest_first_.push_back(token);
  waiting_.emplace(token, Waiting{std::move(ticket), now_() + kTokenLifeNs, std::prev(oldest_first_.end())});
  return token;
}

absl::StatusOr<Ticket> Tokens::Take(const std::string& token,
                                    const std::function<absl::Status(const Ticket&)>& admit) {
  const std::lock_guard lock(mutex_);
  DropOld();
  const auto at = waiting_.find(token);
  if (at == waiting_.end())
    return absl::NotFoundError("this URL is not known, was used before, or is older than a minute");
  BERTH_RETURN_IF_ERROR(admit(at->second.ticket));
  Ticket ticket = std::move(at->second.ticket);
  oldest_first_.erase(at->second.place);
  waiting_.erase(at);
  return ticket;
}

}  // namespace berth::cri::streaming
