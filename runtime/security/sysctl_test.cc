// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/sysctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::runtime::security {
namespace {

TEST(SysctlTest, WhatThePodsNamespacesKeepIsAllowed) {
  for (const char* name :
       {"net.ipv4.ip_unprivileged_port_start", "net/ipv4/ip_forward", "kernel.shm_rmid_forced",
        "kernel.shmmni", "kernel.shmmax", "kernel.sem", "kernel.msgmax", "fs.mqueue.msg_max",
        "kernel.domainname", "net.ipv4.conf.eth0/1.forwarding", "net.ipv4.conf.Wan-0.forwarding"}) {
    EXPECT_TRUE(ValidateSysctl(name, "0", {}).ok()) << name;
  }
  EXPECT_TRUE(ValidateSysctl("net.ipv4.tcp_rmem", "4096\t131072 6291456", {}).ok());
}

TEST(SysctlTest, WhatTheWholeNodeSharesIsRefused) {
  for (const char* name : {"kernel.core_pattern", "vm.overcommit_memory", "kernel.hostname", "fs.file-max",
                           "kernel.shmmaxx", "user.max_user_namespaces", "kernel.sem.x", "fs.mqueue"}) {
    EXPECT_FALSE(ValidateSysctl(name, "0", {}).ok()) << name;
  }
}

TEST(SysctlTest, PathsThatLeaveProcSysAreRefused) {
  for (const char* name : {"", "net", "net.", ".net.x", "net..x", "net/../kernel/core_pattern", "net/ipv4/..",
                           "/net/ipv4/x", "net.ipv4.ip forward", "net.ipv4.x\n", "net.ipv4.\xff"}) {
    EXPECT_FALSE(ValidateSysctl(name, "0", {}).ok()) << name;
  }
  // Dots and slashes swapped: "//" is a part named "..".
  EXPECT_FALSE(ValidateSysctl("net.//.kernel.core_pattern", "0", {}).ok());
  EXPECT_FALSE(ValidateSysctl(std::string("net.ipv4.x\0y", 12), "0", {}).ok());
  EXPECT_FALSE(ValidateSysctl("net." + std::string(300, 'a'), "0", {}).ok());
}

TEST(SysctlTest, ValuesAreOneLineOfPrintableText) {
  for (const std::string& value : {std::string(), std::string("1\n2"), std::string("1\0", 2),
                                   std::string("\x1b"), std::string(5000, '1'), std::string("\xc3\xa4")}) {
    EXPECT_FALSE(ValidateSysctl("net.core.somaxconn", value, {}).ok());
  }
}

TEST(SysctlTest, NamespacesOfTheHostAreNotWrittenTo) {
  NamespaceOptions host;
  host.network = NamespaceMode::kNode;
  EXPECT_THAT(ValidateSysctl("net.core.somaxconn", "1", host).message(),
              ::testing::HasSubstr("host's network"));
  EXPECT_FALSE(ValidateSysctl("kernel.domainname", "x", host).ok());
  EXPECT_TRUE(ValidateSysctl("kernel.shmmax", "1", host).ok());
  host = {};
  host.ipc = NamespaceMode::kNode;
  EXPECT_FALSE(ValidateSysctl("kernel.shmmax", "1", host).ok());
  EXPECT_FALSE(ValidateSysctl("fs.mqueue.msg_max", "1", host).ok());
  EXPECT_TRUE(ValidateSysctl("net.core.somaxconn", "1", host).ok());
}

TEST(SysctlTest, PathsFollowTheFirstSeparator) {
  EXPECT_EQ(SysctlPath("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(SysctlPath("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(SysctlPath("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
}

}  // namespace
}  // namespace berth::runtime::security
