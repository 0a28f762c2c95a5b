// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "monitor/client/connection.h"

namespace berth::monitor {

class ClientImpl : public Client {
 public:
  using Leave = std::function<void(const std::shared_ptr<ClientConnection>&)>;
  // `leave` takes the connection out of the hub.
  ClientImpl(std::shared_ptr<ClientConnection> connection, Leave leave)
      : connection_(std::move(connection)), leave_(std::move(leave)) {}
  ~ClientImpl() override;
  absl::Status Hello(base::Deadline deadline);

  absl::StatusOr<base::ProcessIdentity> Holder(const HolderRequest& request,
                                               base::Deadline deadline) override;
  absl::StatusOr<Started> Start(const StartRequest& request, base::Deadline deadline) override;
  absl::Status Signal(const SignalRequest& request, base::Deadline deadline) override;
  absl::Status Kill(const KillRequest& request, base::Deadline deadline) override;
  absl::StatusOr<base::UniqueFd> Exec(const ExecRequest& request, const std::vector<int>& fds,
                                      base::Deadline deadline,
                                      const std::shared_ptr<base::Cancellation>& cancellation) override;
  absl::Status ExecKill(const std::string& exec_id, base::Deadline deadline) override;
  absl::StatusOr<base::UniqueFd> Attach(const AttachRequest& request, const std::vector<int>& fds,
                                        base::Deadline deadline) override;
  absl::Status AttachInputLast(const AttachInputLastRequest& request, base::Deadline deadline) override;
  absl::Status ReopenLog(const std::string& container_id, base::Deadline deadline) override;
  absl::Status Update(const std::string& container_id, std::optional<std::int64_t> memory_limit_bytes,
                      base::Deadline deadline) override;
  absl::StatusOr<Listed> List(base::Deadline deadline) override;
  absl::Status Forget(const std::string& container_id, base::Deadline deadline) override;
  absl::Status Shutdown(base::Deadline deadline) override;
  int version() const override { return version_; }
  pid_t monitor_pid() const override { return monitor_pid_; }

 private:
  absl::Status Simple(const char* type, nlohmann::json request, base::Deadline deadline);

  const std::shared_ptr<ClientConnection> connection_;
  const Leave leave_;
  int version_ = 0;
  pid_t monitor_pid_ = 0;
};

}  // namespace berth::monitor
