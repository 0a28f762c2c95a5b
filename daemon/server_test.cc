// SPDX-License-Identifier: Apache-2.0
#include "daemon/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "base/fd.h"
#include "base/files.h"
#include "proto/berth/operator/v1/operator.grpc.pb.h"

namespace berth::daemon {
namespace {

using testing::HasSubstr;

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    char name[] = "/tmp/berth-test-daemon-XXXXXX";
    dir_ = ::mkdtemp(name);
    socket_ = dir_ + "/run/berth.sock";
  }
  ~ServerTest() override { static_cast<void>(base::RemoveTree(dir_)); }
  // A socket bound at socket_; listening if asked.
  base::UniqueFd Bound(bool listening) {
    EXPECT_TRUE(base::MakeDirs(dir_ + "/run").ok());
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket_.c_str());
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    if (listening) {
      EXPECT_EQ(::listen(fd.get(), 5), 0);
    }
    return fd;
  }
  // gRPC listens only when there is something to serve.
  absl::StatusOr<std::unique_ptr<Server>> Start() {
    std::vector<std::unique_ptr<grpc::Service>> services;
    services.push_back(std::make_unique<ops::v1::Operator::CallbackService>());
    return Server::Start(socket_, std::move(services));
  }
  std::string dir_, socket_;
};

TEST_F(ServerTest, TheSocketIsRootsAloneAndGoesWithTheServer) {
  auto server = Start();
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat facts {};
  ASSERT_EQ(::lstat(socket_.c_str(), &facts), 0);
  EXPECT_TRUE(S_ISSOCK(facts.st_mode));
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  server->reset();
  EXPECT_FALSE(base::Exists(socket_));
}

TEST_F(ServerTest, ReplacesASocketThatNobodyAnswers) {
  Bound(false);
  EXPECT_TRUE(Start().ok());
}

TEST_F(ServerTest, LeavesASocketThatAnswers) {
  const base::UniqueFd other = Bound(true);
  EXPECT_THAT(Start().status().message(), HasSubstr("another process serves"));
  EXPECT_TRUE(base::Exists(socket_));
}

TEST_F(ServerTest, LeavesAFileThatIsNoSocket) {
  ASSERT_TRUE(base::MakeDirs(dir_ + "/run").ok());
  ASSERT_TRUE(base::WriteFile(socket_, "precious").ok());
  EXPECT_THAT(Start().status().message(), HasSubstr("is no socket"));
  EXPECT_EQ(*base::ReadFile(socket_), "precious");
}

// gRPC's own listener is dead after this.
TEST_F(ServerTest, TakesConnectionsAgainAfterTheDescriptorsRanOut) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UBSan looks at memory through a pipe: without descriptors it finds fault with every object";
#endif
  auto server = Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const base::UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, socket_.c_str());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{64, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<base::UniqueFd> all;
  do {
    all.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  } while (all.back().valid());
  ASSERT_EQ(errno, EMFILE);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  pollfd readable{client.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 300), 0) << "nobody can have taken it";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(::poll(&readable, 1, 60'000), 1) << "gRPC greets";
  EXPECT_EQ(readable.revents, POLLIN);
}

TEST_F(ServerTest, RefusesASocketWhosePathIsTooLong) {
  socket_ = dir_ + "/" + std::string(120, 'x');
  EXPECT_THAT(Start().status().message(), HasSubstr("too long for a socket: at most 107 bytes"));
}

}  // namespace
}  // namespace berth::daemon
