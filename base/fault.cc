// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
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

}  // namespace

bool FaultPoint(const char* point) {
  static std::mutex mutex;
  static std::vector<Fault>* faults = new std::vector<Fault>(Parse(std::getenv("BERTH_FAULT")));
  static const bool list = std::getenv("BERTH_FAULT_LIST") != nullptr;
  if (list) {
    const std::string line = std::string("fault point ") + point + "\n";
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  }
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
