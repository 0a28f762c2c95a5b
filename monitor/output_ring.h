// SPDX-License-Identifier: Apache-2.0
// The newest part of what a stream has carried, by its position in the stream. Bounded; holds no memory while
// it is empty. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace berth::monitor {

class OutputRing {
 public:
  // A stream's pipe takes as much again: see attach.cc.
  static constexpr std::size_t kBytes = 1 << 20;

  // Positions: what is held, [begin, end), ends where the stream does.
  std::uint64_t begin() const { return std::max(held_from_, end_ - std::min<std::uint64_t>(end_, kBytes)); }
  std::uint64_t end() const { return end_; }

  void Append(std::string_view bytes) {
    if (bytes_ == nullptr) bytes_ = std::make_unique_for_overwrite<char[]>(kBytes);
    if (bytes.size() > kBytes) {
      end_ += bytes.size() - kBytes;
      bytes.remove_prefix(bytes.size() - kBytes);
    }
    while (!bytes.empty()) {
      const std::size_t at = end_ % kBytes;
      const std::size_t part = std::min(bytes.size(), kBytes - at);
      std::memcpy(bytes_.get() + at, bytes.data(), part);
      bytes.remove_prefix(part);
      end_ += part;
    }
  }
  // They went by, and what is held goes with them: nobody needs it.
  void Pass(std::size_t bytes) {
    end_ += bytes;
    held_from_ = end_;
    bytes_.reset();
  }
  // What follows `at`, which is held or the end: a part of it where it is in two pieces, "" at the end.
  std::string_view From(std::uint64_t at) const {
    if (at == end_) return {};
    const std::size_t offset = at % kBytes;
    return {bytes_.get() + offset,
            static_cast<std::size_t>(std::min<std::uint64_t>(end_ - at, kBytes - offset))};
  }

 private:
  std::unique_ptr<char[]> bytes_;
  std::uint64_t held_from_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace berth::monitor
