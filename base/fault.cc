// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::base {
namespace {

struct Fault {
  std::string point;
  std::string action;
  int left = 1;
};

std::vector<Fault> Parse(const char* text) {
  std::vector<Fault> faults;
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    const auto colon = item.find(':');
    if (colon == std::string_view::npos) continue;
    const auto second = item.find(':', colon + 1);
    Fault fault{
        std::string(item.substr(0, colon)),
        std::string(item.substr(colon + 1, second == std::string_view::npos ? second : second - colon - 1)),
        1};
    if (second != std::string_view::npos)
      fault.left = std::atoi(std::string(item.substr(second + 1)).c_str());
    faults.push_back(std::move(fault));
  }
  return faults;
}

void Append(const char* file, const char* point) {
  const std::string line = std::string(point) + "\n";
  const int fd = ::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  (void)!::write(fd, line.data(), line.size());
  ::close(fd);
}

}  // namespace
}  // namespace berth::base

#ifdef BERTH_FAULTS
// Names, each with its NUL, with zeros between them: made by the linker; absent in a program without points.
extern "C" {
extern const char __start_berth_faults[] __attribute__((weak));
extern const char __stop_berth_faults[] __attribute__((weak));
}

namespace berth::base {
namespace {

[[gnu::constructor]] void PrintAllAndEnd() {
  const char* list = std::getenv("BERTH_FAULT_LIST");
  if (list == nullptr || std::strcmp(list, "all") != 0) return;
  std::set<std::string> points;
  for (const char* at = __start_berth_faults; at < __stop_berth_faults; at += std::strlen(at) + 1) {
    if (*at != 0) points.insert(at);
  }
  for (const auto& point : points) ::printf("%s\n", point.c_str());
  ::fflush(stdout);
  ::_exit(0);
}

}  // namespace
}  // namespace berth::base
#endif

namespace berth::base {

bool FaultPoint(const char* point) {
  static std::mutex mutex;
  static std::vector<Fault>* faults = new std::vector<Fault>(Parse(std::getenv("BERTH_FAULT")));
  static const char* const list = std::getenv("BERTH_FAULT_LIST");
  if (list != nullptr) Append(list, point);
  std::string action;
  {
    const std::lock_guard lock(mutex);
    for (auto& fault : *faults) {
      if (fault.point == point && fault.left > 0 && --fault.left == 0) action = fault.action;
    }
  }
  if (action == "abort") ::kill(::getpid(), SIGKILL);  // as a crash would: no destructors, no core
  if (action == "stop") ::raise(SIGSTOP);
  while (action == "hang") ::pause();
  return action == "fail";
}

}  // namespace berth::base
