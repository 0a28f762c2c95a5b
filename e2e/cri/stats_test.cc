// SPDX-License-Identifier: Apache-2.0
// ContainerStats and ListContainerStats, as kubelet's summary and eviction read them.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

cri::ContainerStats StatsOf(const Container& container) {
  return Must(Cri().ContainerStats(WithContainer<cri::ContainerStatsRequest>(container.id()))).stats();
}

TEST(Stats, TellMemoryCpuAndTheWritableLayer) {
  const Pod pod;
  const Container container = Container::Run(pod, WithMemory(Faults({"eat", "30", "0", "30"}), 100 * kMiB));
  container.WaitLine("holding");
  container.Sh("head -c 5000000 /dev/zero > /written; sync");
  const cri::ContainerStats stats = StatsOf(container);
  EXPECT_EQ(stats.attributes().id(), container.id());
  EXPECT_EQ(stats.attributes().metadata().name(), container.config().metadata().name());
  EXPECT_GT(stats.cpu().timestamp(), 0);
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0U);
  EXPECT_GE(stats.memory().working_set_bytes().value(), 30U * kMiB);
  EXPECT_LE(stats.memory().working_set_bytes().value(), 60U * kMiB);
  if (OwnDaemon()) {
    EXPECT_GE(stats.memory().usage_bytes().value(), stats.memory().working_set_bytes().value());
    EXPECT_EQ(stats.memory().available_bytes().value(),
              100U * kMiB - stats.memory().working_set_bytes().value());
    EXPECT_GE(stats.memory().rss_bytes().value(), 30U * kMiB);
    EXPECT_GT(stats.memory().page_faults().value(), 0U);
  }
  WaitFor(
      "the writable layer's size",
      [&] {
        const cri::FilesystemUsage layer = StatsOf(container).writable_layer();
        return layer.used_bytes().value() >= 5000000 && layer.inodes_used().value() >= 1;
      },
      seconds(90));  // measured in the background, as du is slow
  EXPECT_TRUE(Exists(StatsOf(container).writable_layer().fs_id().mountpoint()));
}

TEST(Stats, CpuTimeGrowsWithItsTimestamp) {
  const Pod pod;
  const Container container = Container::Run(pod, Shell("while :; do :; done"));
  const cri::ContainerStats first = StatsOf(container);
  const auto used = [](const cri::ContainerStats& stats) {
    return stats.cpu().usage_core_nano_seconds().value();
  };
  cri::ContainerStats second;
  // However little a busy machine gives it.
  WaitFor("it to use a processor for 50 ms", [&] {
    second = StatsOf(container);
    return used(second) > used(first) + 50'000'000U;
  });
  EXPECT_GT(second.cpu().timestamp(), first.cpu().timestamp());
  const auto grown = used(second) - used(first);
  EXPECT_LE(grown, static_cast<uint64_t>(second.cpu().timestamp() - first.cpu().timestamp()) * 2);
}

TEST(Stats, StartedContainersAreFoundByEveryFilter) {
  const Pod pod, other;
  const Container one = Container::Run(pod, Server()), two = Container::Run(other, Server());
  const auto ids = [](const std::function<void(cri::ContainerStatsFilter*)>& edit) {
    cri::ListContainerStatsRequest request;
    if (edit) edit(request.mutable_filter());
    const cri::ListContainerStatsResponse reply = Must(Cri().ListContainerStats(request));
    std::vector<std::string> found;
    for (const cri::ContainerStats& stats : reply.stats()) {
      EXPECT_TRUE(stats.has_attributes()) << "kubelet dereferences it";
      found.push_back(stats.attributes().id());
    }
    return found;
  };
  EXPECT_THAT(ids({}), testing::IsSupersetOf({one.id(), two.id()}));
  EXPECT_THAT(ids([&](auto* f) { f->set_id(one.id()); }), testing::ElementsAre(one.id()));
  EXPECT_THAT(ids([&](auto* f) { f->set_pod_sandbox_id(other.id()); }), testing::ElementsAre(two.id()));
  EXPECT_THAT(ids([&](auto* f) {
                (*f->mutable_label_selector())["io.kubernetes.container.name"] =
                    one.config().metadata().name();
              }),
              testing::ElementsAre(one.id()));
}

TEST(Stats, OfAnUnknownContainerAreAnError) {
  EXPECT_FALSE(Cri().ContainerStats(WithContainer<cri::ContainerStatsRequest>("0123456789abcdef")).ok());
}

TEST(Stats, AContainerWithoutALimitHasNoAvailableBytes) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_FALSE(StatsOf(container).memory().has_available_bytes());
}

}  // namespace
}  // namespace berth::e2e
