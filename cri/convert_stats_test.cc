// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_stats.h"

#include <gtest/gtest.h>

namespace berth::cri {
namespace {

runtime::ContainerStatsView View() {
  auto container = std::make_shared<runtime::ContainerStatus>();
  container->id = "c1";
  container->config.metadata = {"main", 1};
  container->config.labels = {{"l", "1"}};
  runtime::ContainerStatsView view;
  view.container = container;
  view.stats.cpu.timestamp_ns = 100;
  view.stats.cpu.usage_ns = 7;
  view.stats.memory.timestamp_ns = 101;
  view.stats.memory.usage_bytes = 60;
  view.stats.memory.working_set_bytes = 40;
  view.stats.memory.rss_bytes = 30;
  return view;
}

TEST(StatsToCri, CarryAttributesAndNumbers) {
  const auto stats = StatsMessage(View());
  EXPECT_EQ(stats.attributes().id(), "c1");
  EXPECT_EQ(stats.attributes().metadata().name(), "main");
  EXPECT_EQ(stats.attributes().labels().at("l"), "1");
  EXPECT_EQ(stats.cpu().timestamp(), 100);
  EXPECT_EQ(stats.cpu().usage_core_nano_seconds().value(), 7U);
  EXPECT_EQ(stats.memory().usage_bytes().value(), 60U);
  EXPECT_EQ(stats.memory().working_set_bytes().value(), 40U);
  EXPECT_EQ(stats.memory().rss_bytes().value(), 30U);
}

TEST(StatsToCri, WhatIsLeftIsKnownOnlyWithALimit) {
  auto view = View();
  EXPECT_FALSE(StatsMessage(view).memory().has_available_bytes());
  view.stats.memory.limit_bytes = 100;
  EXPECT_EQ(StatsMessage(view).memory().available_bytes().value(), 60U);
  view.stats.memory.limit_bytes = 30;
  EXPECT_EQ(StatsMessage(view).memory().available_bytes().value(), 0U) << "no wrap-around below zero";
}

TEST(StatsToCri, PressureIsInNanosecondsAndAbsentWithoutPsi) {
  auto view = View();
  EXPECT_FALSE(StatsMessage(view).cpu().has_psi());
  EXPECT_FALSE(StatsMessage(view).has_io());
  view.stats.memory_psi = cgroupfs::Psi{{1, 2, 3, 5}, {0, 0, 0, 6}};
  view.stats.io_psi = cgroupfs::Psi{};
  const auto stats = StatsMessage(view);
  EXPECT_EQ(stats.memory().psi().some().total(), 5000U);
  EXPECT_EQ(stats.memory().psi().full().total(), 6000U);
  EXPECT_EQ(stats.memory().psi().some().avg60(), 2);
  EXPECT_TRUE(stats.io().has_psi());
}

TEST(StatsToCri, SwapOnlyWhereItIsCounted) {
  auto view = View();
  EXPECT_FALSE(StatsMessage(view).has_swap());
  view.stats.memory.swap_usage_bytes = 4;
  EXPECT_FALSE(StatsMessage(view).swap().has_swap_available_bytes());
  view.stats.memory.swap_limit_bytes = 10;
  EXPECT_EQ(StatsMessage(view).swap().swap_available_bytes().value(), 6U);
}

TEST(StatsToCri, AContainerThatDoesNotRunHasNoNumbersButItsLayer) {
  auto view = View();
  view.stats = {};
  view.writable_layer = image::FsUsage{9, "/layer", 5, 2};
  const auto stats = StatsMessage(view);
  EXPECT_TRUE(stats.has_attributes());
  EXPECT_FALSE(stats.has_cpu());
  EXPECT_FALSE(stats.has_memory());
  EXPECT_EQ(stats.writable_layer().used_bytes().value(), 5U);
  EXPECT_EQ(stats.writable_layer().inodes_used().value(), 2U);
}

}  // namespace
}  // namespace berth::cri
