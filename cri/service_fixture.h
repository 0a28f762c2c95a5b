// SPDX-License-Identifier: Apache-2.0
// The services on a real unix socket, above stand-ins. For one test file: it includes the generated services.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/status.h"
#include "cri/services.h"
#include "cri/testing.h"
#include "proto/berth/operator/v1/operator.grpc.pb.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::cri {

namespace v1 = ::runtime::v1;
namespace ops = ::berth::ops::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Something that happens once, waited for with a limit.
class Event {
 public:
  void Set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait(milliseconds limit = seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

class ServiceTest : public testing::Test {
 protected:
  explicit ServiceTest(int threads = 8) : workers_(threads), doctor_(DoctorSources{}) {
    runtime_.given.images = &images_;
    runtime_.given.network = &network_;
    runtime_.given.handlers = std::make_shared<runtime::oci::Handlers>();
    backend_.runtime = &runtime_;
    backend_.workers = &workers_;
    backend_.doctor = &doctor_;
    backend_.work_dir = dir_.path() + "/imports";
    services_.push_back(MakeRuntimeService(backend_));
    services_.push_back(MakeImageService(backend_));
    services_.push_back(MakeOperatorService(backend_));
    const std::string address = "unix:" + dir_.path() + "/s";
    grpc::ServerBuilder builder;
    builder.SetMaxSendMessageSize(kMaxMessageBytes);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    const auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
    cri_ = v1::RuntimeService::NewStub(channel);
    image_ = v1::ImageService::NewStub(channel);
    operator_ = ops::Operator::NewStub(channel);
  }
  ~ServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    workers_.Stop();
  }

  v1::RunPodSandboxRequest RunRequest() {
    v1::RunPodSandboxRequest request;
    auto* metadata = request.mutable_config()->mutable_metadata();
    metadata->set_name("p");
    metadata->set_namespace_("n");
    metadata->set_uid("u");
    return request;
  }
  // Containers c0 … of one pod.
  void Show(int count) {
    auto snapshot = std::make_shared<runtime::Snapshot>();
    for (int i = 0; i < count; ++i) {
      auto container = std::make_shared<runtime::ContainerStatus>();
      container->id = "c" + std::to_string(i);
      container->pod_id = "p0";
      snapshot->containers.push_back(container);
    }
    auto pod = std::make_shared<runtime::PodStatus>();
    pod->id = "p0";
    snapshot->pods.push_back(pod);
    runtime_.shown = snapshot;
  }

  TestDirectory dir_;
  FakeImages images_;
  FakeNetwork network_;
  FakeRuntime runtime_;
  base::Executor workers_;
  Doctor doctor_;
  Backend backend_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::RuntimeService::Stub> cri_;
  std::unique_ptr<v1::ImageService::Stub> image_;
  std::unique_ptr<ops::Operator::Stub> operator_;
};

}  // namespace berth::cri
