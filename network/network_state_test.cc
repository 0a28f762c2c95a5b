// SPDX-License-Identifier: Apache-2.0
// What a Network says of itself while files, programs and their answers change.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "network/json.h"
#include "network/network.h"
#include "network/network_fixture.h"

namespace berth::network {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class NetworkStates : public Fixture {};

// Counts how often somebody has read a file.
class LooksAt {
 public:
  explicit LooksAt(const std::string& path) : fd_(::inotify_init1(IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(fd_.get(), path.c_str(), IN_CLOSE_NOWRITE), 0);
  }
  bool Wait(int times) const {
    for (int seen = 0; seen < times;) {
      pollfd ready{fd_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 20'000) <= 0) return false;
      alignas(inotify_event) char buffer[4096];
      const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      // Of one watch on one file all events have the same size, and no name.
      if (got > 0) seen += static_cast<int>(got / static_cast<ssize_t>(sizeof(inotify_event)));
    }
    return true;
  }

 private:
  base::UniqueFd fd_;
};

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
    const LooksAt looks(dir_.conf() + "/10-pods.conflist");
    file << R"({"cniVersion":"1.0.0","name":"new",)" << std::flush;
    // The second look comes after what the first one led to.
    EXPECT_TRUE(looks.Wait(2));
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
    const LooksAt looks(dir_.conf() + "/10-pods.conflist");
    file << "{" << std::flush;
    EXPECT_TRUE(looks.Wait(1));
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
