// SPDX-License-Identifier: Apache-2.0
// Opening: files that are no database, that are torn, that are somebody else's or from the future.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/sqlite.h"
#include "store/store.h"
#include "store/testing.h"

namespace berth::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string ReadText(const std::string& path) {
  auto text = base::ReadFile(path, 64 << 20);
  return text ? *text : "";
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

void Sql(const std::string& path, const std::string& sql) {
  auto connection = Connection::Open(path);
  ASSERT_TRUE(connection.ok()) << connection.status();
  const absl::Status done = connection->Exec(sql.c_str());
  ASSERT_TRUE(done.ok()) << done;
}

TEST(StoreOpenTest, TheDirectoryAndTheFilesArePrivate) {
  const TempDir dir;
  const mode_t old_mask = ::umask(0);
  {
    auto store = OpenOrDie(dir / "new/deep/berth.db");
    EXPECT_TRUE(store->Write([](Transaction& t) { return t.PutLayer({"l", ""}); }).ok());
    EXPECT_EQ(ModeOf(dir / "new"), 0700u);
    EXPECT_EQ(ModeOf(dir / "new/deep"), 0700u);
    EXPECT_EQ(ModeOf(dir / "new/deep/berth.db"), 0600u);
    EXPECT_EQ(ModeOf(dir / "new/deep/berth.db-wal"), 0600u);
  }
  ::umask(old_mask);
  ASSERT_EQ(::chmod((dir / "new/deep/berth.db").c_str(), 0644), 0);
  auto store = OpenOrDie(dir / "new/deep/berth.db");
  EXPECT_EQ(ModeOf(dir / "new/deep/berth.db"), 0600u);
}

TEST(StoreOpenTest, AnEmptyFileBecomesADatabase) {
  const TempDir dir;
  WriteText(dir / "berth.db", "");
  auto store = OpenOrDie(dir / "berth.db");
  EXPECT_EQ(store->quarantined(), "");
  EXPECT_THAT(*store->Pods(), IsEmpty());
}

TEST(StoreOpenTest, AFileOfGarbageIsMovedAsideAndKept) {
  const TempDir dir;
  const std::string garbage(5000, 'x');
  WriteText(dir / "berth.db", garbage);
  auto store = OpenOrDie(dir / "berth.db");
  EXPECT_THAT(store->quarantined(), StartsWith(dir / "berth.db.broken-"));
  EXPECT_EQ(ReadText(store->quarantined()), garbage);
  EXPECT_TRUE(store->Write([](Transaction& t) { return t.InsertPod(Pod("p")); }).ok());
  store.reset();
  EXPECT_EQ(OpenOrDie(dir / "berth.db")->quarantined(), "");
}

TEST(StoreOpenTest, TwoBrokenFilesInOneSecondAreBothKept) {
  const TempDir dir;
  WriteText(dir / "berth.db", std::string(100, 'a'));
  const std::string first = OpenOrDie(dir / "berth.db")->quarantined();
  WriteText(dir / "berth.db", std::string(100, 'b'));
  const std::string second = OpenOrDie(dir / "berth.db")->quarantined();
  EXPECT_NE(first, second);
  EXPECT_EQ(ReadText(first), std::string(100, 'a'));
  EXPECT_EQ(ReadText(second), std::string(100, 'b'));
}

TEST(StoreOpenTest, ATornDatabaseIsMovedAside) {
  const TempDir dir;
  {
    auto store = OpenOrDie(dir / "berth.db");
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(
          store->Write([i](Transaction& t) {
                 return t.PutLayer({std::to_string(i), std::string(500, 'r')});
               })
              .ok());
    }
  }
  std::string content = ReadText(dir / "berth.db");
  ASSERT_GT(content.size(), 40960u);
  // A page in the middle that never reached the disk.
  std::fill(content.begin() + 20480, content.begin() + 32768, '\x5a');
  WriteText(dir / "berth.db", content);
  auto store = OpenOrDie(dir / "berth.db");
  EXPECT_NE(store->quarantined(), "");
  EXPECT_THAT(*store->Layers(), IsEmpty());
}

TEST(StoreOpenTest, ATruncatedDatabaseIsMovedAside) {
  const TempDir dir;
  {
    auto store = OpenOrDie(dir / "berth.db");
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(
          store->Write([i](Transaction& t) {
                 return t.PutLayer({std::to_string(i), std::string(500, 'r')});
               })
              .ok());
    }
  }
  ASSERT_EQ(::truncate((dir / "berth.db").c_str(), 20000), 0);
  EXPECT_NE(OpenOrDie(dir / "berth.db")->quarantined(), "");
}

TEST(StoreOpenTest, ATornWriteAheadLogLosesItsEndAlone) {
  const TempDir dir;
  {
    auto store = OpenOrDie(dir / "berth.db");
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(
          store->Write([i](Transaction& t) {
                 return t.PutLayer({std::to_string(i), std::string(500, 'r')});
               })
              .ok());
    }
    // As a power loss leaves it: the files of this moment, the log cut in its last frame.
    const std::string wal = ReadText(dir / "berth.db-wal");
    ASSERT_GT(wal.size(), 8192u);
    WriteText(dir / "copy.db", ReadText(dir / "berth.db"));
    WriteText(dir / "copy.db-wal", wal.substr(0, wal.size() - 1000));
  }
  auto store = OpenOrDie(dir / "copy.db");
  EXPECT_EQ(store->quarantined(), "");
  const auto layers = store->Layers();
  ASSERT_TRUE(layers.ok());
  EXPECT_GE(layers->size(), 18u);
  EXPECT_LT(layers->size(), 20u);
}

TEST(StoreOpenTest, SomebodyElsesDatabaseIsMovedAsideUntouched) {
  const TempDir dir;
  Sql(dir / "berth.db", "CREATE TABLE recipes(name TEXT)");
  const std::string before = ReadText(dir / "berth.db");
  auto store = OpenOrDie(dir / "berth.db");
  ASSERT_NE(store->quarantined(), "");
  EXPECT_EQ(ReadText(store->quarantined()), before);
}

TEST(StoreOpenTest, ANewerSchemaIsRefusedWithAdviceAndLeftAlone) {
  const TempDir dir;
  OpenOrDie(dir / "berth.db").reset();
  Sql(dir / "berth.db", "PRAGMA user_version=3; UPDATE meta SET value='2' WHERE key='compatible_with'");
  const auto store = Store::Open(dir / "berth.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("schema version 3"));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("knows version 2"));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("start the newer berthd again, put the copy"));
  EXPECT_TRUE(base::Exists(dir / "berth.db"));
}

TEST(StoreOpenTest, ANewerSchemaThatOnlyAddedIsUsedAndStaysNewer) {
  const TempDir dir;
  OpenOrDie(dir / "berth.db").reset();
  Sql(dir / "berth.db", "PRAGMA user_version=2; ALTER TABLE pods ADD COLUMN extra TEXT");
  {
    auto store = OpenOrDie(dir / "berth.db");
    EXPECT_TRUE(store->Write([](Transaction& t) { return t.InsertPod(Pod("p")); }).ok());
    EXPECT_THAT(*store->Pods(), SizeIs(1));
  }
  auto connection = Connection::Open(dir / "berth.db");
  EXPECT_EQ(*connection->QueryNumber("PRAGMA user_version"), 2);
}

TEST(StoreOpenTest, ADirectoryInTheFilesPlaceIsAnErrorThatNamesIt) {
  const TempDir dir;
  ASSERT_EQ(::mkdir((dir / "berth.db").c_str(), 0700), 0);
  const auto store = Store::Open(dir / "berth.db");
  EXPECT_FALSE(store.ok());
  EXPECT_THAT(std::string(store.status().message()), HasSubstr(dir / "berth.db"));
}

}  // namespace
}  // namespace berth::store
