// SPDX-License-Identifier: Apache-2.0
// Every RPC of the CRI is either served or says in a sentence that it is not.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>

#include <set>

#include "e2e/cri/harness/environment.h"

namespace berth::e2e {
namespace {

// What is not served yet. Who makes one work takes its line out; the test then demands that it works.
const std::set<std::string> kUnimplemented = {
    "CheckpointContainer",     "CheckpointPod",         "GetContainerEvents", "ListMetricDescriptors",
    "ListPodSandboxMetrics",   "ListPodSandboxStats",   "PodSandboxStats",    "RestorePod",
    "StreamPodSandboxMetrics", "StreamPodSandboxStats",
};

TEST(Coverage, EveryRpcIsServedOrSaysInASentenceThatItIsNot) {
  BERTH_NEEDS_OWN_DAEMON();
  std::set<std::string> unimplemented;
  int asked = 0;
  for (const char* service : {"runtime.v1.RuntimeService", "runtime.v1.ImageService"}) {
    const auto* methods = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    ASSERT_NE(methods, nullptr);
    for (int i = 0; i < methods->method_count(); ++i, ++asked) {
      const std::string& name = methods->method(i)->name();
      const absl::Status status = Cri().Probe("/" + std::string(service) + "/" + name);
      if (status.code() == absl::StatusCode::kUnimplemented) {
        unimplemented.insert(name);
        EXPECT_GT(status.message().size(), 20U) << name << ": " << status;
      } else {
        EXPECT_NE(status.code(), absl::StatusCode::kUnavailable) << name << ": " << status;
        EXPECT_NE(status.code(), absl::StatusCode::kUnknown) << name << ": " << status;
      }
    }
  }
  EXPECT_EQ(unimplemented, kUnimplemented);
  EXPECT_GT(asked, 40);
}

TEST(Coverage, AMethodThatTheCriDoesNotHaveIsUnimplementedToo) {
  EXPECT_EQ(Cri().Probe("/runtime.v1.RuntimeService/NoSuchMethod").code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace berth::e2e
