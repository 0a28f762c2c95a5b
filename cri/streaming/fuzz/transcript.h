// SPDX-License-Identifier: Apache-2.0
// What a parser told, as one text: feeding the same bytes in other pieces must tell the same.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace berth::cri::streaming {

class Transcript {
 public:
  void Event(const std::string& text) {
    Flush();
    text_ += text + "\n";
  }
  // Parts of the same stream that follow each other count as one.
  void Data(std::uint32_t stream, std::string_view part) {
    if (stream != stream_) Flush();
    stream_ = stream;
    held_ += part;
  }
  std::string Take() {
    Flush();
    return text_;
  }

 private:
  void Flush() {
    if (!held_.empty()) text_ += "data " + std::to_string(stream_) + " " + held_ + "\n";
    held_.clear();
  }
  std::string text_, held_;
  std::uint32_t stream_ = 0;
};

// `run(bytes, cut)` feeds the bytes in two pieces; a cut at 0 may also mean pieces of one byte.
template <typename Run>
void SameHoweverItIsCut(std::string_view bytes, Run run) {
  const std::string whole = run(bytes, bytes.size());
  const std::size_t cut =
      bytes.empty() ? 0 : (bytes.size() * 7 + static_cast<unsigned char>(bytes[0])) % bytes.size();
  if (run(bytes, cut) != whole || run(bytes, 0) != whole) std::abort();
}

}  // namespace berth::cri::streaming
