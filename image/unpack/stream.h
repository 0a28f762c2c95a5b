// SPDX-License-Identifier: Apache-2.0
// The bytes of a layer's tar archive: read from a descriptor, inflated (gzip by ISA-L, zstd, or plain, told
// apart by their first bytes, as media types in the wild cannot be trusted), hashed. Single-threaded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/digest.h"

namespace berth::image::unpack {

class Decoder;

class LayerStream {
 public:
  // Does not own `fd`. ENOSPC once more than `max_bytes` came out: the cap is what the disk can take.
  LayerStream(int fd, std::uint64_t max_bytes);
  ~LayerStream();

  // The next bytes of the tar archive, valid until the next call; empty at the end. An errno of 0 means
  // malformed input.
  base::Result<std::string_view> Next();

  std::uint64_t bytes() const { return bytes_; }
  std::string DiffId() { return hash_.Digest(); }  // once, after the end

 private:
  base::Result<std::string_view> ReadInput();
  base::Result<void> Begin();

  const int fd_;
  const std::uint64_t max_bytes_;
  std::uint64_t bytes_ = 0;
  bool begun_ = false;
  std::vector<char> input_;
  std::string_view pending_;  // input not yet decoded
  std::unique_ptr<Decoder> decoder_;
  Sha256 hash_;
};

// Turns compressed bytes into plain ones, a piece at a time.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // Takes from `input` what it can (advancing it) and returns what came out; may be empty when it needs more.
  virtual base::Result<std::string_view> Decode(std::string_view& input) = 0;
  // May the input end here?
  virtual bool AtEnd() const = 0;
};
std::unique_ptr<Decoder> MakeGzipDecoder();
std::unique_ptr<Decoder> MakeZstdDecoder();
std::unique_ptr<Decoder> MakePlainDecoder();

}  // namespace berth::image::unpack
