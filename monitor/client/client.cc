// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "monitor/client/client_impl.h"
#include "monitor/json_read.h"

namespace berth::monitor {
namespace {

using nlohmann::json;

template <typename F>
auto Decode(F&& decode) -> absl::StatusOr<decltype(decode())> {
  try {
    return decode();
  } catch (const json::exception& wrong) {
    return absl::InternalError(absl::StrCat("malformed reply from the pod's monitor: ", wrong.what()));
  }
}

base::ProcessIdentity Identity(const json& fields) {
  base::ProcessIdentity identity;
  Read(fields, "pid", identity.pid);
  Read(fields, "start_ticks", identity.start_ticks);
  identity.boot_id = base::BootId();
  return identity;
}

ListedContainer Container(const json& fields) {
  ListedContainer container;
  Read(fields, "id", container.id);
  Read(fields, "state", container.state);
  Read(fields, "pid", container.pid);
  Read(fields, "start_ticks", container.start_ticks);
  Read(fields, "started_at", container.started_at);
  return container;
}

}  // namespace

ClientImpl::~ClientImpl() {
  leave_(connection_);
  connection_->Mute();
}

absl::Status ClientImpl::Hello(base::Deadline deadline) {
  auto answer = connection_->Call(
      "hello", HelloRequest{{kProtocolVersion}, absl::StrCat("berthd ", BERTH_VERSION)}, {}, deadline);
  if (!answer.ok()) return answer.status();
  return Decode([&] {
           Read(answer->fields, "version", version_);
           Read(answer->fields, "pid", monitor_pid_);
           return true;
         })
      .status();
}

absl::Status ClientImpl::Simple(const char* type, json request, base::Deadline deadline) {
  return connection_->Call(type, std::move(request), {}, deadline).status();
}

absl::StatusOr<base::ProcessIdentity> ClientImpl::Holder(const HolderRequest& request,
                                                         base::Deadline deadline) {
  auto answer = connection_->Call("holder", request, {}, deadline);
  if (!answer.ok()) return answer.status();
  return Decode([&] { return Identity(answer->fields); });
}

absl::StatusOr<Started> ClientImpl::Start(const StartRequest& request, base::Deadline deadline) {
  auto answer = connection_->Call("start", request, {}, deadline);
  if (!answer.ok()) return answer.status();
  return Decode([&] {
    Started started;
    Read(answer->fields, "pid", started.pid);
    Read(answer->fields, "start_ticks", started.start_ticks);
    Read(answer->fields, "started_at", started.started_at);
    return started;
  });
}

absl::Status ClientImpl::Signal(const SignalRequest& request, base::Deadline deadline) {
  return Simple("signal", request, deadline);
}
absl::Status ClientImpl::Kill(const KillRequest& request, base::Deadline deadline) {
  return Simple("kill", request, deadline);
}

absl::StatusOr<base::UniqueFd> ClientImpl::Exec(const ExecRequest& request, const std::vector<int>& fds,
                                                base::Deadline deadline,
                                                const std::shared_ptr<base::Cancellation>& cancellation) {
  auto answer = connection_->Call("exec", request, fds, deadline, cancellation);
  if (!answer.ok()) return answer.status();
  if (answer->fds.empty()) return base::UniqueFd();
  return std::move(answer->fds.front());
}

absl::Status ClientImpl::ExecKill(const std::string& exec_id, base::Deadline deadline) {
  return Simple("exec_kill", ExecKillRequest{exec_id}, deadline);
}

absl::StatusOr<base::UniqueFd> ClientImpl::Attach(const AttachRequest& request, const std::vector<int>& fds,
                                                  base::Deadline deadline) {
  auto answer = connection_->Call("attach", request, fds, deadline);
  if (!answer.ok()) return answer.status();
  if (answer->fds.empty()) return base::UniqueFd();
  return std::move(answer->fds.front());
}

absl::Status ClientImpl::AttachInputLast(const AttachInputLastRequest& request, base::Deadline deadline) {
  return Simple("attach_input_last", request, deadline);
}

absl::Status ClientImpl::ReopenLog(const std::string& container_id, base::Deadline deadline) {
  return Simple("reopen_log", {{"container_id", container_id}}, deadline);
}

absl::Status ClientImpl::Update(const std::string& container_id,
                                std::optional<std::int64_t> memory_limit_bytes, base::Deadline deadline) {
  json request{{"container_id", container_id}};
  Write(request, "memory_limit_bytes", memory_limit_bytes);
  return Simple("update", std::move(request), deadline);
}

absl::StatusOr<Listed> ClientImpl::List(base::Deadline deadline) {
  auto answer = connection_->Call("list", {}, {}, deadline);
  if (!answer.ok()) return answer.status();
  return Decode([&] {
    Listed listed;
    for (const auto& container : answer->fields.at("containers"))
      listed.containers.push_back(Container(container));
    if (const auto holder = answer->fields.find("holder");
        holder != answer->fields.end() && holder->is_object()) {
      listed.holder = Identity(*holder);
    }
    return listed;
  });
}

absl::Status ClientImpl::Forget(const std::string& container_id, base::Deadline deadline) {
  return Simple("forget", {{"container_id", container_id}}, deadline);
}

absl::Status ClientImpl::Shutdown(base::Deadline deadline) { return Simple("shutdown", {}, deadline); }

}  // namespace berth::monitor
