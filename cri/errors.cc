// SPDX-License-Identifier: Apache-2.0
#include "cri/errors.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::cri {
namespace {

// Length of the UTF-8 sequence that begins at text[at]; 0 when it is none.
std::size_t SequenceLength(const std::string& text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead >= 0xf5 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[at + 1]);
  // Overlong forms, surrogates and what lies above U+10FFFF.
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) ||
      (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90)) {
    return 0;
  }
  return length;
}

// What `character` costs in a grpc-message: printable ASCII but '%' stays, any other byte becomes %XX.
std::size_t EncodedBytes(const std::string& character) {
  const char c = character[0];
  return character.size() == 1 && c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3 * character.size();
}

std::vector<std::string> Characters(const std::string& text) {
  std::vector<std::string> characters;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = SequenceLength(text, at);
    characters.push_back(length == 0 ? "?" : text.substr(at, length));
    at += length == 0 ? 1 : length;
  }
  return characters;
}

}  // namespace

std::string FitMessage(const std::string& text) {
  const std::vector<std::string> characters = Characters(text);
  std::size_t total = 0;
  for (const auto& character : characters) total += EncodedBytes(character);
  std::string fitted;
  if (total <= kMaxEncodedMessageBytes) {
    for (const auto& character : characters) fitted += character;
    return fitted;
  }
  // The cause is mostly told at the end ("…: Permission denied"), the object at the beginning.
  constexpr std::size_t kHalf = kMaxEncodedMessageBytes / 2 - 40;
  std::size_t head = 0;
  for (std::size_t used = 0; used + EncodedBytes(characters[head]) <= kHalf; ++head)
    used += EncodedBytes(characters[head]);
  std::size_t tail = characters.size();
  for (std::size_t used = 0; used + EncodedBytes(characters[tail - 1]) <= kHalf; --tail)
    used += EncodedBytes(characters[tail - 1]);
  for (std::size_t i = 0; i < head; ++i) fitted += characters[i];
  absl::StrAppend(&fitted, " [... ", tail - head, " characters left out ...] ");
  for (std::size_t i = tail; i < characters.size(); ++i) fitted += characters[i];
  return fitted;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const absl::StatusCode code = base::ErrnoOf(status) ? absl::StatusCode::kInternal : status.code();
  return {static_cast<grpc::StatusCode>(code), FitMessage(std::string(status.message()))};
}

}  // namespace berth::cri
