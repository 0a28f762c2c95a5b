// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/spdy_headers.h"

#include <zlib.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

void PutNumber(std::string* out, std::size_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>((number >> shift) & 0xff));
}

// Words that headers of HTTP are made of, each behind its length; then text without lengths.
std::string MakeDictionary() {
  static constexpr const char* kWords[] = {"options",
                                           "head",
                                           "post",
                                           "put",
                                           "delete",
                                           "trace",
                                           "accept",
                                           "accept-charset",
                                           "accept-encoding",
                                           "accept-language",
                                           "accept-ranges",
                                           "age",
                                           "allow",
                                           "authorization",
                                           "cache-control",
                                           "connection",
                                           "content-base",
                                           "content-encoding",
                                           "content-language",
                                           "content-length",
                                           "content-location",
                                           "content-md5",
                                           "content-range",
                                           "content-type",
                                           "date",
                                           "etag",
                                           "expect",
                                           "expires",
                                           "from",
                                           "host",
                                           "if-match",
                                           "if-modified-since",
                                           "if-none-match",
                                           "if-range",
                                           "if-unmodified-since",
                                           "last-modified",
                                           "location",
                                           "max-forwards",
                                           "pragma",
                                           "proxy-authenticate",
                                           "proxy-authorization",
                                           "range",
                                           "referer",
                                           "retry-after",
                                           "server",
                                           "te",
                                           "trailer",
                                           "transfer-encoding",
                                           "upgrade",
                                           "user-agent",
                                           "vary",
                                           "via",
                                           "warning",
                                           "www-authenticate",
                                           "method",
                                           "get",
                                           "status",
                                           "200 OK",
                                           "version",
                                           "HTTP/1.1",
                                           "url",
                                           "public",
                                           "set-cookie",
                                           "keep-alive",
                                           "origin"};
  std::string all;
  for (const char* word : kWords) {
    const std::string_view text(word);
    PutNumber(&all, text.size());
    all += text;
  }
  all +=
      "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
      "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
      "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
      "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
      "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
      "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
  return all;
}

// zlib's C interface wants these.
Bytef* Bytes(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }
Bytef* Bytes(std::string& text) { return reinterpret_cast<Bytef*>(text.data()); }

bool TakeNumber(std::string_view* rest, std::size_t* number) {
  if (rest->size() < 4) return false;
  *number = 0;
  for (int i = 0; i < 4; ++i) *number = (*number << 8) | static_cast<unsigned char>((*rest)[i]);
  rest->remove_prefix(4);
  return true;
}

bool TakeText(std::string_view* rest, std::string* text) {
  std::size_t size = 0;
  if (!TakeNumber(rest, &size) || size > rest->size()) return false;
  text->assign(rest->substr(0, size));
  rest->remove_prefix(size);
  return true;
}

}  // namespace

const std::string& SpdyDictionary() {
  static const std::string& dictionary = *new std::string(MakeDictionary());
  return dictionary;
}

std::string HeaderValue(const Headers& headers, std::string_view name) {
  const auto at =
      std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
  return at == headers.end() ? "" : at->second;
}

absl::StatusOr<Headers> ParseHeaderBlock(std::string_view block) {
  std::size_t count = 0;
  if (!TakeNumber(&block, &count)) return absl::InvalidArgumentError("a header block has no count");
  if (count > kMaxHeaderEntries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a header block has ", count, " entries, more than ", kMaxHeaderEntries));
  }
  Headers headers;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name;
    std::string value;
    if (!TakeText(&block, &name) || !TakeText(&block, &value) || name.empty())
      return absl::InvalidArgumentError("a header block is cut short or malformed");
    absl::AsciiStrToLower(&name);
    headers.emplace_back(std::move(name), std::move(value));
  }
  if (!block.empty()) return absl::InvalidArgumentError("a header block has bytes after its last entry");
  return headers;
}

struct HeaderReader::State {
  z_stream stream{};
  bool ready = false;
};

HeaderReader::HeaderReader() : state_(std::make_unique<State>()) {}
HeaderReader::~HeaderReader() {
  if (state_->ready) ::inflateEnd(&state_->stream);
}

absl::StatusOr<Headers> HeaderReader::Read(std::string_view block) {
  z_stream& stream = state_->stream;
  if (!state_->ready) {
    if (::inflateInit(&stream) != Z_OK)
      return absl::ResourceExhaustedError("no memory to inflate headers with");
    state_->ready = true;
  }
  std::string text(kMaxHeaderBytes + 1, '\0');
  stream.next_in = Bytes(block);
  stream.avail_in = static_cast<uInt>(block.size());
  stream.next_out = Bytes(text);
  stream.avail_out = static_cast<uInt>(text.size());
  while (stream.avail_in > 0) {
    int result = ::inflate(&stream, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      const std::string& dictionary = SpdyDictionary();
      result = ::inflateSetDictionary(&stream, Bytes(dictionary), static_cast<uInt>(dictionary.size()));
    }
    if (stream.avail_out == 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a header block inflates to more than ", kMaxHeaderBytes, " bytes"));
    }
    if (result != Z_OK) return absl::InvalidArgumentError("a header block is not what zlib inflates");
  }
  text.resize(text.size() - stream.avail_out);
  return ParseHeaderBlock(text);
}

struct HeaderWriter::State {
  z_stream stream{};
  bool ready = false;
};

HeaderWriter::HeaderWriter() : state_(std::make_unique<State>()) {}
HeaderWriter::~HeaderWriter() {
  if (state_->ready) ::deflateEnd(&state_->stream);
}

std::string HeaderWriter::Write(const Headers& headers) {
  z_stream& stream = state_->stream;
  if (!state_->ready) {
    // The smallest window: our blocks are empty or nearly so, and there may be a thousand connections.
    constexpr int kWindowBits = 11;
    constexpr int kMemory = 1;
    if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kWindowBits, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
    const std::string& dictionary = SpdyDictionary();
    ::deflateSetDictionary(&stream, Bytes(dictionary), static_cast<uInt>(dictionary.size()));
    state_->ready = true;
  }
  std::string plain;
  PutNumber(&plain, headers.size());
  for (const auto& [name, value] : headers) {
    PutNumber(&plain, name.size());
    plain += name;
    PutNumber(&plain, value.size());
    plain += value;
  }
  std::string block(::deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = Bytes(plain);
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = Bytes(block);
  stream.avail_out = static_cast<uInt>(block.size());
  ::deflate(&stream, Z_SYNC_FLUSH);
  block.resize(block.size() - stream.avail_out);
  return block;
}

}  // namespace berth::cri::streaming
