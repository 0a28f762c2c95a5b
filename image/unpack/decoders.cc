// SPDX-License-Identifier: Apache-2.0
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <vector>

#include "image/unpack/stream.h"

namespace berth::image::unpack {
namespace {

constexpr std::size_t kOutputSize = 1024 * 1024;

// gzip, several members one after another included (pigz and seekable layers make such).
class GzipDecoder : public Decoder {
 public:
  GzipDecoder() : output_(kOutputSize) { Begin(); }

  base::Result<std::string_view> Decode(std::string_view& input) override {
    if (input.empty() && !more_output_) return std::string_view();
    if (state_.block_state == ISAL_BLOCK_FINISH) Begin();  // another member follows
    if (!input.empty()) inside_ = true;
    state_.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(input.data()));
    state_.avail_in = static_cast<std::uint32_t>(input.size());
    state_.next_out = reinterpret_cast<std::uint8_t*>(output_.data());
    state_.avail_out = static_cast<std::uint32_t>(output_.size());
    const int result = isal_inflate(&state_);
    if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT) return base::Malformed(Explain(result));
    const std::size_t taken = input.size() - state_.avail_in;
    const std::size_t made = output_.size() - state_.avail_out;
    if (taken == 0 && made == 0 && !input.empty() && state_.block_state != ISAL_BLOCK_FINISH) {
      return base::Malformed("gzip layer is damaged: the decoder makes no progress");
    }
    input.remove_prefix(taken);
    more_output_ = state_.avail_out == 0 && state_.block_state != ISAL_BLOCK_FINISH;
    if (state_.block_state == ISAL_BLOCK_FINISH) inside_ = false;
    return std::string_view(output_.data(), made);
  }

  bool AtEnd() const override { return !inside_; }

 private:
  void Begin() {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;  // header read, checksum and length of the trailer verified
    inside_ = false;
    more_output_ = false;
  }

  static std::string Explain(int result) {
    switch (result) {
      case ISAL_INCORRECT_CHECKSUM:
        return "gzip layer is damaged: wrong checksum";
      case ISAL_INVALID_WRAPPER:
        return "gzip layer is damaged: bytes after its end that are no gzip header";
      case ISAL_UNSUPPORTED_METHOD:
        return "gzip layer uses an unknown compression method";
      default:
        return "gzip layer is damaged: invalid block";
    }
  }

  std::vector<char> output_;
  inflate_state state_{};
  bool inside_ = false;       // a member has begun and not ended
  bool more_output_ = false;  // the output buffer was too small
};

class ZstdDecoder : public Decoder {
 public:
  ZstdDecoder() : output_(kOutputSize), context_(ZSTD_createDCtx()) {
    // 128 MiB of window is what `zstd --ultra` may ask for; more is a bomb.
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 27);
  }
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }

  base::Result<std::string_view> Decode(std::string_view& input) override {
    if (input.empty() && !more_output_) return std::string_view();
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output_.data(), output_.size(), 0};
    const std::size_t result = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(result) != 0)
      return base::Malformed(std::string("zstd layer is damaged: ") + ZSTD_getErrorName(result));
    input.remove_prefix(in.pos);
    at_end_ = result == 0;
    more_output_ = out.pos == out.size;
    return std::string_view(output_.data(), out.pos);
  }

  bool AtEnd() const override { return at_end_; }

 private:
  std::vector<char> output_;
  ZSTD_DCtx* context_;
  bool at_end_ = false;
  bool more_output_ = false;
};

class PlainDecoder : public Decoder {
 public:
  base::Result<std::string_view> Decode(std::string_view& input) override {
    return std::exchange(input, std::string_view());
  }
  bool AtEnd() const override { return true; }
};

}  // namespace

std::unique_ptr<Decoder> MakeGzipDecoder() { return std::make_unique<GzipDecoder>(); }
std::unique_ptr<Decoder> MakeZstdDecoder() { return std::make_unique<ZstdDecoder>(); }
std::unique_ptr<Decoder> MakePlainDecoder() { return std::make_unique<PlainDecoder>(); }

}  // namespace berth::image::unpack
