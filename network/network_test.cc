// SPDX-License-Identifier: Apache-2.0
// Network with plugins that are shell scripts.
#include "network/network.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "network/json.h"
#include "network/network_fixture.h"

namespace berth::network {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class NetworkAdd : public Fixture {};

TEST_F(NetworkAdd, RunsThePluginsInOrderEachWithTheResultOfTheOneBefore) {
  TwoPlugins();
  Open();
  ASSERT_TRUE(network_->state().ready) << network_->state().message;
  Attachment attachment = Prepared();
  EXPECT_EQ(attachment.result, "");
  const auto added = network_->Add(attachment, Soon());
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_THAT(attachment.ips, ElementsAre("10.9.0.7"));
  EXPECT_EQ(dir_.Read("calls"), "ADD first\nADD second\n");
  EXPECT_EQ(dir_.Read("first.ADD.in"), R"({"type":"first","key":[1],"cniVersion":"1.0.0","name":"pods"})");
  const auto second = ParseJsonObject(dir_.Read("second.ADD.in"));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(ToText((*second)["runtimeConfig"]),
            R"({"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]})");
  EXPECT_EQ(ToText((*second)["prevResult"]["ips"]), R"([{"address":"10.9.0.7/24","interface":0}])");
  EXPECT_FALSE(second->contains("capabilities"));
  EXPECT_THAT(dir_.Read("first.ADD.env"),
              AllOf(HasSubstr("CNI_CONTAINERID=abc123\n"), HasSubstr("CNI_IFNAME=eth0\n"),
                    HasSubstr("CNI_NETNS=/proc/self/ns/net\n"),
                    HasSubstr("CNI_PATH=" + dir_.path() + "/nothing:" + dir_.bin() + "\n"),
                    HasSubstr("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_"
                              "INFRA_CONTAINER_ID=abc123;K8S_POD_UID=uid-1\n")));
}

TEST_F(NetworkAdd, TellsThePluginsOwnWordsAndUndoesWhatWasAdded) {
  TwoPlugins(
      kResult,
      R"([ $CNI_COMMAND = DEL ] || { echo '{"code":7,"msg":"no such chain","details":"table nat"}'; exit 1; })");
  Open();
  Attachment attachment = Prepared();
  const auto added = network_->Add(attachment, Soon());
  EXPECT_EQ(added.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(added.message(),
            "CNI ADD by plugin 'second' of network 'pods': no such chain; table nat (code 7)");
  EXPECT_EQ(attachment.result, "");
  EXPECT_EQ(dir_.Read("calls"), "ADD first\nADD second\nDEL second\nDEL first\n");
  EXPECT_THAT(dir_.Read("second.DEL.in"), HasSubstr(R"("prevResult":{"cniVersion":"1.0.0")"));
}

TEST_F(NetworkAdd, SaysSoWhenTheUndoFailsToo) {
  TwoPlugins("[ $CNI_COMMAND = ADD ] && echo 'cannot add' >&2 || echo 'cannot delete' >&2; exit 4");
  Open();
  Attachment attachment = Prepared();
  const auto added = network_->Add(attachment, Soon());
  EXPECT_EQ(added.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(added.message(),
            "CNI ADD by plugin 'first' of network 'pods': cannot add (exit code 4); undoing it failed and "
            "must be tried again: "
            "CNI DEL by plugin 'first' of network 'pods': cannot delete (exit code 4)");
  EXPECT_EQ(dir_.Read("calls"), "ADD first\nDEL first\n");  // the second was never run
}

TEST_F(NetworkAdd, KillsAPluginThatHangsWithItsChildrenAndUndoesUnderABudgetOfItsOwn) {
  TwoPlugins("[ $CNI_COMMAND = DEL ] && exit 0; sleep 1000 & echo $! > $D/child; wait");
  Open();
  Attachment attachment = Prepared();
  const auto added = network_->Add(attachment, base::Deadline::After(700 * base::kMillisecondNs));
  EXPECT_EQ(added.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(added.message()),
              HasSubstr("plugin 'first' of network 'pods': did not end in time and was killed"));
  EXPECT_EQ(dir_.Read("calls"), "ADD first\nDEL first\n");
  // The child was sent SIGKILL; init reaps it when it can.
  const int child = std::atoi(dir_.Read("child").c_str());
  ASSERT_GT(child, 0);
  std::string state;
  for (int i = 0; i < 200; ++i) {
    const auto stat = base::ReadFile("/proc/" + std::to_string(child) + "/stat");
    state = stat.ok() ? stat->substr(stat->rfind(')') + 2, 1) : "gone";
    if (state == "gone" || state == "Z") break;
    ::usleep(10000);
  }
  EXPECT_TRUE(state == "gone" || state == "Z") << state;
}

TEST_F(NetworkAdd, DoesNotBelieveGarbage) {
  const std::pair<const char*, const char*> cases[] = {
      {"echo hello", "printed no usable result: not JSON"},
      {"true", "printed no usable result: empty"},
      {"[ $CNI_COMMAND = DEL ] || head -c 3000000 /dev/zero", "printed more than 1 MiB"},
      {R"(echo '{"ips":[{"address":"nonsense"}]}')", "'nonsense' in 'ips' is no address"},
      {R"(echo '{"code":11,"msg":"try again later"}')", "try again later"},
      {"kill -9 $$", "signal 9 (SIGKILL) without a word"},
  };
  for (const auto& [body, words] : cases) {
    SCOPED_TRACE(body);
    dir_.Plugin("only", std::string("[ $CNI_COMMAND = ADD ] || exit 0; ") + body);
    dir_.Write("conf/10-pods.conflist",
               R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"only"}]})");
    if (!network_) Open();
    ASSERT_TRUE(BecomesReady());
    Attachment attachment = Prepared();
    const auto added = network_->Add(attachment, Soon());
    EXPECT_EQ(added.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(added.message()), HasSubstr(words));
  }
}

TEST_F(NetworkAdd, FailsWhenThePodGetsNoAddress) {
  TwoPlugins(R"(echo '{"interfaces":[{"name":"br0"}],"ips":[{"address":"10.9.0.1/24","interface":0}]}')",
             "cat $D/second.ADD.in | sed 's/.*prevResult\"://; s/}$//'");
  Open();
  Attachment attachment = Prepared();
  const auto added = network_->Add(attachment, Soon());
  EXPECT_EQ(added.message(), "network 'pods' gave the pod no IP address");
  EXPECT_THAT(dir_.Read("calls"), HasSubstr("DEL second\nDEL first\n"));
}

TEST_F(NetworkAdd, NeedsANamespaceThatIsThere) {
  TwoPlugins();
  Open();
  Attachment attachment = Prepared();
  attachment.pod.netns_path = dir_.path();  // exists, but is no namespace
  const auto added = network_->Add(attachment, Soon());
  EXPECT_EQ(added.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(added.message()), HasSubstr("no network namespace at '" + dir_.path() + "'"));
  EXPECT_EQ(dir_.Read("calls"), "");
}

TEST_F(NetworkAdd, RefusesBadWishesBeforeAnythingRuns) {
  TwoPlugins();
  Open();
  PodNetwork pod = Pod();
  pod.annotations["kubernetes.io/ingress-bandwidth"] = "lots";
  EXPECT_EQ(network_->Prepare(pod).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NetworkAdd, WaitsForAPluginThatIsJustBeingCopiedIntoItsPlace) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer makes vfork a fork, and Spawn then cannot tell the errno of exec";
#endif
  TwoPlugins();
  Open();
  Attachment attachment = Prepared();
  base::UniqueFd writer(
      ::open((dir_.bin() + "/first").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));  // exec is now ETXTBSY
  ASSERT_TRUE(writer);
  absl::Status added = absl::UnknownError("not run");
  std::thread adding([&] { added = network_->Add(attachment, Soon()); });
  ::usleep(150000);  // time in which an impatient runtime would have failed
  writer.Reset();
  adding.join();
  EXPECT_TRUE(added.ok()) << added;
}

class NetworkDel : public Fixture {};

TEST_F(NetworkDel, RunsInReverseWithTheCachedResultAndTheConfigurationOfItsDay) {
  TwoPlugins();
  Open();
  Attachment attachment = Prepared();
  ASSERT_TRUE(network_->Add(attachment, Soon()).ok());
  dir_.Remove("calls");
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.0.0","name":"other","plugins":[{"type":"second"}]})");
  ASSERT_TRUE(Becomes(
      [this](const NetworkState&) { return Prepared().conflist.find("other") != std::string::npos; }));
  attachment.pod.netns_path = dir_.path() + "/gone";
  const auto stored = AttachmentFromJson(ToJson(attachment));
  ASSERT_TRUE(stored.ok());
  const auto deleted = network_->Del(*stored, Soon());
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_EQ(dir_.Read("calls"), "DEL second\nDEL first\n");
  EXPECT_THAT(dir_.Read("first.DEL.in"), AllOf(HasSubstr(R"("name":"pods")"), HasSubstr("10.9.0.7/24")));
  EXPECT_THAT(dir_.Read("first.DEL.env"), HasSubstr("CNI_NETNS=\n"));
  EXPECT_THAT(dir_.Read("second.DEL.in"), HasSubstr("hostPort"));
}

TEST_F(NetworkDel, WorksForAnIntentThatNeverBecameAResult) {
  TwoPlugins();
  Open();
  const auto deleted = network_->Del(Prepared(), Soon());
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_THAT(dir_.Read("first.DEL.in"), Not(HasSubstr("prevResult")));
  EXPECT_THAT(dir_.Read("first.DEL.env"), HasSubstr("CNI_NETNS=/proc/self/ns/net\n"));
}

TEST_F(NetworkDel, KeepsTheErrorOfAMissingProgramForARetry) {
  TwoPlugins();
  Open();
  Attachment attachment = Prepared();
  ASSERT_TRUE(network_->Add(attachment, Soon()).ok());
  dir_.Remove("bin/second");
  dir_.Remove("calls");
  const auto deleted = network_->Del(attachment, Soon());
  EXPECT_EQ(deleted.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(deleted.message(), "CNI DEL of network 'pods': plugin 'second' not found in '" + dir_.path() +
                                   "/nothing', '" + dir_.bin() + "'");
  EXPECT_EQ(dir_.Read("calls"), "");  // what came later is not outlived by what came before
  dir_.Plugin("second", "true");
  EXPECT_TRUE(network_->Del(attachment, Soon()).ok());
}

TEST_F(NetworkDel, TakesAnUnknownContainerForDone) {
  TwoPlugins(kResult, R"(echo '{"code":3,"msg":"who?"}'; exit 1)");
  Open();
  EXPECT_TRUE(network_->Del(Prepared(), Soon()).ok());
  EXPECT_EQ(dir_.Read("calls"), "DEL second\nDEL first\n");
}

TEST_F(NetworkDel, NamesARecordThatCannotBeRead) {
  TwoPlugins();
  Open();
  Attachment attachment = Prepared();
  attachment.conflist = "{";
  EXPECT_EQ(network_->Del(attachment, Soon()).code(), absl::StatusCode::kDataLoss);
}

class NetworkCheck : public Fixture {};

TEST_F(NetworkCheck, AsksEveryPluginWithTheFinalResult) {
  TwoPlugins(kResult,
             "[ $CNI_COMMAND = CHECK ] && { echo 'rule is gone' >&2; exit 1; }; " + std::string(kResult));
  Open();
  Attachment attachment = Prepared();
  EXPECT_EQ(network_->Check(attachment, Soon()).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(network_->Add(attachment, Soon()).ok());
  EXPECT_EQ(network_->Check(attachment, Soon()).message(),
            "CNI CHECK by plugin 'second' of network 'pods': rule is gone (exit code 1)");
  EXPECT_THAT(dir_.Read("first.CHECK.in"), HasSubstr("prevResult"));
  auto list = *ParseJsonObject(attachment.conflist);
  list["disableCheck"] = true;
  attachment.conflist = ToText(list);
  EXPECT_TRUE(network_->Check(attachment, Soon()).ok());
}

}  // namespace
}  // namespace berth::network
