// SPDX-License-Identifier: Apache-2.0
// Small files, whole: what tests read from /proc and cgroups and write into configurations.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::e2e {

std::optional<std::string> TryReadFile(const std::string& path);
std::string ReadFile(const std::string& path);  // throws TestError
void WriteFile(const std::string& path, std::string_view text, int mode = 0644);
void WriteProgram(const std::string& path, std::string_view text);  // a script, mode 0755
bool Exists(const std::string& path);                               // the name itself, links not followed
void MakeDirs(const std::string& path);
std::vector<std::string> ListDir(const std::string& path);  // sorted names; empty when there is none
std::vector<std::string> Lines(const std::string& text);
std::string Trim(const std::string& text);

}  // namespace berth::e2e
