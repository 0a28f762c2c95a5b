// SPDX-License-Identifier: Apache-2.0
#include "image/challenge.h"

#include "absl/strings/ascii.h"

namespace berth::image {
namespace {

constexpr std::size_t kMaxParameters = 32;

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text.substr(0, 8192)) {}

  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string Token() {
    const std::size_t begin = at_;
    while (at_ < text_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(text_[at_])) ||
            std::string_view("!#$%&'*+-.^_`|~").find(text_[at_]) != std::string_view::npos))
      ++at_;
    return absl::AsciiStrToLower(std::string(text_.substr(begin, at_ - begin)));
  }
  std::string Value() {
    if (!Take('"')) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != ' ') ++at_;
      return std::string(text_.substr(begin, at_ - begin));
    }
    std::string value;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      value += text_[at_++];
    }
    Take('"');
    return value;
  }
  bool done() const { return at_ >= text_.size(); }
  void Advance() { ++at_; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view header) {
  std::vector<Challenge> challenges;
  Scanner scanner(header);
  while (!scanner.done()) {
    scanner.SkipSpace();
    const std::string word = scanner.Token();
    if (word.empty()) {
      if (!scanner.done()) scanner.Advance();  // a comma, or what nobody understands
      continue;
    }
    scanner.SkipSpace();
    if (!scanner.Take('=')) {
      challenges.push_back({word, {}});  // a scheme
      if (challenges.size() >= kMaxParameters) break;
      continue;
    }
    scanner.SkipSpace();
    std::string value = scanner.Value();
    if (!challenges.empty() && challenges.back().parameters.size() < kMaxParameters)
      challenges.back().parameters[word] = std::move(value);
  }
  return challenges;
}

}  // namespace berth::image
