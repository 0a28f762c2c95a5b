// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/text.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>

namespace berth::cgroupfs {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

template <typename T>
std::optional<T> ParseWhole(std::string_view text) {
  text = Trim(text);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseHundredths(std::string_view text) {
  const auto dot = text.find('.');
  const auto whole = ParseWhole<std::uint64_t>(text.substr(0, dot));
  if (!whole) return std::nullopt;
  if (dot == std::string_view::npos) return static_cast<double>(*whole);
  const std::string_view digits = text.substr(dot + 1);
  const auto part = ParseWhole<std::uint64_t>(digits);
  if (!part) return std::nullopt;
  double scale = 1;
  for (std::size_t i = 0; i < digits.size(); ++i) scale *= 10;
  return static_cast<double>(*whole) + static_cast<double>(*part) / scale;
}

// The text after "name=" in one of the words.
std::string_view Field(const std::vector<std::string_view>& words, std::string_view name) {
  for (const auto word : words) {
    if (word.size() > name.size() && word.substr(0, name.size()) == name && word[name.size()] == '=') {
      return word.substr(name.size() + 1);
    }
  }
  return {};
}

std::optional<PsiLine> ParsePsiLine(const std::vector<std::string_view>& words) {
  const auto avg10 = ParseHundredths(Field(words, "avg10"));
  const auto avg60 = ParseHundredths(Field(words, "avg60"));
  const auto avg300 = ParseHundredths(Field(words, "avg300"));
  const auto total = ParseNumber(Field(words, "total"));
  if (!avg10 || !avg60 || !avg300 || !total) return std::nullopt;
  return PsiLine{*avg10, *avg60, *avg300, *total};
}

}  // namespace

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) lines.push_back(line);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

std::vector<std::string_view> SplitWords(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < line.size();) {
    if (IsSpace(line[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < line.size() && !IsSpace(line[end])) ++end;
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

bool HasLine(std::string_view text, std::string_view line) {
  const auto lines = SplitLines(text);
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) { return ParseWhole<std::uint64_t>(text); }
std::optional<std::int64_t> ParseSigned(std::string_view text) { return ParseWhole<std::int64_t>(text); }

std::optional<std::int64_t> ParseMaxOrNumber(std::string_view text) {
  if (Trim(text) == "max") return -1;
  const auto number = ParseNumber(text);
  if (!number) return std::nullopt;
  if (*number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return -1;
  return static_cast<std::int64_t>(*number);
}

std::optional<std::uint64_t> ParseKeyed(std::string_view text, std::string_view key) {
  for (const auto line : SplitLines(text)) {
    if (line.size() > key.size() && line.substr(0, key.size()) == key && line[key.size()] == ' ') {
      return ParseNumber(line.substr(key.size() + 1));
    }
  }
  return std::nullopt;
}

std::vector<pid_t> ParsePids(std::string_view text) {
  std::vector<pid_t> pids;
  for (const auto line : SplitLines(text)) {
    const auto pid = ParseNumber(line);
    if (pid && *pid > 0 && *pid <= static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max())) {
      pids.push_back(static_cast<pid_t>(*pid));
    }
  }
  return pids;
}

std::optional<Psi> ParsePsi(std::string_view text) {
  Psi psi;
  bool some = false;
  for (const auto line : SplitLines(text)) {
    const auto words = SplitWords(line);
    if (words.empty()) continue;
    const auto parsed = ParsePsiLine(words);
    if (!parsed) return std::nullopt;
    if (words[0] == "some") {
      psi.some = *parsed;
      some = true;
    } else if (words[0] == "full") {
      psi.full = *parsed;
    }
  }
  if (!some) return std::nullopt;
  return psi;
}

bool IsCpuList(std::string_view text) {
  while (true) {
    const auto comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const auto dash = item.find('-');
    const auto digits_only = [](std::string_view number) {
      return !number.empty() && number.size() <= 6 &&
             std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    const std::string_view first = item.substr(0, dash);
    if (!digits_only(first)) return false;
    if (dash != std::string_view::npos) {
      const std::string_view last = item.substr(dash + 1);
      if (!digits_only(last) || *ParseNumber(last) < *ParseNumber(first)) return false;
    }
    if (comma == std::string_view::npos) return true;
    text = text.substr(comma + 1);
  }
}

std::optional<std::string> HugepageSizeFromDir(std::string_view name) {
  constexpr std::string_view kPrefix = "hugepages-";
  constexpr std::string_view kSuffix = "kB";
  if (name.size() <= kPrefix.size() + kSuffix.size() || name.substr(0, kPrefix.size()) != kPrefix ||
      name.substr(name.size() - kSuffix.size()) != kSuffix) {
    return std::nullopt;
  }
  const auto kib = ParseNumber(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
  if (!kib || *kib == 0) return std::nullopt;
  if (*kib >= 1u << 20) return std::to_string(*kib >> 20) + "GB";
  if (*kib >= 1u << 10) return std::to_string(*kib >> 10) + "MB";
  return std::to_string(*kib) + "KB";
}

std::string BytesText(std::uint64_t bytes) {
  char text[64];
  (void)std::snprintf(text, sizeof text, "%.1f MiB (%llu bytes)", static_cast<double>(bytes) / (1 << 20),
                      static_cast<unsigned long long>(bytes));
  return text;
}

std::string PidsText(const std::vector<pid_t>& pids) {
  constexpr std::size_t kShown = 10;
  std::string text;
  for (std::size_t i = 0; i < pids.size() && i < kShown; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(pids[i]);
  }
  if (pids.size() > kShown) text += " and " + std::to_string(pids.size() - kShown) + " more";
  return text;
}

}  // namespace berth::cgroupfs
