// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/stream.h"

#include <unistd.h>

#include <cstring>

namespace berth::image::unpack {
namespace {
constexpr std::size_t kInputSize = 256 * 1024;
constexpr std::string_view kGzipMagic("\x1f\x8b", 2);
constexpr std::string_view kZstdMagic("\x28\xb5\x2f\xfd", 4);
constexpr std::string_view kBzip2Magic("BZh", 3);
constexpr std::string_view kXzMagic(
    "\xfd"
    "7zXZ",
    5);
}  // namespace

LayerStream::LayerStream(int fd, std::uint64_t max_bytes)
    : fd_(fd), max_bytes_(max_bytes), input_(kInputSize) {}
LayerStream::~LayerStream() = default;

base::Result<std::string_view> LayerStream::ReadInput() {
  for (;;) {
    const ssize_t got = ::read(fd_, input_.data(), input_.size());
    if (got >= 0) return std::string_view(input_.data(), static_cast<std::size_t>(got));
    if (errno != EINTR) return base::SyscallFailed(errno, "read the layer");
  }
}

base::Result<void> LayerStream::Begin() {
  begun_ = true;
  // The first bytes decide; they may arrive in pieces.
  std::size_t have = 0;
  while (have < 8) {
    const ssize_t got = ::read(fd_, input_.data() + have, input_.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::SyscallFailed(errno, "read the layer");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  pending_ = std::string_view(input_.data(), have);
  if (pending_.starts_with(kGzipMagic)) {
    decoder_ = MakeGzipDecoder();
  } else if (pending_.starts_with(kZstdMagic)) {
    decoder_ = MakeZstdDecoder();
  } else if (pending_.starts_with(kBzip2Magic) || pending_.starts_with(kXzMagic)) {
    return base::Malformed("layer is compressed with bzip2 or xz, which no image specification allows");
  } else {
    decoder_ = MakePlainDecoder();
  }
  return {};
}

base::Result<std::string_view> LayerStream::Next() {
  if (!begun_) {
    if (auto begun = Begin(); !begun) return begun.TakeError();
  }
  for (;;) {
    auto out = decoder_->Decode(pending_);
    if (!out) return out;
    if (!out->empty()) {
      bytes_ += out->size();
      if (bytes_ > max_bytes_) {
        return base::SyscallFailed(
            ENOSPC, "layer needs more than the " + std::to_string(max_bytes_) + " bytes that are free");
      }
      hash_.Update(*out);
      return out;
    }
    if (!pending_.empty()) continue;
    auto more = ReadInput();
    if (!more) return more;
    if (more->empty()) {
      if (!decoder_->AtEnd()) return base::Malformed("compressed layer is truncated");
      return std::string_view();
    }
    pending_ = *more;
  }
}

}  // namespace berth::image::unpack
