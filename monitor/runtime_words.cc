// SPDX-License-Identifier: Apache-2.0
// What crun 1.8 to 1.27 and runc 1.1 to 1.5 say when something fails, seen on a real host:
//   crun create: "executable file `/nope` not found in $PATH: No such file or directory", "open executable:
//   Permission denied" crun's init at start (on the container's stderr): {"msg":"exec container process
//   `/bin/bad`: Exec format error",…} runc create: "runc create failed: unable to start container process:
//   exec: \"/nope\": stat /nope: no such file or directory" runc's init at start (on the container's stderr):
//   "exec /bin/bad: exec format error"
#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "monitor/json_read.h"
#include "monitor/runtime_call.h"

namespace berth::monitor {
namespace {

std::string Trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// The messages of a text whose lines may be JSON, logfmt or plain.
std::vector<std::string> Messages(const std::string& text, bool errors_only) {
  std::vector<std::string> messages;
  // No string stream: it would bring the whole of iostreams and locales into a program that there is one of
  // per pod.
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = Trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.empty()) continue;
    if (line.front() == '{') {
      if (const auto json = ParseObject(line)) {
        const auto level = json->find("level");
        if (errors_only && level != json->end() && level->is_string()) {
          const std::string name = *level;
          if (name == "debug" || name == "info" || name == "warning" || name == "warn") continue;
        }
        const auto message = json->find("msg");
        if (message != json->end() && message->is_string()) line = Trimmed(message->get<std::string>());
      }
    }
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
    if (std::find(messages.begin(), messages.end(), line) == messages.end()) messages.push_back(line);
  }
  return messages;
}

void StripPrefix(std::string& text, const std::string& prefix) {
  if (text.rfind(prefix, 0) == 0) text.erase(0, prefix.size());
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::string CleanRuntimeText(const std::string& log_json_lines, const std::string& stderr_text) {
  auto messages = Messages(log_json_lines, true);
  if (messages.empty()) messages = Messages(stderr_text, true);
  std::string joined;
  for (auto& message : messages) {
    for (const char* prefix :
         {"runc create failed: ", "runc start failed: ", "runc exec failed: ", "runc delete failed: ",
          "exec failed: ", "unable to start container process: "}) {
      StripPrefix(message, prefix);
    }
    if (joined.find(message) != std::string::npos) continue;
    joined += (joined.empty() ? "" : "; ") + message;
  }
  return joined;
}

int StartExitCode(const std::string& text) {
  const std::string words = Lower(text);
  const auto has = [&words](const char* part) { return words.find(part) != std::string::npos; };
  const bool about_exec = has("executable") || words.rfind("exec", 0) == 0 || has("; exec") || has(": exec");
  if (!about_exec) return 128;
  if (has("not found in $path") || has("no such file or directory")) return 127;
  if (has("permission denied") || has("exec format error") || has("is a directory") ||
      has("operation not permitted"))
    return 126;
  return 128;
}

bool SaysOutOfMemory(const std::string& text) {
  const std::string words = Lower(text);
  const auto has = [&words](const char* part) { return words.find(part) != std::string::npos; };
  const bool limit_refused = ((has("memory.limit_in_bytes") || has("memory.max")) && has("busy")) ||
                             has("unable to set memory limit to");
  return has("oom-killed") || has("memory limit could be too low") || has("cannot allocate memory") ||
         has("out of memory") || limit_refused;
}

}  // namespace berth::monitor
