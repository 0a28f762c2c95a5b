// SPDX-License-Identifier: Apache-2.0
// Eight clients do what kubelet does while the daemon is killed every few seconds and a monitor now and then:
// every exit code that can be known is right, every operation ends, nothing is left. Two minutes, in a full
// run twenty. BERTH_CHAOS_SEED repeats a run's choices, BERTH_CHAOS_SECONDS sets its length.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <random>
#include <set>

#include "e2e/cri/harness/berth.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

constexpr int kClients = 8;
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
// From the first try of an operation to its success, kills and all.
constexpr auto kWedged = seconds(90);

// Monitors that were killed: their containers may end as `monitor lost`.
class Lost {
 public:
  void Add(const std::string& pod) {
    const std::lock_guard lock(mutex_);
    pods_.insert(pod);
  }
  bool Has(const std::string& pod) const {
    const std::lock_guard lock(mutex_);
    return pods_.count(pod) != 0;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return pods_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::string> pods_;
};

struct Totals {
  std::atomic<int> pods{0}, exits{0}, execs{0}, pulls{0}, unknown{0}, wrong{0};
};

class ChaosClient {
 public:
  ChaosClient(int number, unsigned seed, const Client& client, Lost* lost, Totals* totals)
      : random_(seed + static_cast<unsigned>(number)),
        image_(Registry::Name("chaos-" + std::to_string(number) + ":1")),
        client_(client),
        lost_(lost),
        totals_(totals) {}

  void RunUntil(Clock::time_point end) {
    while (Clock::now() < end) {
      try {
        OnePod();
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
        ++totals_->wrong;
        if (totals_->wrong > 20) return;
      }
    }
  }

 private:
  struct Running {
    std::string id;
    int code = 0;
    bool started = false;
  };

  int Pick(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

  // Again until it works, as kubelet does. A call may have done its work and lost only the answer.
  template <typename Call>
  auto Insist(const std::string& what, Call call) {
    const auto begin = Clock::now();
    for (;;) {
      auto reply = call();
      if (reply.ok()) return *std::move(reply);
      const bool passing = absl::IsUnavailable(reply.status()) || absl::IsDeadlineExceeded(reply.status()) ||
                           absl::IsCancelled(reply.status()) || absl::IsAborted(reply.status()) ||
                           absl::IsUnknown(reply.status());
      if (!passing || Clock::now() - begin > kWedged)
        throw TestError(what + ": " + reply.status().ToString() + " after " +
                        std::to_string(SecondsSince(begin)) + " s");
      std::this_thread::sleep_for(milliseconds(50));
    }
  }

  std::string Listed(const cri::PodSandboxConfig& config) {
    cri::ListPodSandboxRequest list;
    (*list.mutable_filter()->mutable_label_selector())["io.kubernetes.pod.uid"] = config.metadata().uid();
    const auto shown = Insist("ListPodSandbox", [&] { return client_.ListPodSandbox(list, seconds(10)); });
    for (const auto& pod : shown.items()) {
      if (pod.state() == cri::SANDBOX_READY) return pod.id();
    }
    return "";
  }

  std::string RunPod(cri::PodSandboxConfig* config) {
    const auto begin = Clock::now();
    cri::RunPodSandboxRequest run;
    for (;;) {
      *run.mutable_config() = *config;
      const auto made = client_.RunPodSandbox(run, seconds(30));
      if (made.ok()) return made->pod_sandbox_id();
      if (Clock::now() - begin > kWedged) throw TestError("RunPodSandbox: " + made.status().ToString());
      std::this_thread::sleep_for(milliseconds(50));
      if (std::string id = Listed(*config); !id.empty()) return id;
    }
  }

  // A start whose answer was lost: is it there all the same?
  std::optional<Running> RunContainer(const std::string& pod, const cri::PodSandboxConfig& config, int code) {
    cri::CreateContainerRequest create;
    create.set_pod_sandbox_id(pod);
    *create.mutable_sandbox_config() = config;
    auto& container = *create.mutable_config();
    container.mutable_metadata()->set_name("c" + std::to_string(next_++));
    container.mutable_image()->set_image(image_);
    container.set_log_path(container.metadata().name() + ".log");
    const std::string wait = std::to_string(Pick(3000));
    for (const char* word : {"faults", "after"}) container.add_command(word);
    for (const std::string& word : {wait, std::string("--"), std::string("exit"), std::to_string(code)})
      container.add_command(word);
    Running running;
    running.code = code;
    const auto begin = Clock::now();
    for (;;) {
      const auto made = client_.CreateContainer(create, seconds(30));
      if (made.ok()) {
        running.id = made->container_id();
        break;
      }
      if (absl::IsAlreadyExists(made.status())) {
        cri::ListContainersRequest list;
        list.mutable_filter()->set_pod_sandbox_id(pod);
        const auto shown =
            Insist("ListContainers", [&] { return client_.ListContainers(list, seconds(10)); });
        for (const auto& each : shown.containers()) {
          if (each.metadata().name() == container.metadata().name()) running.id = each.id();
        }
        if (!running.id.empty()) break;
      }
      if (absl::IsFailedPrecondition(made.status()) || absl::IsNotFound(made.status())) return std::nullopt;
      if (Clock::now() - begin > kWedged) throw TestError("CreateContainer: " + made.status().ToString());
      std::this_thread::sleep_for(milliseconds(50));
    }
    const auto started =
        client_.StartContainer(WithContainer<cri::StartContainerRequest>(running.id), seconds(30));
    running.started = started.ok();
    return running;
  }

  void ExpectEnd(const std::string& pod, const Running& container) {
    cri::ContainerStatus status;
    const auto begin = Clock::now();
    for (;;) {
      status = Insist("ContainerStatus", [&] {
                 return client_.ContainerStatus(WithContainer<cri::ContainerStatusRequest>(container.id),
                                                seconds(10));
               }).status();
      if (status.state() == cri::CONTAINER_EXITED) break;
      // A start that was never carried out leaves it CREATED: kubelet would start it; here that is its end.
      if (!container.started && status.state() == cri::CONTAINER_CREATED &&
          Clock::now() - begin > seconds(5)) {
        return;
      }
      if (Clock::now() - begin > kWedged)
        throw TestError("a container does not end: " + status.ShortDebugString());
      std::this_thread::sleep_for(milliseconds(100));
    }
    ++totals_->exits;
    if (status.exit_code() == container.code && status.reason() != "StartError") return;
    const bool excused = lost_->Has(pod) && (status.message().find("monitor lost") != std::string::npos ||
                                             status.reason() == "StartError");
    const bool never_ran = !container.started && status.reason() == "StartError";
    if (excused || never_ran) {
      ++totals_->unknown;
      return;
    }
    ++totals_->wrong;
    ADD_FAILURE() << "exit code " << status.exit_code() << " (" << status.reason() << ": " << status.message()
                  << ") instead of " << container.code << " of container " << container.id << " in pod "
                  << pod;
  }

  void Exec(const Running& container) {
    const int code = Pick(200);
    cri::ExecSyncRequest exec;
    exec.set_container_id(container.id);
    for (const char* word : {"faults", "exit"}) exec.add_cmd(word);
    exec.add_cmd(std::to_string(code));
    exec.set_timeout(20);
    const auto reply = client_.ExecSync(exec, seconds(40));
    if (!reply.ok()) return;  // it ended meanwhile, or the daemon did
    ++totals_->execs;
    // 137: its container ended first, and everything in it was killed.
    if (reply->exit_code() != code && reply->exit_code() != 137) {
      ++totals_->wrong;
      ADD_FAILURE() << "an exec ended with " << reply->exit_code() << " instead of " << code;
    }
  }

  void OnePod() {
    cri::PullImageRequest pull;
    pull.mutable_image()->set_image(image_);
    Insist("PullImage", [&] { return client_.PullImage(pull, seconds(60)); });
    ++totals_->pulls;
    cri::PodSandboxConfig config = PodConfig();
    if (Pick(3) == 0) Namespaces(&config)->set_pid(cri::POD);
    MakeDirs(config.log_directory());
    const std::string pod = RunPod(&config);
    ++totals_->pods;
    std::vector<Running> containers;
    for (int i = 1 + Pick(3); i > 0; --i) {
      if (auto container = RunContainer(pod, config, Pick(256))) containers.push_back(*container);
    }
    for (const Running& container : containers) {
      if (Pick(2) == 0) Exec(container);
    }
    const bool early = Pick(4) == 0;  // removed while they run
    if (!early) {
      for (const Running& container : containers) ExpectEnd(pod, container);
    }
    Insist("StopPodSandbox",
           [&] { return client_.StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod), seconds(60)); });
    Insist("RemovePodSandbox",
           [&] { return client_.RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod), seconds(60)); });
    if (Pick(5) == 0) {
      cri::RemoveImageRequest remove;
      remove.mutable_image()->set_image(image_);
      Insist("RemoveImage", [&] { return client_.RemoveImage(remove, seconds(30)); });
    }
  }

  std::mt19937 random_;
  const std::string image_;
  const Client& client_;
  Lost* const lost_;
  Totals* const totals_;
  int next_ = 0;
};

struct Weight {
  size_t descriptors = 0, threads = 0;
  long rss_kib = 0;
};
Weight Weigh(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  Weight weight;
  weight.descriptors = ListDir(proc + "/fd").size();
  weight.threads = ListDir(proc + "/task").size();
  for (const std::string& line : Lines(ReadFile(proc + "/status"))) {
    if (line.rfind("VmRSS:", 0) == 0) weight.rss_kib = std::atol(line.c_str() + 6);
  }
  return weight;
}

class Chaos : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    Environment& environment = Environment::Get();
    for (int i = 0; i < kClients; ++i)
      environment.registry().Push("busybox", "chaos-" + std::to_string(i) + ":1");
    daemon_ = std::make_unique<Daemon>(environment.AnotherDaemon("chaos"));
    environment.Use(daemon_.get());
    daemon_->Start();
  }
  void TearDown() override {
    Environment::Get().Use(nullptr);
    daemon_.reset();
  }

  void KillAMonitor(std::mt19937* random, Lost* lost) {
    const std::string pods = daemon_->state() + "/pods";
    const std::vector<std::string> names = ListDir(pods);
    if (names.empty()) return;
    const std::string pod = names[(*random)() % names.size()];
    const pid_t pid = std::atoi(TryReadFile(pods + "/" + pod + "/monitor.pid").value_or("").c_str());
    // The file outlives its process: is it still that pod's monitor?
    const std::string line = TryReadFile("/proc/" + std::to_string(pid) + "/cmdline").value_or("");
    if (pid <= 1 || line.find(pod) == std::string::npos) return;
    lost->Add(pod);
    ::kill(pid, SIGKILL);
  }

  void Clients(unsigned seed, Clock::duration time, Lost* lost, Totals* totals,
               const std::function<void(Clock::time_point)>& meanwhile) {
    const Clock::time_point end = Clock::now() + time;
    std::vector<std::thread> threads;
    for (int i = 0; i < kClients; ++i) {
      threads.emplace_back([&, i] { ChaosClient(i, seed, daemon_->client(), lost, totals).RunUntil(end); });
    }
    meanwhile(end);
    for (std::thread& thread : threads) thread.join();
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Chaos, ExitCodesAreRightAndNothingIsLeftWhateverIsKilledWhen) {
  const char* asked = std::getenv("BERTH_CHAOS_SEED");
  const unsigned seed = asked != nullptr ? static_cast<unsigned>(std::atol(asked)) : std::random_device()();
  const char* length = std::getenv("BERTH_CHAOS_SECONDS");
  const auto time = seconds(length != nullptr ? std::atol(length) : GetOptions().full ? 1200 : 120);
  std::cout << "BERTH_CHAOS_SEED=" << seed << "\n";
  Lost lost;
  Totals totals;
  int kills = 0;
  std::mt19937 random(seed + 1000);
  Clients(seed, time, &lost, &totals, [&](Clock::time_point end) {
    while (Clock::now() < end) {
      // As long as a pod takes, more or less: where nothing is ever finished, nothing is tested.
      std::this_thread::sleep_for(Patient(milliseconds(1500 + random() % 4000)));
      if (random() % 4 == 0) KillAMonitor(&random, &lost);
      daemon_->Kill9();
      std::this_thread::sleep_for(milliseconds(random() % 1500));
      daemon_->Start();
      ++kills;
    }
  });
  std::cout << kills << " kills of the daemon, " << lost.size() << " of monitors; " << totals.pods
            << " pods, " << totals.exits << " exits (" << totals.unknown << " unknowable), " << totals.execs
            << " execs, " << totals.pulls << " pulls\n";
  EXPECT_EQ(totals.wrong, 0);
  EXPECT_GT(totals.exits, 0);
  EXPECT_EQ(Must(Cri().ListPodSandbox({})).items_size(), 0);
  FsckResult looked;
  EXPECT_TRUE(Eventually([&] { return (looked = Fsck()).exit_code == 0; }, seconds(60))) << looked.output;
}

TEST_F(Chaos, TheDaemonIsNoHeavierAfterHundredsOfPods) {
  const auto round = [&](Clock::duration time) {
    Lost lost;
    Totals totals;
    Clients(7, time, &lost, &totals, [](Clock::time_point) {});
    EXPECT_EQ(totals.wrong, 0);
    return Weigh(daemon_->pid());
  };
  const auto time = seconds(GetOptions().full ? 120 : 12);
  round(time);
  const Weight before = round(time);
  Weight after = round(time);
  // Threads that idle end in their own time. ASan keeps what was freed for a while.
  const double growth = kSanitized ? 3 : 1.15;
  const auto flat = [&] {
    after = Weigh(daemon_->pid());
    return after.descriptors <= before.descriptors + 2 && after.threads <= before.threads + 4 &&
           static_cast<double>(after.rss_kib) <= static_cast<double>(before.rss_kib) * growth + 4096;
  };
  EXPECT_TRUE(Eventually(flat, seconds(60)));
  std::cout << "descriptors " << before.descriptors << " → " << after.descriptors << ", threads "
            << before.threads << " → " << after.threads << ", RSS " << before.rss_kib << " → "
            << after.rss_kib << " KiB\n";
  const FsckResult looked = Fsck();
  EXPECT_EQ(looked.exit_code, 0) << looked.output;
}

}  // namespace
}  // namespace berth::e2e
