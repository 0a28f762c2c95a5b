// SPDX-License-Identifier: Apache-2.0
#include "cri/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cri {
namespace {

using testing::HasSubstr;

constexpr char kWithoutResource[] = "Name:\tberthd\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\n";
constexpr char kWithAll[] = "Name:\tberthd\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n";

TEST(Doctor, SeesWhetherScoresCanBeLowered) {
  EXPECT_EQ(CheckOomScore(kWithAll, "0").status, CheckStatus::kOk);
  const Check check = CheckOomScore(kWithoutResource, "200");
  EXPECT_EQ(check.status, CheckStatus::kWarning);
  EXPECT_THAT(check.found, HasSubstr("200"));
  EXPECT_THAT(check.remedy, HasSubstr("CAP_SYS_RESOURCE"));
  EXPECT_EQ(CheckOomScore("", "0").status, CheckStatus::kSkipped);
}

TEST(Doctor, SeesForwarding) {
  EXPECT_EQ(CheckForwarding("1", "1").status, CheckStatus::kOk);
  EXPECT_EQ(CheckForwarding("1", "").status, CheckStatus::kOk) << "a kernel without IPv6";
  EXPECT_EQ(CheckForwarding("1", "0").status, CheckStatus::kWarning);
  EXPECT_THAT(CheckForwarding("0", "1").remedy, HasSubstr("ip_forward=1"));
}

TEST(Doctor, SaysWhyTheKernelLogCannotBeRead) {
  const Check check = CheckKernelLog("/no/such/kmsg");
  EXPECT_EQ(check.status, CheckStatus::kWarning);
  EXPECT_THAT(check.found, HasSubstr("/no/such/kmsg"));
}

TEST(Doctor, KnowsWhatPressureNeeds) {
  EXPECT_EQ(CheckPsi(true, cgroupfs::Version::kV2).status, CheckStatus::kOk);
  EXPECT_THAT(CheckPsi(true, cgroupfs::Version::kV1).found, HasSubstr("node only"));
  EXPECT_THAT(CheckPsi(false, cgroupfs::Version::kV2).remedy, HasSubstr("psi=1"));
}

TEST(Doctor, SeesSeccompAndUserNamespaces) {
  EXPECT_EQ(CheckSeccomp("kill_process kill_thread trap errno user_notif trace log allow").status,
            CheckStatus::kOk);
  EXPECT_EQ(CheckSeccomp("").status, CheckStatus::kFailure);
  EXPECT_EQ(CheckUserNamespaces(true, "15000").status, CheckStatus::kOk);
  EXPECT_THAT(CheckUserNamespaces(true, "0").remedy, HasSubstr("max_user_namespaces"));
  EXPECT_EQ(CheckUserNamespaces(false, "").status, CheckStatus::kFailure);
}

TEST(Doctor, SeesWhetherTheAppArmorProfileIsLoaded) {
  EXPECT_EQ(CheckApparmor("", "").status, CheckStatus::kOk);
  EXPECT_EQ(CheckApparmor("N", "").status, CheckStatus::kOk);
  EXPECT_EQ(CheckApparmor("Y", "other (enforce)\nberth-default (enforce)").status, CheckStatus::kOk);
  const Check check = CheckApparmor("Y", "not-berth-default (enforce)");
  EXPECT_EQ(check.status, CheckStatus::kWarning);
  EXPECT_THAT(check.remedy, HasSubstr("apparmor_parser"));
}

TEST(Doctor, CountsSwapAreas) {
  EXPECT_THAT(CheckSwap("Filename\tType\tSize\tUsed\tPriority").found, HasSubstr("no swap"));
  EXPECT_THAT(CheckSwap("Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2").found,
              HasSubstr("1 swap area"));
}

TEST(Doctor, KnowsWhichKernelsKeepExitCodes) {
  EXPECT_EQ(CheckExitStatusOfLost("6.18.1-amd64").status, CheckStatus::kOk);
  EXPECT_EQ(CheckExitStatusOfLost("6.15").status, CheckStatus::kOk);
  EXPECT_EQ(CheckExitStatusOfLost("6.1.0-13-amd64").status, CheckStatus::kWarning);
  EXPECT_EQ(CheckExitStatusOfLost("7.0-rc1").status, CheckStatus::kOk);
  EXPECT_EQ(CheckExitStatusOfLost("weird").status, CheckStatus::kSkipped);
}

TEST(Doctor, NamesAMissingProgramAndAMissingDirectory) {
  EXPECT_EQ(CheckProgram("berth-monitor", "/x/berth-monitor").status, CheckStatus::kOk);
  EXPECT_THAT(CheckProgram("berth-monitor", "").found, HasSubstr("berth-monitor"));
  EXPECT_EQ(CheckDisk("disk.root", "/").name, "disk.root");
  EXPECT_EQ(CheckDisk("disk.root", "/no/such/dir").status, CheckStatus::kSkipped);
}

TEST(Doctor, RepeatsTheNetworksOwnWords) {
  network::NetworkState state;
  state.message = "no conflist in '/etc/cni/net.d'";
  EXPECT_EQ(CheckCni(state).status, CheckStatus::kFailure);
  EXPECT_THAT(CheckCni(state).found, HasSubstr("/etc/cni/net.d"));
  state.ready = true;
  EXPECT_EQ(CheckCni(state).status, CheckStatus::kOk);
}

TEST(Doctor, ItsWarningsAreTheDegradations) {
  DoctorSources sources;
  sources.root = "/";
  sources.state = "/";
  sources.kernel_log = "/no/such/kmsg";
  sources.monitor_program = "/m";
  sources.unpack_program = "/u";
  const Doctor doctor(sources);
  EXPECT_THAT(doctor.Degradations(), testing::IsEmpty()) << "before it ran";
  std::size_t warnings = 0;
  for (const auto& check : doctor.Run()) warnings += check.status == CheckStatus::kWarning;
  EXPECT_EQ(doctor.Degradations().size(), warnings);
  EXPECT_THAT(doctor.Degradations(), testing::Contains(HasSubstr("kernel.log: ")));
}

}  // namespace
}  // namespace berth::cri
