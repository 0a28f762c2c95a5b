// SPDX-License-Identifier: Apache-2.0
// What a Write changes, what it refuses and with which words.
#include "store/store.h"

#include <atomic>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/testing.h"

namespace berth::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoreTest : public ::testing::Test {
 protected:
  absl::Status Write(std::function<absl::Status(Transaction&)> work) {
    return store_->Write(std::move(work));
  }
  std::vector<std::string> PodIds() {
    std::vector<std::string> ids;
    auto pods = store_->Pods();
    EXPECT_TRUE(pods.ok()) << pods.status();
    if (pods.ok()) {
      for (const auto& pod : *pods) ids.push_back(pod.id);
    }
    return ids;
  }

  TempDir dir_;
  std::unique_ptr<Store> store_ = OpenOrDie(dir_ / "berth.db");
};

TEST_F(StoreTest, RowsComeBackAsTheyWereWrittenAlsoAfterReopening) {
  const std::string record = std::string("{\"a\":\"\xc3\xa4\"}") + '\0' + "tail";
  ASSERT_TRUE(Write([&](Transaction& t) {
                EXPECT_TRUE(t.InsertPod({"p1", "ns/n/u/0", 1234567890123456789, record}).ok());
                EXPECT_TRUE(t.InsertContainer({"c1", "p1", "p1/c/0", 5, "{}"}).ok());
                EXPECT_TRUE(t.PutImage({"sha256:1", "i"}).ok());
                EXPECT_TRUE(t.PutImageName({"docker.io/library/a:1", "sha256:1"}).ok());
                EXPECT_TRUE(t.PutLayer({"sha256:l", "layer"}).ok());
                return t.PutNetwork({"p1", "net"});
              }).ok());
  store_.reset();
  store_ = OpenOrDie(dir_ / "berth.db");
  EXPECT_EQ(store_->quarantined(), "");
  const auto pods = store_->Pods();
  ASSERT_THAT(*pods, SizeIs(1));
  EXPECT_EQ(pods->front().id, "p1");
  EXPECT_EQ(pods->front().name_key, "ns/n/u/0");
  EXPECT_EQ(pods->front().created_at, 1234567890123456789);
  EXPECT_EQ(pods->front().record, record);
  const auto containers = store_->Containers();
  ASSERT_THAT(*containers, SizeIs(1));
  EXPECT_EQ(containers->front().pod_id, "p1");
  EXPECT_EQ(containers->front().name_key, "p1/c/0");
  EXPECT_EQ(store_->Images()->at(0).record, "i");
  EXPECT_EQ(store_->ImageNames()->at(0).image_id, "sha256:1");
  EXPECT_EQ(store_->Layers()->at(0).record, "layer");
  EXPECT_EQ(store_->Networks()->at(0).record, "net");
}

TEST_F(StoreTest, ATakenPodNameNamesItsHolder) {
  ASSERT_TRUE(Write([](Transaction& t) { return t.InsertPod(Pod("first", "ns/web/u/0")); }).ok());
  const absl::Status taken = Write([](Transaction& t) { return t.InsertPod(Pod("second", "ns/web/u/0")); });
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(taken.message(), "pod name 'ns/web/u/0' is taken by pod 'first'");
  const absl::Status same_id =
      Write([](Transaction& t) { return t.InsertPod(Pod("first", "ns/other/u/0")); });
  EXPECT_EQ(same_id.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(same_id.message(), "pod id 'first' is taken");
  EXPECT_THAT(PodIds(), ElementsAre("first"));
}

TEST_F(StoreTest, ATakenContainerNameNamesItsHolderAndIsFreeAfterDeletion) {
  ASSERT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.InsertPod(Pod("p")).ok());
                return t.InsertContainer(Container("c1", "p", "p/app/0"));
              }).ok());
  const absl::Status taken =
      Write([](Transaction& t) { return t.InsertContainer(Container("c2", "p", "p/app/0")); });
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(taken.message(), "container name 'p/app/0' is taken by container 'c1'");
  EXPECT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.DeleteContainer("c1").ok());
                return t.InsertContainer(Container("c2", "p", "p/app/0"));
              }).ok());
}

TEST_F(StoreTest, UpdatesOfMissingRowsAreNotFoundAndDeletesOfThemSucceed) {
  EXPECT_EQ(Write([](Transaction& t) { return t.UpdatePod("no", "{}"); }).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Write([](Transaction& t) { return t.UpdateContainer("no", "{}"); }).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.DeletePod("no").ok());
                EXPECT_TRUE(t.DeleteContainer("no").ok());
                EXPECT_TRUE(t.DeleteImage("no").ok());
                EXPECT_TRUE(t.DeleteImageName("no").ok());
                EXPECT_TRUE(t.DeleteLayer("no").ok());
                return t.DeleteNetwork("no");
              }).ok());
}

TEST_F(StoreTest, UpdatesChangeTheRecordAlone) {
  ASSERT_TRUE(Write([](Transaction& t) { return t.InsertPod({"p", "k", 7, "old"}); }).ok());
  ASSERT_TRUE(Write([](Transaction& t) { return t.UpdatePod("p", "new"); }).ok());
  const auto pods = store_->Pods();
  ASSERT_THAT(*pods, SizeIs(1));
  EXPECT_EQ(pods->front().record, "new");
  EXPECT_EQ(pods->front().name_key, "k");
  EXPECT_EQ(pods->front().created_at, 7);
}

TEST_F(StoreTest, APodWithContainersCannotBeDeletedAndSaysWhich) {
  ASSERT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.InsertPod(Pod("p")).ok());
                return t.InsertContainer(Container("c1", "p"));
              }).ok());
  const absl::Status refused = Write([](Transaction& t) { return t.DeletePod("p"); });
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.message(), "pod 'p' still has containers: 'c1'");
  EXPECT_THAT(PodIds(), ElementsAre("p"));
}

TEST_F(StoreTest, RowsThatPointNowhereAreRefused) {
  const absl::Status container =
      Write([](Transaction& t) { return t.InsertContainer(Container("c", "nopod")); });
  EXPECT_EQ(container.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(container.message(), HasSubstr("'nopod'"));
  const absl::Status name = Write([](Transaction& t) { return t.PutImageName({"a:1", "sha256:none"}); });
  EXPECT_EQ(name.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(name.message(), HasSubstr("'sha256:none'"));
}

TEST_F(StoreTest, DeletingAnImageTakesItsNamesAndANameMovesBetweenImages) {
  ASSERT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.PutImage({"one", ""}).ok());
                EXPECT_TRUE(t.PutImage({"two", ""}).ok());
                EXPECT_TRUE(t.PutImageName({"a:1", "one"}).ok());
                EXPECT_TRUE(t.PutImageName({"a:2", "one"}).ok());
                return t.PutImageName({"a:1", "two"});
              }).ok());
  ASSERT_TRUE(Write([](Transaction& t) { return t.DeleteImage("one"); }).ok());
  const auto names = store_->ImageNames();
  ASSERT_THAT(*names, SizeIs(1));
  EXPECT_EQ(names->front().name, "a:1");
  EXPECT_EQ(names->front().image_id, "two");
}

TEST_F(StoreTest, AnImageIsReplacedWithoutLosingItsNames) {
  ASSERT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.PutImage({"one", "old"}).ok());
                EXPECT_TRUE(t.PutImageName({"a:1", "one"}).ok());
                return t.PutImage({"one", "new"});
              }).ok());
  EXPECT_EQ(store_->Images()->at(0).record, "new");
  EXPECT_THAT(*store_->ImageNames(), SizeIs(1));
}

TEST_F(StoreTest, ANetworkRowOutlivesItsPod) {
  ASSERT_TRUE(Write([](Transaction& t) {
                EXPECT_TRUE(t.InsertPod(Pod("p")).ok());
                EXPECT_TRUE(t.PutNetwork({"p", "intent"}).ok());
                return t.DeletePod("p");
              }).ok());
  EXPECT_THAT(*store_->Networks(), SizeIs(1));
}

TEST_F(StoreTest, AFailedWorkLeavesNothingOfItself) {
  const absl::Status failed = Write([](Transaction& t) {
    EXPECT_TRUE(t.InsertPod(Pod("half")).ok());
    return absl::AbortedError("changed my mind");
  });
  EXPECT_EQ(failed, absl::AbortedError("changed my mind"));
  EXPECT_THAT(PodIds(), IsEmpty());
}

TEST_F(StoreTest, AThrowingWorkIsAFailedOne) {
  const absl::Status failed = Write([](Transaction& t) -> absl::Status {
    EXPECT_TRUE(t.InsertPod(Pod("half")).ok());
    throw std::runtime_error("no JSON");
  });
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(failed.message(), HasSubstr("no JSON"));
  EXPECT_THAT(PodIds(), IsEmpty());
  EXPECT_TRUE(Write([](Transaction& t) { return t.InsertPod(Pod("next")); }).ok());
}

TEST_F(StoreTest, AWriteWithinAWriteIsRefusedInsteadOfWaitingForItself) {
  absl::Status inner;
  EXPECT_TRUE(Write([&](Transaction&) {
                inner = store_->Write([](Transaction&) { return absl::OkStatus(); });
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(inner.code(), absl::StatusCode::kFailedPrecondition);
}

// Holds the writer's thread until let go, so that what is written meanwhile becomes one batch.
class Gate {
 public:
  explicit Gate(Store& store)
      : thread_([this, &store] {
          EXPECT_TRUE(store
                          .Write([this](Transaction&) {
                            entered_.set_value();
                            open_.get_future().wait();
                            return absl::OkStatus();
                          })
                          .ok());
        }) {
    entered_.get_future().wait();
  }
  ~Gate() { thread_.join(); }
  void Open() { open_.set_value(); }

 private:
  std::promise<void> entered_, open_;
  std::thread thread_;
};

TEST_F(StoreTest, WritesThatWaitTogetherFailEachForItself) {
  constexpr int kWriters = 60;
  std::vector<absl::Status> results(kWriters);
  {
    Gate gate(*store_);
    std::vector<std::thread> threads;
    std::atomic<int> begun{0};
    threads.reserve(kWriters);
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        begun.fetch_add(1);
        results[i] = store_->Write([i](Transaction& t) {
          absl::Status inserted = t.InsertPod(Pod("p" + std::to_string(i)));
          if (i % 3 == 1) return absl::AbortedError("mine alone");
          if (i % 3 == 2)
            return t.InsertPod(
                Pod("x" + std::to_string(i), "ns/p0/uid/0"));  // p0's name: taken only if p0 came first
          return inserted;
        });
      });
    }
    while (begun.load() < kWriters) std::this_thread::yield();
    gate.Open();
    for (auto& thread : threads) thread.join();
  }
  int inserted = 0;
  for (int i = 0; i < kWriters; ++i) {
    if (i % 3 == 1) {
      EXPECT_EQ(results[i].code(), absl::StatusCode::kAborted) << i;
    }
    if (results[i].ok()) ++inserted;
    if (i % 3 == 0 && i > 0) {
      EXPECT_TRUE(results[i].ok()) << i << results[i];
    }
  }
  // Of p0 and the rows that want its name exactly one got it.
  int holders = results[0].ok() ? 1 : 0;
  for (int i = 2; i < kWriters; i += 3) holders += results[i].ok() ? 1 : 0;
  EXPECT_EQ(holders, 1);
  const auto ids = PodIds();
  const bool winner_wrote_two = !results[0].ok();
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(inserted + (winner_wrote_two ? 1 : 0)));
  for (int i = 1; i < kWriters; i += 3)
    EXPECT_THAT(ids, ::testing::Not(::testing::Contains("p" + std::to_string(i))));
}

TEST_F(StoreTest, WhatAFinishedWriteChangedIsSeenByEveryThread) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 50;
  std::vector<std::thread> threads;
  std::atomic<int> unseen{0};
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(round);
        if (!store_->Write([&](Transaction& t) { return t.PutLayer({id, ""}); }).ok()) unseen.fetch_add(1000);
        auto seen = std::async(std::launch::async, [&] {
          const auto layers = store_->Layers();
          return layers.ok() && std::any_of(layers->begin(), layers->end(),
                                            [&](const LayerRow& row) { return row.diff_id == id; });
        });
        if (!seen.get()) unseen.fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(unseen.load(), 0);
}

TEST_F(StoreTest, AReadDuringAWriteWaitsForNobodyAndSeesNothingOfIt) {
  std::promise<void> inserted, go_on;
  std::thread writer([&] {
    EXPECT_TRUE(Write([&](Transaction& t) {
                  EXPECT_TRUE(t.InsertPod(Pod("p")).ok());
                  inserted.set_value();
                  go_on.get_future().wait();
                  return absl::OkStatus();
                }).ok());
  });
  inserted.get_future().wait();
  EXPECT_THAT(PodIds(), IsEmpty());  // would hang here if it waited
  go_on.set_value();
  writer.join();
  EXPECT_THAT(PodIds(), ElementsAre("p"));
}

TEST_F(StoreTest, ClosingDoesWhatWasAccepted) {
  constexpr int kWriters = 20;
  std::atomic<int> ok{0};
  std::vector<std::thread> threads;
  {
    Gate gate(*store_);
    threads.reserve(kWriters);
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        if (store_->Write([i](Transaction& t) { return t.PutLayer({std::to_string(i), ""}); }).ok())
          ok.fetch_add(1);
      });
    }
    gate.Open();
    for (auto& thread : threads) thread.join();
  }
  store_.reset();
  store_ = OpenOrDie(dir_ / "berth.db");
  EXPECT_EQ(ok.load(), kWriters);
  EXPECT_THAT(*store_->Layers(), SizeIs(kWriters));
}

}  // namespace
}  // namespace berth::store
