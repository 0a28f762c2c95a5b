// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/unified.h"

#include <algorithm>
#include <cerrno>

namespace berth::cgroupfs {
namespace {

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// What of a hostile key may be shown in a message.
std::string Shown(std::string_view key) {
  std::string text(key.substr(0, 80));
  std::replace_if(text.begin(), text.end(), IsControl, '?');
  return text;
}

bool IsFileName(std::string_view key) {
  if (key.size() > 128 || key.find('.') == std::string_view::npos) return false;
  bool empty_part = true;
  for (const char c : key) {
    if (c == '.') {
      if (empty_part) return false;
      empty_part = true;
    } else if (IsWordChar(c)) {
      empty_part = false;
    } else {
      return false;
    }
  }
  return !empty_part;
}

}  // namespace

std::string_view ControllerOf(std::string_view key) { return key.substr(0, key.find('.')); }

base::Result<void> ValidateUnified(const std::map<std::string, std::string>& unified) {
  for (const auto& [key, value] : unified) {
    const std::string named = "unified key '" + Shown(key) + "'";
    if (!IsFileName(key))
      return base::SyscallFailed(EINVAL, named + " is no file of a controller, like 'memory.high'");
    if (ControllerOf(key) == "cgroup")
      return base::SyscallFailed(EINVAL, named + " is no limit: files 'cgroup.*' are not for requests");
    if (value.size() > 4000 || std::any_of(value.begin(), value.end(), IsControl)) {
      return base::SyscallFailed(EINVAL, named + " has a value that is not one line of text");
    }
  }
  return {};
}

}  // namespace berth::cgroupfs
