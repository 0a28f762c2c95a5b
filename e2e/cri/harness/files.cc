// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/files.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_split.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "e2e/cri/harness/wait.h"

namespace berth::e2e {

namespace fs = std::filesystem;

std::optional<std::string> TryReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in) return std::nullopt;
  text << in.rdbuf();
  return text.str();
}

std::string ReadFile(const std::string& path) {
  std::optional<std::string> text = TryReadFile(path);
  if (!text) throw TestError("cannot read '" + path + "'");
  return *std::move(text);
}

void WriteFile(const std::string& path, std::string_view text, int mode) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out || ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
    throw TestError("cannot write '" + path + "'");
}

void WriteProgram(const std::string& path, std::string_view text) {
  // Renamed into place: a file that any fork of ours holds open for writing cannot be executed (ETXTBSY).
  WriteFile(path + ".new", text, 0755);
  fs::rename(path + ".new", path);
}

bool Exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

void MakeDirs(const std::string& path) { fs::create_directories(path); }

std::vector<std::string> ListDir(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::string Trim(const std::string& text) { return std::string(absl::StripAsciiWhitespace(text)); }

}  // namespace berth::e2e
