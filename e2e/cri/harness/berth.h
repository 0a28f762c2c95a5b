// SPDX-License-Identifier: Apache-2.0
// `berth`, the operator's program, which lies beside the daemon under test.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "e2e/cri/harness/environment.h"
#include "e2e/cri/harness/options.h"
#include "e2e/cri/harness/process.h"

namespace berth::e2e {

inline std::string ProgramBeside(const std::string& name) {
  const std::string& berthd = GetOptions().berthd;
  return berthd.substr(0, berthd.rfind('/') + 1) + name;
}

inline RunResult Berth(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{ProgramBeside("berth"), "--endpoint", Environment::Get().daemon().endpoint()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return RunProgram(argv);
}

// What `berth fsck` finds wrong, one line each; notes left out.
struct FsckResult {
  int exit_code = -1;
  std::vector<std::string> findings;
  std::string output;
};

inline FsckResult Fsck(const std::vector<std::string>& arguments = {}) {
  std::vector<std::string> argv{"fsck", "--json", "--config", Environment::Get().daemon().config_file()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const RunResult ran = Berth(argv);
  FsckResult result{ran.exit_code, {}, ran.output};
  const auto json = nlohmann::json::parse(ran.output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return result;
  for (const auto& finding : json.value("findings", nlohmann::json::array())) {
    if (finding.value("note", false)) continue;
    result.findings.push_back(finding.value("kind", "") + " " + finding.value("subject", "") + ": " +
                              finding.value("found", "") +
                              (finding.value("mended", false) ? " [mended]" : finding.value("failure", "")));
  }
  return result;
}

}  // namespace berth::e2e
