// SPDX-License-Identifier: Apache-2.0
// For tests: a temporary directory with conf/ and bin/, and plugins that are shell scripts.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "base/files.h"

namespace berth::network {

class TestDir {
 public:
  TestDir() {
    ::signal(SIGPIPE, SIG_IGN);  // as berthd does
    char name[] = "/tmp/berth-test-network-XXXXXX";
    path_ = ::mkdtemp(name);
    ::mkdir((path_ + "/conf").c_str(), 0755);
    ::mkdir((path_ + "/bin").c_str(), 0755);
  }
  ~TestDir() { (void)base::RemoveTree(path_); }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;

  const std::string& path() const { return path_; }
  std::string conf() const { return path_ + "/conf"; }
  std::string bin() const { return path_ + "/bin"; }

  // Whole files appear at once, as careful writers make them.
  void Write(const std::string& name, const std::string& text, int mode = 0644) const {
    const std::string temp = path_ + "/new";
    std::ofstream(temp, std::ios::trunc) << text;
    ::chmod(temp.c_str(), static_cast<mode_t>(mode));
    ::rename(temp.c_str(), (path_ + "/" + name).c_str());
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool Has(const std::string& name) const { return base::Exists(path_ + "/" + name); }
  void Remove(const std::string& name) const { ::unlink((path_ + "/" + name).c_str()); }

  // A plugin that records each call (calls, <name>.<COMMAND>.in and .env), answers VERSION with `versions`
  // and runs `body` for the rest.
  void Plugin(const std::string& name, const std::string& body,
              const std::string& versions = R"("0.3.1","0.4.0","1.0.0","1.1.0")") const {
    Write("bin/" + name,
          "#!/bin/sh\nD=" + path_ +
              "\nif [ \"$CNI_COMMAND\" = VERSION ]; then echo "
              "'{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[" +
              versions + "]}'; exit 0; fi\ncat > $D/" + name + ".$CNI_COMMAND.in\nenv | sort > $D/" + name +
              ".$CNI_COMMAND.env\necho \"$CNI_COMMAND " + name + "\" >> $D/calls\n" + body + "\n",
          0755);
  }

 private:
  std::string path_;
};

}  // namespace berth::network
