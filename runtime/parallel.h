// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <system_error>
#include <thread>
#include <vector>

namespace berth::runtime {

// Calls `work` for each item at the same time and returns when all are done. What gets no thread of its own
// (the node is out of them) is done by the caller. `work` takes const T& and is thread safe.
template <typename T, typename Work>
void ForEachAtOnce(const std::vector<T>& items, const Work& work) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i + 1 < items.size()) {
      try {
        threads.emplace_back([&work, &item = items[i]] { work(item); });
        continue;
      } catch (const std::system_error&) {  // EAGAIN
      }
    }
    work(items[i]);
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace berth::runtime
