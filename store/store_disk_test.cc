// SPDX-License-Identifier: Apache-2.0
// When the disk is synced, and what a full one does: through a file system of SQLite's own kind (VFS) that
// counts and refuses.
#include <sqlite3.h>

#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/store.h"
#include "store/testing.h"

namespace berth::store {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::atomic<int> g_syncs{0};
std::atomic<bool> g_full{false};
// The unix VFS has several tables (with and without locks); reading, writing and syncing are the same
// functions in all.
const sqlite3_io_methods* g_original = nullptr;
std::map<const sqlite3_io_methods*, sqlite3_io_methods> g_tables;
std::mutex g_tables_mutex;
sqlite3_vfs* g_unix = nullptr;

int CountedSync(sqlite3_file* file, int flags) {
  g_syncs.fetch_add(1);
  return g_original->xSync(file, flags);
}

int RefusedWrite(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  return g_full.load() ? SQLITE_FULL : g_original->xWrite(file, data, size, offset);
}

// The unix file with two of its methods exchanged: they find everything else in the same object.
int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  const int code = g_unix->xOpen(vfs, name, file, flags, out);
  if (code == SQLITE_OK && file->pMethods != nullptr) {
    const std::lock_guard lock(g_tables_mutex);
    const auto [table, is_new] = g_tables.try_emplace(file->pMethods, *file->pMethods);
    if (is_new) {
      g_original = file->pMethods;
      table->second.xSync = CountedSync;
      table->second.xWrite = RefusedWrite;
    }
    file->pMethods = &table->second;
  }
  return code;
}

class StoreDiskTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    g_unix = sqlite3_vfs_find("unix");
    static sqlite3_vfs vfs = *g_unix;
    vfs.zName = "berth-test";
    vfs.xOpen = Open;
    sqlite3_vfs_register(&vfs, 1);
  }
  static void TearDownTestSuite() { sqlite3_vfs_register(g_unix, 1); }
  void SetUp() override {
    g_full = false;
    store_ = OpenOrDie(dir_ / "berth.db");
    // The first commit into a new log syncs its header and the directory in either mode.
    ASSERT_TRUE(Put("first", Durability::kFull).ok());
    g_syncs = 0;
  }
  absl::Status Put(const std::string& id, Durability durability) {
    return store_->Write([&](Transaction& t) { return t.PutLayer({id, "r"}); }, durability);
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreDiskTest, ANormalWriteSyncsNothingAndAFullOneSyncs) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put("n" + std::to_string(i), Durability::kNormal).ok());
  EXPECT_EQ(g_syncs.load(), 0);
  ASSERT_TRUE(Put("full", Durability::kFull).ok());
  EXPECT_GE(g_syncs.load(), 1);
  const int after_full = g_syncs.load();
  ASSERT_TRUE(Put("normal again", Durability::kNormal).ok());
  EXPECT_EQ(g_syncs.load(), after_full);
}

TEST_F(StoreDiskTest, FullWritesThatWaitTogetherShareTheirSync) {
  constexpr int kWriters = 50;
  std::promise<void> entered, open;
  std::thread gate([&] {
    EXPECT_TRUE(store_
                    ->Write([&](Transaction&) {
                      entered.set_value();
                      open.get_future().wait();
                      return absl::OkStatus();
                    })
                    .ok());
  });
  entered.get_future().wait();
  std::vector<std::thread> threads;
  std::atomic<int> begun{0}, ok{0};
  threads.reserve(kWriters);
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, i] {
      begun.fetch_add(1);
      if (Put(std::to_string(i), Durability::kFull).ok()) ok.fetch_add(1);
    });
  }
  while (begun.load() < kWriters) std::this_thread::yield();
  open.set_value();
  gate.join();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ok.load(), kWriters);
  // One by one they would be at least kWriters; a few may have come after the gate opened.
  EXPECT_LE(g_syncs.load(), kWriters / 2);
}

TEST_F(StoreDiskTest, AFullDiskIsToldAndWhenThereIsSpaceAgainAllIsWell) {
  g_full = true;
  const absl::Status refused = Put("lost", Durability::kNormal);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("free space on that disk"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr(dir_ / "berth.db"));
  EXPECT_THAT(*store_->Layers(), SizeIs(1));
  g_full = false;
  EXPECT_TRUE(Put("kept", Durability::kNormal).ok());
  EXPECT_THAT(*store_->Layers(), SizeIs(2));
}

TEST_F(StoreDiskTest, TheLogIsMovedIntoTheDatabaseWhileWritesGoOnAndDoesNotGrowWithoutEnd) {
  for (int i = 0; i < 4000; ++i) {
    const std::string record(4000,
                             static_cast<char>('a' + i % 23));  // SQLite writes nothing where nothing changes
    ASSERT_TRUE(store_->Write([&](Transaction& t) {
                        return t.PutLayer({std::to_string(i % 50), record});
                      })
                    .ok());
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((dir_ / "berth.db").c_str(), &db), SQLITE_OK);
  int log_pages = 0, moved = 0;
  EXPECT_EQ(sqlite3_wal_checkpoint_v2(db, nullptr, SQLITE_CHECKPOINT_PASSIVE, &log_pages, &moved), SQLITE_OK);
  sqlite3_close(db);
  // 4000 writes of at least two pages each went through it.
  EXPECT_LT(log_pages, 8000);
  EXPECT_GE(g_syncs.load(), 1) << "no checkpoint happened";
}

}  // namespace
}  // namespace berth::store
