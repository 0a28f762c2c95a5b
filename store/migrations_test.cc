// SPDX-License-Identifier: Apache-2.0
#include "store/migrations.h"

#include <sys/stat.h>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/schema.h"
#include "store/testing.h"

namespace berth::store {
namespace {

using ::testing::HasSubstr;

const std::vector<Migration> kTwoSteps{{2, "ALTER TABLE pods ADD COLUMN note TEXT DEFAULT 'none'", 0},
                                       {3, "CREATE TABLE more (id TEXT PRIMARY KEY) STRICT", 2}};

Connection OpenOrFail(const std::string& path) {
  auto connection = Connection::Open(path);
  EXPECT_TRUE(connection.ok()) << connection.status();
  return *std::move(connection);
}

class Migrating : public testing::Test {
 protected:
  Migrating() {
    auto store = OpenOrDie(path_);
    EXPECT_TRUE(store->Write([](Transaction& t) { return t.InsertPod(Pod("p")); }).ok());
  }
  const TempDir dir_;
  const std::string path_ = dir_ / "berth.db";
};

TEST_F(Migrating, LeadsForwardsStepByStepAndKeepsACopyOfBefore) {
  Connection connection = OpenOrFail(path_);
  ASSERT_TRUE(EnsureSchema(connection, kTwoSteps).ok());
  EXPECT_EQ(*connection.QueryNumber("PRAGMA user_version"), 3);
  EXPECT_EQ(*connection.QueryText("SELECT note FROM pods WHERE id='p'"), "none");
  EXPECT_EQ(*connection.QueryText("SELECT value FROM meta WHERE key='compatible_with'"), "2");
  const std::string copy = path_ + ".before-schema-3";
  struct stat facts {};
  ASSERT_EQ(::stat(copy.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  Connection before = OpenOrFail(copy);
  EXPECT_EQ(*before.QueryNumber("PRAGMA user_version"), 1);
  EXPECT_EQ(*before.QueryNumber("SELECT count(*) FROM pods"), 1);
  ASSERT_TRUE(EnsureSchema(connection, kTwoSteps).ok()) << "a second time nothing is to do";
}

TEST_F(Migrating, AnEmptyFileIsLedToTheNewestToo) {
  Connection connection = OpenOrFail(dir_ / "new.db");
  ASSERT_TRUE(EnsureSchema(connection, kTwoSteps).ok());
  EXPECT_EQ(*connection.QueryNumber("PRAGMA user_version"), 3);
}

TEST_F(Migrating, AStepThatFailsLeavesAllAsItWas) {
  Connection connection = OpenOrFail(path_);
  const absl::Status failed = EnsureSchema(connection, {kTwoSteps[0], {3, "CREATE TABLE pods (id TEXT)", 0}});
  EXPECT_THAT(std::string(failed.message()), HasSubstr("from schema version 1 to 3 (nothing was changed)"));
  EXPECT_EQ(*connection.QueryNumber("PRAGMA user_version"), 1);
  EXPECT_FALSE(connection.QueryText("SELECT note FROM pods").ok());
  EXPECT_EQ(*connection.QueryNumber("SELECT count(*) FROM pods"), 1);
}

TEST_F(Migrating, TheOlderProgramRefusesWhatItCannotLiveWithAndNamesTheCopy) {
  Connection connection = OpenOrFail(path_);
  ASSERT_TRUE(EnsureSchema(connection, kTwoSteps).ok());
  const absl::Status refused = EnsureSchema(connection);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("berth.db.before-schema-3"));
  EXPECT_TRUE(EnsureSchema(connection, {kTwoSteps[0]}).ok()) << "version 2 can";
}

}  // namespace
}  // namespace berth::store
