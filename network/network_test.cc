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
#include "network/test_dir.h"

namespace berth::network {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kResult[] =
    R"(echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/ns"}],"ips":[{"address":"10.9.0.7/24","interface":0}]}')";
constexpr char kOwnNetns[] = "/proc/self/ns/net";  // stands for a pod's; the scripts do nothing with it

// A Network, and waiting for what its state becomes.
class Fixture : public ::testing::Test {
 protected:
  void Open(std::int64_t grace_ns = 50 * base::kMillisecondNs) {
    Options options;
    options.conf_dir = dir_.conf();
    options.bin_dirs = {dir_.path() + "/nothing", dir_.bin()};
    options.conf_template = template_;
    options.status_poll_ns = 30 * base::kMillisecondNs;
    options.status_retry_ns = 30 * base::kMillisecondNs;
    options.grace_ns = grace_ns;
    auto network = Network::Open(options);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = std::move(*network);
    network_->OnChange([this] {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
  }
  bool Becomes(const std::function<bool(const NetworkState&)>& wanted) {
    std::unique_lock lock(mutex_);
    for (int i = 0; i < 200; ++i) {
      if (wanted(network_->state())) return true;
      changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
    return false;
  }
  bool BecomesReady() {
    return Becomes([](const NetworkState& state) { return state.ready; });
  }
  bool Says(const std::string& words) {
    return Becomes([&](const NetworkState& state) { return state.message.find(words) != std::string::npos; });
  }
  void TwoPlugins(const std::string& first_body = kResult,
                  const std::string& second_body = "cat $D/first.ADD.out 2>/dev/null || " +
                                                   std::string(kResult)) {
    dir_.Plugin("first", first_body);
    dir_.Plugin("second", second_body);
    dir_.Write(
        "conf/10-pods.conflist",
        R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first","key":[1]},{"type":"second","capabilities":{"portMappings":true}}]})");
  }
  static PodNetwork Pod() {
    PodNetwork pod;
    pod.pod_id = "abc123";
    pod.pod_name = "web";
    pod.pod_namespace = "default";
    pod.pod_uid = "uid-1";
    pod.netns_path = kOwnNetns;
    pod.port_mappings = {{"tcp", 80, 8080, ""}};
    return pod;
  }
  static base::Deadline Soon() { return base::Deadline::After(20 * base::kSecondNs); }
  Attachment Prepared() {
    auto attachment = network_->Prepare(Pod());
    EXPECT_TRUE(attachment.ok()) << attachment.status();
    return attachment.ok() ? *attachment : Attachment();
  }

  TestDir dir_;
  std::string template_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Network> network_;  // last: its thread uses what is above
};

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

class NetworkStates : public Fixture {};

TEST_F(NetworkStates, NamesWhatIsMissing) {
  Open();
  EXPECT_FALSE(network_->state().ready);
  EXPECT_EQ(network_->state().reason, "NetworkPluginNotReady");
  EXPECT_EQ(network_->state().message, "no CNI configuration in '" + dir_.conf() + "'");
  EXPECT_EQ(network_->Prepare(Pod()).status().code(), absl::StatusCode::kFailedPrecondition);
  dir_.Write("conf/10-pods.conflist", "{\"name\":");
  EXPECT_TRUE(Says("no valid CNI configuration in '" + dir_.conf() + "': '" + dir_.conf() +
                   "/10-pods.conflist': not JSON: mistake at line 1"));
  dir_.Write(
      "conf/10-pods.conflist",
      R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"first","ipam":{"type":"pool"}},{"type":"second"}]})");
  dir_.Plugin("first", kResult);
  EXPECT_TRUE(Says("CNI configuration '" + dir_.conf() +
                   "/10-pods.conflist': plugins 'pool', 'second' not found in '" + dir_.path() +
                   "/nothing', '" + dir_.bin() + "'"));
  dir_.Plugin("second", kResult);
  dir_.Plugin("pool", "");
  EXPECT_TRUE(BecomesReady());
  EXPECT_EQ(network_->state().message, "");
}

TEST_F(NetworkStates, PassesOverABadFileWithAWarning) {
  dir_.Write("conf/05-bad.conflist", "{");
  TwoPlugins();
  Open();
  EXPECT_TRUE(network_->state().ready);
  EXPECT_THAT(network_->state().message, HasSubstr("passed over: '" + dir_.conf() + "/05-bad.conflist': "));
}

TEST_F(NetworkStates, FollowsRenamesAndADirectoryThatComesLater) {
  ::rmdir(dir_.conf().c_str());
  Open();
  EXPECT_FALSE(network_->state().ready);
  ::mkdir(dir_.conf().c_str(), 0755);
  TwoPlugins();
  EXPECT_TRUE(BecomesReady());
  ::rename((dir_.conf() + "/10-pods.conflist").c_str(),
           (dir_.conf() + "/10-pods.conflist.mk_disabled").c_str());
  EXPECT_TRUE(Says("no CNI configuration"));
  ::rename((dir_.conf() + "/10-pods.conflist.mk_disabled").c_str(),
           (dir_.conf() + "/10-pods.conflist").c_str());
  EXPECT_TRUE(BecomesReady());
}

TEST_F(NetworkStates, KeepsTheOldNetworkWhileAFileIsHalfWritten) {
  TwoPlugins();
  Open(/*grace_ns=*/60 * base::kSecondNs);
  ASSERT_TRUE(network_->state().ready);
  std::atomic<bool> fell = false;
  network_->OnChange([&] { fell = fell || !network_->state().ready; });
  {
    std::ofstream file(dir_.conf() + "/10-pods.conflist", std::ios::trunc);
    file << R"({"cniVersion":"1.0.0","name":"new",)" << std::flush;
    ::usleep(300000);  // time in which a hasty reader would have fallen
    EXPECT_THAT(Prepared().conflist, HasSubstr(R"("name":"pods")"));
    file << R"("plugins":[{"type":"first"}]})";
  }
  bool taken = false;
  for (int i = 0; i < 200 && !taken; ++i) {
    taken = Prepared().conflist.find(R"("name":"new")") != std::string::npos;
    ::usleep(10000);
  }
  EXPECT_TRUE(taken);
  EXPECT_FALSE(fell);
}

TEST_F(NetworkStates, ChoosesAVersionThatEveryPluginSpeaks) {
  dir_.Plugin("old", kResult, R"("0.3.1","0.4.0")");
  dir_.Plugin("new", kResult);
  dir_.Write(
      "conf/10-pods.conflist",
      R"({"cniVersion":"1.1.0","cniVersions":["0.4.0"],"name":"p","plugins":[{"type":"new"},{"type":"old"}]})");
  Open();
  ASSERT_TRUE(network_->state().ready) << network_->state().message;
  EXPECT_THAT(Prepared().conflist, HasSubstr(R"("cniVersion":"0.4.0")"));
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"new"},{"type":"old"}]})");
  EXPECT_TRUE(Says("plugin '" + dir_.bin() + "/old' speaks CNI 0.3.1, 0.4.0, not 1.0.0"));
}

TEST_F(NetworkStates, AsksForStatusAndBelievesItOnlyWhenItIsSteady) {
  dir_.Plugin("modern",
              "[ $CNI_COMMAND = STATUS ] && [ -e $D/down ] && { echo '{\"code\":50,\"msg\":\"agent is "
              "down\"}'; exit 1; }; " +
                  std::string(kResult));
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"modern"}]})");
  dir_.Write("down", "");
  Open();
  EXPECT_FALSE(network_->state().ready);
  EXPECT_EQ(
      network_->state().message,
      "CNI configuration '" + dir_.conf() +
          "/10-pods.conflist': CNI STATUS by plugin 'modern' of network 'pods': agent is down (code 50)");
  dir_.Remove("down");
  EXPECT_TRUE(BecomesReady());
  EXPECT_THAT(dir_.Read("modern.STATUS.env"), Not(HasSubstr("CNI_CONTAINERID")));
  const auto calls = [this] {
    const std::string text = dir_.Read("calls");
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto before = calls();
  dir_.Write("down", "");
  EXPECT_TRUE(Says("agent is down"));
  EXPECT_GE(calls() - before, 3);  // one failure is no verdict
}

TEST_F(NetworkStates, CollectsGarbageWhereThePluginsSpeakIt) {
  dir_.Plugin("modern", kResult);
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"modern"}]})");
  Open();
  Attachment live = Prepared();
  Attachment foreign = live;
  foreign.pod.pod_id = "other";
  foreign.conflist = R"({"cniVersion":"1.1.0","name":"elsewhere","plugins":[{"type":"modern"}]})";
  const auto status = network_->Gc({live, foreign}, Soon());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(dir_.Read("modern.GC.in"),
              HasSubstr(R"("cni.dev/valid-attachments":[{"containerID":"abc123","ifname":"eth0"}])"));
  dir_.Remove("modern.GC.in");
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.1.0","name":"quiet","disableGC":true,"plugins":[{"type":"modern"}]})");
  ASSERT_TRUE(Becomes([this](const NetworkState& state) {
    return state.ready && Prepared().conflist.find("quiet") != std::string::npos;
  }));
  EXPECT_TRUE(network_->Gc({live}, Soon()).ok());
  EXPECT_FALSE(dir_.Has("modern.GC.in"));
}

TEST_F(NetworkStates, CollectsNoGarbageWhileAPodIsBeingAdded) {
  dir_.Plugin("modern",
              "[ $CNI_COMMAND = ADD ] && while [ ! -e $D/go ]; do sleep 0.02; done; " + std::string(kResult));
  dir_.Write("conf/10-pods.conflist",
             R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"modern"}]})");
  Open();
  Attachment attachment = Prepared();
  absl::Status added = absl::UnknownError("not run");
  std::thread adding([&] { added = network_->Add(attachment, Soon()); });
  while (dir_.Read("calls").find("ADD") == std::string::npos) ::usleep(5000);
  EXPECT_EQ(network_->Gc({}, base::Deadline::After(100 * base::kMillisecondNs)).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(dir_.Has("modern.GC.in"));
  dir_.Write("go", "");
  adding.join();
  EXPECT_TRUE(added.ok()) << added;
  EXPECT_TRUE(network_->Gc({}, Soon()).ok());
  EXPECT_TRUE(dir_.Has("modern.GC.in"));
}

TEST_F(NetworkStates, TakesNoOtherFileBecauseTheOneInForceIsHalfWritten) {
  TwoPlugins();
  dir_.Write("conf/20-spare.conflist",
             R"({"cniVersion":"1.0.0","name":"spare","plugins":[{"type":"first"}]})");
  Open(/*grace_ns=*/60 * base::kSecondNs);
  ASSERT_THAT(Prepared().conflist, HasSubstr(R"("name":"pods")"));
  {
    std::ofstream file(dir_.conf() + "/10-pods.conflist", std::ios::trunc);
    file << "{" << std::flush;
    ::usleep(
        120000);  // longer than the quiet that the watcher waits for, shorter than what it takes for settled
    EXPECT_THAT(Prepared().conflist, HasSubstr(R"("name":"pods")"));
  }
  // Left like that, it is bad, and the next file is taken.
  bool taken = false;
  for (int i = 0; i < 200 && !taken; ++i) {
    taken = Prepared().conflist.find("spare") != std::string::npos;
    ::usleep(10000);
  }
  EXPECT_TRUE(taken);
}

TEST_F(NetworkStates, RendersTheTemplateUnlessAnotherNetworkIsThere) {
  dir_.Write("template",
             R"({"cniVersion":"1.0.0","name":"t","plugins":[{"type":"first","subnet":"{{.PodCIDR}}"}]})");
  template_ = dir_.path() + "/template";
  dir_.Plugin("first", kResult);
  Open();
  EXPECT_EQ(network_->SetPodCidr("10.1.0.0").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(network_->SetPodCidr("").ok());
  EXPECT_FALSE(network_->state().ready);
  ASSERT_TRUE(network_->SetPodCidr("10.1.0.0/24").ok());
  EXPECT_TRUE(BecomesReady());
  EXPECT_THAT(dir_.Read("conf/10-berth.conflist"), HasSubstr("10.1.0.0/24"));
  ASSERT_TRUE(network_->SetPodCidr("10.2.0.0/24").ok());
  EXPECT_THAT(dir_.Read("conf/10-berth.conflist"), HasSubstr("10.2.0.0/24"));
  dir_.Write("conf/05-mine.conflist", R"({"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"first"}]})");
  ASSERT_TRUE(
      Becomes([this](const NetworkState&) { return Prepared().conflist.find("mine") != std::string::npos; }));
  ASSERT_TRUE(network_->SetPodCidr("10.3.0.0/24").ok());
  EXPECT_THAT(dir_.Read("conf/10-berth.conflist"), HasSubstr("10.2.0.0/24"));
}

}  // namespace
}  // namespace berth::network
