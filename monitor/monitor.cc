// SPDX-License-Identifier: Apache-2.0
#include "monitor/monitor.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/fault.h"
#include "monitor/footprint.h"
#include "monitor/holder.h"
#include "monitor/json_read.h"
#include "monitor/messages.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {

// Ids become file names: no path may hide in one.
bool IsName(const std::string& id) {
  constexpr std::size_t kLongest = 200;
  if (id.empty() || id.size() > kLongest || id.front() == '.') return false;
  return std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

bool IsAbsolute(const std::string& path) { return !path.empty() && path.front() == '/'; }

std::string WhatIsWrong(const StartRequest& r) {
  if (!IsName(r.container_id)) return "container_id is no name";
  for (const auto& [name, path] : {std::pair{"bundle", &r.bundle},
                                   {"runtime", &r.runtime},
                                   {"runtime_root", &r.runtime_root},
                                   {"record_dir", &r.record_dir},
                                   {"fallback_dir", &r.fallback_dir},
                                   {"run_dir", &r.run_dir},
                                   {"cgroup", &r.cgroup}}) {
    if (!IsAbsolute(*path)) return std::string(name) + " is no absolute path";
  }
  if (!r.log_path.empty() && !IsAbsolute(r.log_path)) return "log_path is no absolute path";
  return "";
}

}  // namespace

Monitor::Monitor(Loop& loop, Reaper& reaper, const cgroupfs::Host& cgroups, ServeOptions options)
    : loop_(loop),
      options_(std::move(options)),
      context_{loop,
               reaper,
               cgroups,
               options_.pod_id,
               options_.kernel_log,
               [this](const Json& event) { Broadcast(event); },
               [this] { return HolderGone(); },
               [this] { EndIfLast(); }} {}

Monitor::~Monitor() {
  if (listening_) loop_.Unwatch(listening_.get());
}

base::Result<void> Monitor::Listen() {
  auto fd = ListenAt(options_.pod_dir, kSocketName);
  if (!fd) return fd.TakeError();
  listening_ = std::move(*fd);
  RestSoon();
  return loop_.Watch(listening_.get(), EPOLLIN, [this](std::uint32_t) { Accept(); });
}

void Monitor::Accept() {
  base::UniqueFd fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  Connection::Handlers handlers;
  handlers.request = [this](const Peer& peer, const std::string& type, const Json& request, Fds fds,
                            Reply reply) { Dispatch(peer, type, request, std::move(fds), std::move(reply)); };
  handlers.closed = [this](const Peer& peer) { Closed(peer); };
  auto peer = std::make_shared<Connection>(loop_, std::move(fd), std::move(handlers));
  if (peer->Open()) peers_.insert(peer);
}

void Monitor::Closed(const Peer& peer) {
  peers_.erase(peer);
  for (auto& [id, running] : execs_) {
    if (const auto owner = running.owner.lock(); !owner || owner == peer) running.exec->Kill();
  }
}

// A while after the last thing of note: what that needed is given back.
void Monitor::RestSoon() {
  constexpr std::int64_t kAfter = 1'000'000'000;
  loop_.Cancel(resting_);
  resting_ = loop_.After(kAfter, [this] {
    resting_ = 0;
    ReleaseIdleMemory();
  });
}

void Monitor::Broadcast(const Json& event) {
  RestSoon();
  const auto peers = peers_;  // sending may close one
  for (const auto& peer : peers) {
    if (peer->greeted()) peer->Send(event);
  }
}

void Monitor::Dispatch(const Peer& peer, const std::string& type, const Json& request, Fds fds, Reply reply) {
  static const std::map<std::string, Handler> handlers = {
      {"hello", &Monitor::OnHello},        {"holder", &Monitor::OnHolder},
      {"start", &Monitor::OnStart},        {"signal", &Monitor::OnSignal},
      {"kill", &Monitor::OnKill},          {"exec", &Monitor::OnExec},
      {"exec_kill", &Monitor::OnExecKill}, {"reopen_log", &Monitor::OnReopenLog},
      {"attach", &Monitor::OnAttach},      {"attach_input_last", &Monitor::OnAttachInputLast},
      {"update", &Monitor::OnUpdate},      {"list", &Monitor::OnList},
      {"forget", &Monitor::OnForget},      {"shutdown", &Monitor::OnShutdown},
      {"ping", &Monitor::OnPing}};
  RestSoon();
  const auto at = handlers.find(type);
  if (at == handlers.end())
    return reply.failed({kErrUnsupported, "", "request type '" + type + "' is not known"});
  (this->*at->second)(peer, request, std::move(fds), std::move(reply));
}

Container* Monitor::Find(const std::string& id) {
  const auto at = containers_.find(id);
  return at == containers_.end() ? nullptr : at->second.get();
}

Container* Monitor::FindOrFail(const Json& request, const Reply& reply) {
  std::string id;
  Read(request, "container_id", id);
  Container* container = Find(id);
  if (container == nullptr) reply.failed({kErrNotFound, "", "no container '" + id + "' here"});
  return container;
}

void Monitor::OnHello(const Peer& peer, const Json& request, Fds, Reply reply) {
  const auto hello = request.get<HelloRequest>();
  if (std::find(hello.versions.begin(), hello.versions.end(), kProtocolVersion) == hello.versions.end()) {
    return reply.failed(
        {kErrUnsupported, "", "this monitor speaks version " + std::to_string(kProtocolVersion)});
  }
  peer->set_greeted();
  reply.ok({{"version", kProtocolVersion},
            {"monitor", BERTH_VERSION},
            {"pid", ::getpid()},
            {"pod", options_.pod_id}},
           {});
}

nlohmann::json Monitor::DescribeHolder() const {
  if (!holder_) return nullptr;
  return {{"pid", holder_->pid}, {"start_ticks", holder_ticks_}};
}

bool Monitor::HolderGone() const {
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING
  if (!holder_) return holder_died_;
  const auto flags = ProcessFlags(holder_->pid);
  return !flags || (*flags & kExiting) != 0;
}

void Monitor::OnHolder(const Peer&, const Json& json, Fds, Reply reply) {
  const auto request = json.get<HolderRequest>();
  if (holder_) return reply.ok(DescribeHolder(), {});  // once: a retry joins
  if (!IsAbsolute(request.pin)) return reply.failed({kErrInvalid, "", "pin is no absolute path"});
  if (leaving_) return reply.failed({kErrFailed, "", "the pod's monitor is ending"});
  auto started = StartHolder(options_.holder_program, request);
  if (!started) return reply.failed({kErrFailed, "holder", started.error().Message()});
  holder_ = std::move(*started);
  if (const auto identity = base::IdentifyProcess(holder_->pid)) holder_ticks_ = identity->start_ticks;
  context_.reaper.Expect(holder_->pid, [this](const Reaped& reaped) {
    holder_.reset();
    holder_died_ = true;
    const char* key = reaped.status.signaled ? "signal" : "exit_code";
    Broadcast({{"event", "holder_exited"}, {key, reaped.status.code}});
    if (leaving_) loop_.Post([this] { Left(); });
  });
  reply.ok(DescribeHolder(), {});
}

void Monitor::OnStart(const Peer&, const Json& json, Fds, Reply reply) {
  auto request = json.get<StartRequest>();
  if (const auto wrong = WhatIsWrong(request); !wrong.empty()) return reply.failed({kErrInvalid, "", wrong});
  if (Find(request.container_id) != nullptr)
    return reply.failed({kErrInvalid, "", "container '" + request.container_id + "' was started before"});
  if (leaving_) return reply.failed({kErrFailed, "", "the pod's monitor is ending"});
  const std::string id = request.container_id;
  auto container = std::make_unique<Container>(context_, std::move(request));
  Container* raw = container.get();
  containers_[id] = std::move(container);
  raw->Start(std::move(reply));
}

void Monitor::OnSignal(const Peer&, const Json& json, Fds, Reply reply) {
  const auto request = json.get<SignalRequest>();
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  if (request.signal <= 0 || request.signal > SIGRTMAX)
    return reply.failed({kErrInvalid, "", "no such signal"});
  if (auto error = container->Signal(request)) return reply.failed(*error);
  reply.ok({}, {});
}

void Monitor::OnKill(const Peer&, const Json& json, Fds, Reply reply) {
  const auto request = json.get<KillRequest>();
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  if (auto error = container->Kill(request)) return reply.failed(*error);
  reply.ok({}, {});
}

void Monitor::OnExec(const Peer& peer, const Json& json, Fds fds, Reply reply) {
  const auto request = json.get<ExecRequest>();
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  if (container->state() != Container::State::kRunning)
    return reply.failed({kErrNotRunning, "", "the container is not running"});
  if (!IsName(request.exec_id) || !IsAbsolute(request.process_file))
    return reply.failed({kErrInvalid, "", "exec_id or process_file is malformed"});
  if (execs_.count(request.exec_id) != 0)
    return reply.failed({kErrInvalid, "", "exec '" + request.exec_id + "' is there already"});
  const std::size_t wanted = request.tty ? 0 : (request.has_stdin ? 3 : 2);
  if (fds.size() != wanted)
    return reply.failed(
        {kErrInvalid, "", "an exec like this takes " + std::to_string(wanted) + " descriptors"});
  const std::string id = request.exec_id;
  RunningExec running;
  running.owner = peer;
  running.container_id = request.container_id;
  running.exec = std::make_unique<Exec>(context_, *container, request, [this, id] { execs_.erase(id); });
  Exec* raw = running.exec.get();
  execs_[id] = std::move(running);
  raw->Start(std::move(fds), std::move(reply));
}

void Monitor::OnExecKill(const Peer&, const Json& json, Fds, Reply reply) {
  const auto request = json.get<ExecKillRequest>();
  const auto at = execs_.find(request.exec_id);
  if (at == execs_.end()) return reply.failed({kErrNotFound, "", "no exec '" + request.exec_id + "' here"});
  at->second.exec->Kill();
  reply.ok({}, {});
}

void Monitor::OnAttach(const Peer&, const Json& json, Fds fds, Reply reply) {
  const auto request = json.get<AttachRequest>();
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  if (container->state() != Container::State::kRunning)
    return reply.failed({kErrNotRunning, "", "the container is not running"});
  const std::size_t wanted =
      std::size_t{request.has_stdin} + std::size_t{request.has_stdout} + std::size_t{request.has_stderr};
  if (!IsName(request.attach_id) || fds.size() != wanted)
    return reply.failed(
        {kErrInvalid, "", "an attach like this takes a name and " + std::to_string(wanted) + " descriptors"});
  container->Attach(request, std::move(fds), reply);
}

void Monitor::OnAttachInputLast(const Peer&, const Json& json, Fds, Reply reply) {
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  container->AttachInputLast(json.get<AttachInputLastRequest>().attach_id);
  reply.ok({}, {});
}

void Monitor::OnReopenLog(const Peer&, const Json& json, Fds, Reply reply) {
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  if (auto error = container->ReopenLog()) return reply.failed(*error);
  reply.ok({}, {});
}

void Monitor::OnUpdate(const Peer&, const Json& json, Fds, Reply reply) {
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  std::optional<std::int64_t> limit;
  Read(json, "memory_limit_bytes", limit);
  container->Update(limit);
  reply.ok({}, {});
}

void Monitor::OnList(const Peer&, const Json&, Fds, Reply reply) {
  Json containers = Json::array();
  for (const auto& [id, container] : containers_) containers.push_back(container->Describe());
  reply.ok({{"containers", containers}, {"holder", DescribeHolder()}}, {});
}

void Monitor::OnForget(const Peer&, const Json& json, Fds, Reply reply) {
  Container* container = FindOrFail(json, reply);
  if (container == nullptr) return;
  const std::string id = container->request().container_id;
  const bool ended = container->WhenForgettable([this, id, reply] {
    // Execs refer to it; those still here are on their last step.
    const bool busy = std::any_of(execs_.begin(), execs_.end(),
                                  [&id](const auto& e) { return e.second.container_id == id; });
    if (!busy) {
      containers_.erase(id);
      return reply.ok({}, {});
    }
    loop_.After(10'000'000, [this, id, reply] { OnForget(nullptr, {{"container_id", id}}, {}, reply); });
  });
  if (!ended) reply.failed({kErrBusy, "", "container '" + id + "' has not ended"});
}

void Monitor::OnShutdown(const Peer&, const Json&, Fds, Reply reply) {
  for (const auto& [id, container] : containers_) {
    if (container->state() != Container::State::kExited)
      return reply.failed({kErrBusy, "", "container '" + id + "' has not ended"});
  }
  // What the OCI runtime has to clean up is still being cleaned up: wait for it.
  for (const auto& [id, container] : containers_) {
    const std::string name = id;
    container->WhenForgettable([this, name, reply] {
      containers_.erase(name);
      if (containers_.empty()) Leave([reply] { reply.ok({}, {}); });
    });
  }
  if (containers_.empty()) Leave([reply] { reply.ok({}, {}); });
}

void Monitor::EndAfterContainers() {
  ending_ = true;
  EndIfLast();
}

void Monitor::EndIfLast() {
  if (!ending_ || leaving_) return;
  const bool waits = std::any_of(containers_.begin(), containers_.end(),
                                 [](const auto& c) { return !c.second->forgettable(); });
  if (!waits) Leave([] {});
}

void Monitor::Leave(std::function<void()> told) {
  when_left_.push_back(std::move(told));
  if (std::exchange(leaving_, true)) return;  // a request and the node's shutdown may both ask for it
  if (!holder_) return Left();
  (void)base::PidfdSignal(holder_->pidfd.get(), SIGKILL);
}

void Monitor::Left() {
  BERTH_FAULT_POINT("monitor.leave");
  for (const auto& told : when_left_) told();
  ::unlink((options_.pod_dir + "/" + kSocketName).c_str());
  ::unlink((options_.pod_dir + "/monitor.pid").c_str());
  loop_.Post([this] { loop_.Stop(); });
}

void Monitor::OnPing(const Peer&, const Json&, Fds, Reply reply) { reply.ok({}, {}); }

}  // namespace berth::monitor
