// SPDX-License-Identifier: Apache-2.0
// What a container sees of the image `layers`: whiteouts, links, owners, attributes. The image says itself,
// in /expected, what must be there; here each line is looked at through an exec.
#include <absl/strings/str_split.h>
#include <gmock/gmock.h>
#include <sys/xattr.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

std::string Quote(const std::string& text) { return "'" + text + "'"; }

TEST(Layers, TheContainerSeesWhatTheImageExpects) {
  const Pod pod;
  const Container container = Container::Run(pod, ImageDefault("layers"));
  std::string script;
  std::vector<std::string> wanted;
  const std::vector<std::string> lines = Lines(container.Sh("cat /expected"));
  ASSERT_GT(lines.size(), 20U);
  for (const std::string& line : lines) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    const std::string path = words[0], kind = words[1], content = words.size() > 2 ? words[2] : "";
    std::string look;
    if (kind == "absent")
      look = "test ! -e " + Quote(path) + " && test ! -L " + Quote(path) + " && echo absent";
    if (kind == "file") look = "cat " + Quote(path) + " && echo";
    if (kind == "samefile") look = "test " + Quote(path) + " -ef " + Quote(content) + " && echo samefile";
    if (kind == "link") look = "readlink " + Quote(path);
    if (kind == "stat") look = "stat -c %a:%u:%g " + Quote(path);
    if (kind == "mtime") look = "stat -c %Y " + Quote(path);
    if (kind == "fifo") look = "test -p " + Quote(path) + " && echo fifo";
    script += "echo \"" + path + ": $(" + look + ")\"\n";
    wanted.push_back(path + ": " +
                     (kind == "absent" || kind == "samefile" || kind == "fifo" ? kind : content));
  }
  EXPECT_THAT(Lines(container.Sh(script)), testing::ElementsAreArray(wanted));
}

TEST(Layers, NothingLandsOutsideOfTheRoot) {
  Environment::Get().ImageId("layers");
  EXPECT_FALSE(Exists("/tmp/escaped-from-layer"));
}

TEST(Layers, ExtendedAttributesSurvive) {
  const Pod pod;
  const Container container = Container::Run(pod, ImageDefault("layers"));
  const std::string root = "/proc/" + std::to_string(container.Pid()) + "/root";
  char value[64] = {};
  EXPECT_EQ(::getxattr((root + "/xattr/capable").c_str(), "security.capability", value, sizeof value), 20);
  EXPECT_EQ(value[5] & 0x04, 0x04) << "cap_net_bind_service is bit 10, in the second byte of the first word";
  const ssize_t size = ::getxattr((root + "/xattr/user").c_str(), "user.test", value, sizeof value);
  EXPECT_EQ(std::string(value, size > 0 ? static_cast<size_t>(size) : 0), "value");
}

TEST(Layers, OddNamesAreThere) {
  const Pod pod;
  const Container container = Container::Run(pod, ImageDefault("layers"));
  EXPECT_EQ(container.Sh("cat '/odd/with space'; cat '/odd/new\nline'"), "12");
}

}  // namespace
}  // namespace berth::e2e
