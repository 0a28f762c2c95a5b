// SPDX-License-Identifier: Apache-2.0
// OOM exactness: every case of oom_cases.cc, with the daemon alive and with the daemon killed before the kill
// and started again five seconds after. Trials share restarts: many containers, one kill of the daemon.
#include <gmock/gmock.h>

#include "e2e/cri/oom_cases.h"

namespace berth::e2e {
namespace {

// Several at once, in threads: creating pods is what takes the time.
void ForAll(std::vector<std::unique_ptr<OomTrial>>& trials, const std::function<void(OomTrial&)>& work) {
  std::vector<std::thread> threads;
  for (auto& trial : trials) {
    threads.emplace_back([&trial, &work] {
      try {
        work(*trial);
      } catch (const std::exception& error) {
        ADD_FAILURE() << trial->Describe() << ": " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// `pause` between the triggers, for cases that need the kernel's rate-limited report.
void Kill(std::vector<std::unique_ptr<OomTrial>>& trials, DaemonIs state, Clock::duration pause) {
  if (state == DaemonIs::kDead) Environment::Get().daemon().Kill9();
  for (auto& trial : trials) {
    trial->Pull();
    std::this_thread::sleep_for(pause);
  }
  std::string waiting;
  const bool done = Eventually(
      [&] {
        waiting.clear();
        for (auto& trial : trials) {
          if (!trial->Killed()) waiting += trial->Describe() + "; ";
        }
        return waiting.empty();
      },
      seconds(60), milliseconds(100));
  EXPECT_TRUE(done) << "no kill happened: " << waiting;
  if (state == DaemonIs::kDead) {
    std::this_thread::sleep_for(seconds(5));  // the issue's own number
    Environment::Get().daemon().Start();
  }
  ForAll(trials, [](OomTrial& trial) { trial.Settle(); });
}

void RunBatches(const std::vector<OomCase>& cases, DaemonIs state, Clock::duration pause) {
  constexpr size_t kBatch = 24;
  std::vector<std::pair<OomCase, int>> wanted;
  for (int i = 0; i < GetOptions().count; ++i) {
    for (const OomCase& oom_case : cases) wanted.emplace_back(oom_case, i);
  }
  for (size_t begin = 0; begin < wanted.size(); begin += kBatch) {
    std::vector<std::unique_ptr<OomTrial>> trials;
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (size_t i = begin; i < std::min(begin + kBatch, wanted.size()); ++i) {
      threads.emplace_back([&, i] {
        try {
          auto trial = std::make_unique<OomTrial>(wanted[i].first, wanted[i].second);
          const std::lock_guard lock(mutex);
          trials.push_back(std::move(trial));
        } catch (const std::exception& error) {
          ADD_FAILURE() << wanted[i].first.name << ": " << error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    Kill(trials, state, pause);
    ForAll(trials, [](OomTrial& trial) { trial.Check(); });
    if (OwnDaemon() && begin == 0) {  // and it is never told differently later
      Environment::Get().daemon().Restart();
      ForAll(trials, [](OomTrial& trial) { trial.Check(); });
    }
    while (!trials.empty()) trials.pop_back();
  }
}

TEST(Oom, EveryCaseIsToldRight) { RunBatches(ExactnessCases(DaemonIs::kAlive), DaemonIs::kAlive, {}); }

TEST(Oom, EveryCaseIsToldRightWhenTheDaemonWasDead) {
  BERTH_NEEDS_OWN_DAEMON();
  RunBatches(ExactnessCases(DaemonIs::kDead), DaemonIs::kDead, {});
}

TEST(Oom, ThePodsLimitIsNamedWhenItWasThePods) {
  BERTH_NEEDS_OWN_DAEMON();
  std::this_thread::sleep_for(seconds(6));  // the node's budget of reports is whole again
  RunBatches(PodLimitCases(), DaemonIs::kAlive, milliseconds(800));
}

TEST(Oom, ThePodsLimitIsNamedAlsoWhenTheDaemonWasDead) {
  BERTH_NEEDS_OWN_DAEMON();
  std::this_thread::sleep_for(seconds(6));
  RunBatches(PodLimitCases(), DaemonIs::kDead, milliseconds(800));
}

}  // namespace
}  // namespace berth::e2e
