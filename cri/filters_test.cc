// SPDX-License-Identifier: Apache-2.0
#include "cri/filters.h"

#include <gtest/gtest.h>

#include "cri/lists.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

runtime::ContainerStatus Container() {
  runtime::ContainerStatus container;
  container.id = "abcdef";
  container.pod_id = "123456";
  container.state = runtime::ContainerState::kRunning;
  container.config.labels = {{"a", "1"}, {"b", "2"}};
  return container;
}

TEST(ContainerFilters, AnEmptyOneMatchesAll) { EXPECT_TRUE(Matches(v1::ContainerFilter(), Container())); }

TEST(ContainerFilters, AllFieldsMustMatch) {
  v1::ContainerFilter filter;
  filter.set_id("abcdef");
  filter.set_pod_sandbox_id("123456");
  filter.mutable_state()->set_state(v1::CONTAINER_RUNNING);
  (*filter.mutable_label_selector())["a"] = "1";
  EXPECT_TRUE(Matches(filter, Container()));
  auto other = filter;
  other.set_pod_sandbox_id("999");
  EXPECT_FALSE(Matches(other, Container()));
  other = filter;
  other.mutable_state()->set_state(v1::CONTAINER_EXITED);
  EXPECT_FALSE(Matches(other, Container()));
  other = filter;
  (*other.mutable_label_selector())["b"] = "other";
  EXPECT_FALSE(Matches(other, Container()));
  other = filter;
  (*other.mutable_label_selector())["c"] = "";
  EXPECT_FALSE(Matches(other, Container())) << "a label that is absent is not an empty one";
}

TEST(ContainerFilters, TheStateZeroIsAStateWhenItIsSet) {
  v1::ContainerFilter filter;
  filter.mutable_state()->set_state(v1::CONTAINER_CREATED);
  EXPECT_FALSE(Matches(filter, Container()));
}

TEST(ContainerFilters, ABeginningOfTheIdIsEnough) {
  v1::ContainerFilter filter;
  filter.set_id("abc");
  EXPECT_TRUE(Matches(filter, Container()));
  filter.set_id("bcd");
  EXPECT_FALSE(Matches(filter, Container()));
}

TEST(PodFilters, StateAndLabels) {
  runtime::PodStatus pod;
  pod.id = "p1";
  pod.state = runtime::PodState::kNotReady;
  pod.config.labels = {{"io.kubernetes.pod.uid", "u"}};
  v1::PodSandboxFilter filter;
  (*filter.mutable_label_selector())["io.kubernetes.pod.uid"] = "u";
  EXPECT_TRUE(Matches(filter, pod));
  filter.mutable_state()->set_state(v1::SANDBOX_READY);
  EXPECT_FALSE(Matches(filter, pod));
}

TEST(StatsFilters, IdPodAndLabels) {
  v1::ContainerStatsFilter filter;
  EXPECT_TRUE(Matches(filter, Container()));
  filter.set_pod_sandbox_id("123456");
  EXPECT_TRUE(Matches(filter, Container()));
  (*filter.mutable_label_selector())["a"] = "2";
  EXPECT_FALSE(Matches(filter, Container()));
}

TEST(StreamedLists, AreCutIntoChunksAndAnEmptyOneHasNone) {
  const auto cut = [](int count) {
    return Chunks<v1::StreamContainersResponse>(std::vector<int>(count),
                                                [](int, auto* chunk) { chunk->add_containers(); });
  };
  EXPECT_EQ(cut(0).size(), 0U);
  EXPECT_EQ(cut(50).size(), 1U);
  const auto two = cut(51);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].containers_size(), 50);
  EXPECT_EQ(two[1].containers_size(), 1);
}

}  // namespace
}  // namespace berth::cri
