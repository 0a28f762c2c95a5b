// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/run.h"

#include <string.h>
#include <sys/mount.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "e2e/bench/machine.h"
#include "e2e/bench/phases.h"
#include "e2e/bench/pod.h"
#include "e2e/bench/progress.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/namespaces.h"
#include "e2e/cri/harness/registry.h"

namespace berth::e2e::bench {
namespace {

using Json = nlohmann::json;

std::string Now() {
  const time_t now = ::time(nullptr);
  tm parts{};
  char text[32];
  ::gmtime_r(&now, &parts);
  ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

class Course {
 public:
  Course(const Options& options, const Place& place)
      : options_(options), place_(place), load_(place.cgroup), report_{{"format", 1}, {"began", Now()}} {}

  int Run() {
    Prepare();
    for (int round = -options_.warmup; round < options_.rounds && AnyLeft(); ++round) Round(round);
    if (Wanted("density")) {
      for (int round = 0; round < options_.density_rounds && AnyLeft(); ++round) DensityRound(round);
    }
    Save();
    KeepLogs();
    for (const auto& [side, reason] : failed_) Say("failed: " + side + ": " + reason);
    return failed_.empty() ? 0 : 1;
  }

 private:
  bool Wanted(const std::string& phase) const {
    return options_.only.empty() ||
           std::find(options_.only.begin(), options_.only.end(), phase) != options_.only.end();
  }

  void Prepare() {
    ground_.dir = place_.dir;
    ground_.state_dir = place_.dir + "/state";
    ground_.cgroup = place_.cgroup;
    ground_.certs_dir = place_.dir + "/certs.d";
    MakeDirs(ground_.state_dir);
    if (::mount("tmpfs", ground_.state_dir.c_str(), "tmpfs", 0, "mode=711") != 0)
      throw TestError("cannot mount a tmpfs on '" + ground_.state_dir + "': " + strerror(errno));
    registry_ = std::make_unique<Registry>(place_.dir + "/registry", options_.images);
    registry_->Start();
    WriteHosts(ground_.certs_dir, Registry::Address(), {"http://" + Registry::Address()});
    std::vector<std::string> images{"busybox", options_.pull_image};
    const bool pause = std::any_of(options_.sides.begin(), options_.sides.end(), [](const std::string& side) {
      return side.find("containerd") != std::string::npos;
    });
    if (pause) images.emplace_back("bench-pause");
    for (const std::string& image : images) registry_->Push(image, image + ":1");

    for (const std::string& name : options_.sides) {
      const int number = static_cast<int>(sides_.size());
      sides_.push_back(name.rfind("berthd", 0) == 0 ? MakeBerthd(name, options_, ground_, number)
                                                    : MakeContainerd(name, options_, ground_, number));
    }
    for (size_t i = 0; i < options_.endpoints.size(); ++i)
      sides_.push_back(MakeForeign(options_, ground_, i));
    Json described = Json::array();
    for (const auto& side : sides_) {
      Attempt(*side, "start", [&] {
        side->Start();
        cri::PullImageRequest pull;
        pull.mutable_image()->set_image(ImageName("busybox"));
        Must(side->client().PullImage(pull, seconds(120)));
        Json entry = side->Describe();
        entry["name"] = side->name();
        Say(side->name() + ": " + entry["runtime"].get<std::string>() + ", " +
            entry["oci_runtime"].get<std::string>());
        described.push_back(std::move(entry));
      });
    }
    report_["machine"] = DescribeMachine(place_.dir);
    report_["sides"] = described;
    report_["rounds"] = Json::array();
    report_["options"] = {{"warmup", options_.warmup},
                          {"rounds", options_.rounds},
                          {"pods", options_.pods},
                          {"execs", options_.execs},
                          {"burst", options_.burst},
                          {"log_mib", options_.log_mib},
                          {"stream_mib", options_.stream_mib},
                          {"density", options_.density},
                          {"density_rounds", options_.density_rounds},
                          {"poll_seconds", options_.poll_seconds},
                          {"pull_image", options_.pull_image}};
    load_.Take();
  }

  // The sides in the order of this round: forwards and backwards in turns, each time another one first, so
  // that none has always the same predecessor.
  std::vector<Side*> Order(int round) const {
    std::vector<Side*> order;
    for (const auto& side : sides_) {
      if (failed_.count(side->name()) == 0) order.push_back(side.get());
    }
    if (order.empty()) return order;
    const int turns = round + options_.warmup;
    std::rotate(order.begin(), order.begin() + (turns / 2) % static_cast<int>(order.size()), order.end());
    if (turns % 2 == 1) std::reverse(order.begin(), order.end());
    return order;
  }

  void Round(int round) {
    const bool warmup = round < 0;
    for (const Phase& phase : Phases()) {
      if (!Wanted(phase.name)) continue;
      Say((warmup ? "warm-up: " : "round " + std::to_string(round + 1) + ": ") + phase.name);
      for (Side* side : Order(round)) {
        if (failed_.count(side->name()) != 0) continue;
        Recorder recorder(&samples_, side->name(), round);
        if (warmup) recorder = recorder.Discarding();
        Attempt(*side, phase.name, [&] {
          side->Settle();
          phase.run(*side, options_, recorder);
          side->Settle();
        });
      }
    }
    TakeLoad(warmup ? "warm-up round"
                    : "round " + std::to_string(round + 1) + " of " + std::to_string(options_.rounds));
  }

  void DensityRound(int round) {
    for (Side* side : Order(round)) {
      Attempt(*side, "density", [&] { Density(*side, options_, Recorder(&samples_, side->name(), round)); });
    }
    TakeLoad("density round " + std::to_string(round + 1) + " of " + std::to_string(options_.density_rounds));
  }

  void Attempt(Side& side, const std::string& what, const std::function<void()>& act) {
    try {
      act();
    } catch (const std::exception& error) {
      const std::string reason = what + ": " + (side.Running() ? "" : "the daemon is gone: ") + error.what();
      failed_[side.name()] = reason;
      samples_.Note(side.name() + " failed and was left out from then on: " + reason);
    }
  }

  bool AnyLeft() const { return failed_.size() < sides_.size(); }

  void TakeLoad(const std::string& what) {
    Json load = load_.Take();
    char text[100];
    snprintf(text, sizeof text, "%s; others used %.0f %% of one processor, load average %.1f", what.c_str(),
             load["others_percent"].get<double>(), load["load_average"].get<double>());
    Say(text);
    load["what"] = what;
    report_["rounds"].push_back(std::move(load));
    Save();  // what is there stays, whatever happens next
  }

  void Save() {
    Json report = report_;
    report["ended"] = Now();
    report.update(samples_.ToJson());
    WriteFile(options_.out + ".new", report.dump(1) + "\n");
    std::filesystem::rename(options_.out + ".new", options_.out);
  }

  void KeepLogs() const {
    if (options_.keep.empty()) return;
    MakeDirs(options_.keep);
    for (const auto& side : sides_) {
      if (!side->LogFile().empty())
        WriteFile(options_.keep + "/" + side->Slug() + ".log", TryReadFile(side->LogFile()).value_or(""));
    }
  }

  const Options& options_;
  const Place& place_;
  Ground ground_;
  LoadMeter load_;
  Samples samples_;
  Json report_;
  std::unique_ptr<Registry> registry_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::map<std::string, std::string> failed_;
};

}  // namespace

int Run(const Options& options, const Place& place) {
  // A runtime that runs already has the network namespace that it has: the registry must be in the same one.
  if (options.endpoints.empty() && !EnterOwnNamespaces())
    throw TestError(std::string("cannot make namespaces for the run: ") + strerror(errno));
  return Course(options, place).Run();
}

}  // namespace berth::e2e::bench
