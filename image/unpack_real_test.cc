// SPDX-License-Identifier: Apache-2.0
// berth-unpack itself, run on ordinary and hostile archives. Needs root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zstd.h>

#include "base/files.h"
#include "image/test_archive.h"
#include "image/worker.h"

namespace berth::image {
namespace {

using testing::Gzip;
using ::testing::HasSubstr;
using testing::Tar;
using testing::TarEntry;
using testing::TempDir;

class Unpack : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, device nodes, owners";
    ASSERT_TRUE(base::MakeDirs(target_, 0755).ok());
  }
  absl::StatusOr<UnpackReport> Run(const std::string& archive, bool layer = true,
                                   std::uint64_t max_entries = 4'000'000) {
    auto worker = UnpackWorker::Start({BERTH_UNPACK, layer, max_entries}, target_);
    if (!worker.ok()) return worker.status();
    (void)worker->Feed(archive);
    return worker->Finish();
  }
  std::string Error(const std::string& archive, bool layer = true) {
    const auto report = Run(archive, layer);
    EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition) << report.status();
    return std::string(report.status().message());
  }
  struct stat Stat(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::lstat((target_ + "/" + path).c_str(), &info), 0) << path;
    return info;
  }
  bool Exists(const std::string& path) {
    struct stat info {};
    return ::lstat((target_ + "/" + path).c_str(), &info) == 0;
  }
  std::string Xattr(const std::string& path, const char* name) {
    char value[256];
    const ssize_t size = ::lgetxattr((target_ + "/" + path).c_str(), name, value, sizeof value);
    return size < 0 ? "<none>" : std::string(value, static_cast<std::size_t>(size));
  }
  std::string Read(const std::string& path) {
    auto text = base::ReadFile(target_ + "/" + path);
    return text ? *text : "<" + text.error().Message() + ">";
  }

  TempDir dir_;
  const std::string target_ = dir_.path() + "/target";
};

TEST_F(Unpack, KeepsOwnersModesTimesAndKinds) {
  const std::string tar =
      Tar({{.name = "./", .type = '5', .mode = 0751},
           {.name = "bin/", .type = '5', .mode = 0755, .mtime = 1234},
           {.name = "bin/su", .content = "su", .mode = 04755, .uid = 1, .gid = 2, .mtime = 77},
           {.name = "bin/alias", .type = '2', .link = "/anywhere/../at/all", .uid = 5},
           {.name = "bin/again", .type = '1', .link = "bin/su"},
           {.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3},
           {.name = "pipe", .type = '6', .mode = 0600},
           {.name = "/absolute", .content = "inside"}});
  const auto report = Run(Gzip(tar));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->diff_id, DigestOf(tar));
  EXPECT_EQ(report->entries, 8u);
  EXPECT_TRUE(report->root_named);
  EXPECT_EQ(Stat("").st_mode & 07777, 0751u);
  EXPECT_EQ(Stat("bin/su").st_mode & 07777, 04755u);
  EXPECT_EQ(Stat("bin/su").st_uid, 1u);
  EXPECT_EQ(Stat("bin/su").st_gid, 2u);
  EXPECT_EQ(Stat("bin/su").st_mtime, 77);
  EXPECT_EQ(Stat("bin").st_mtime, 1234) << "set after what is inside was made";
  EXPECT_EQ(Stat("bin/again").st_ino, Stat("bin/su").st_ino);
  EXPECT_EQ(Stat("bin/alias").st_uid, 5u);
  char link[64] = {};
  ASSERT_GT(::readlink((target_ + "/bin/alias").c_str(), link, sizeof link - 1), 0);
  EXPECT_STREQ(link, "/anywhere/../at/all");
  EXPECT_TRUE(S_ISCHR(Stat("null").st_mode));
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISFIFO(Stat("pipe").st_mode));
  EXPECT_EQ(Read("absolute"), "inside");
}

TEST_F(Unpack, ReadsPlainGzipSeveralGzipMembersAndZstd) {
  const std::string tar = Tar({{.name = "f", .content = std::string(3 << 20, 'x')}});
  std::string zstd(ZSTD_compressBound(tar.size()), '\0');
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), tar.data(), tar.size(), 3));
  for (const std::string& archive :
       {tar, Gzip(tar), Gzip(tar.substr(0, 1000)) + Gzip(tar.substr(1000)), zstd}) {
    const auto report = Run(archive);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->diff_id, DigestOf(tar));
    EXPECT_EQ(Stat("f").st_size, 3 << 20);
  }
}

TEST_F(Unpack, TurnsWhiteoutsIntoThoseOfOverlayfs) {
  const auto report = Run(Tar({{.name = "etc/", .type = '5', .mode = 0755},
                               {.name = "etc/.wh.gone"},
                               {.name = "opt/", .type = '5', .mode = 0700},
                               {.name = "opt/.wh..wh..opq"},
                               {.name = ".wh..wh.plnk/", .type = '5'},
                               {.name = "both", .content = "mine"},
                               {.name = ".wh.both"},
                               {.name = ".wh.dir"},
                               {.name = "dir/", .type = '5', .mode = 0755}}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(S_ISCHR(Stat("etc/gone").st_mode));
  EXPECT_EQ(Stat("etc/gone").st_rdev, 0u);
  EXPECT_FALSE(Exists("etc/.wh.gone"));
  EXPECT_EQ(Xattr("opt", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Xattr("etc", "trusted.overlay.opaque"), "<none>");
  EXPECT_FALSE(Exists(".wh..wh.plnk"));
  EXPECT_EQ(Read("both"), "mine") << "a whiteout hides lower layers, not this one";
  EXPECT_EQ(Xattr("dir", "trusted.overlay.opaque"), "y")
      << "a directory made over a whiteout hides the lower one";
}

TEST_F(Unpack, SetsFileCapabilitiesAndUserAttributesOnly) {
  vfs_cap_data capability{};
  capability.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  capability.data[0].permitted = 1 << CAP_NET_RAW;
  const std::string raw(reinterpret_cast<const char*>(&capability), XATTR_CAPS_SZ_2);
  const auto report = Run(Tar({{.name = "ping",
                                .content = "x",
                                .mode = 0755,
                                .uid = 3,
                                .pax = {{"SCHILY.xattr.security.capability", raw},
                                        {"SCHILY.xattr.user.note", "hi"},
                                        {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
                                        {"SCHILY.xattr.user.overlay.opaque", "y"}}},
                               {
                                   .name = "node",
                                   .type = '3',
                                   .pax = {{"SCHILY.xattr.user.note", "hi"}},
                               }}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Xattr("ping", "security.capability"), raw);
  EXPECT_EQ(Xattr("ping", "user.note"), "hi");
  EXPECT_EQ(Xattr("ping", "trusted.overlay.redirect"), "<none>");
  EXPECT_EQ(Xattr("ping", "user.overlay.opaque"), "<none>");
  EXPECT_EQ(report->xattrs_dropped, 1u) << "user attributes are for files and directories";
}

TEST_F(Unpack, KeepsNamesThatAreNotAscii) {
  const auto report = Run(Tar(
      {{.name = "plain-é", .content = "1"}, {.name = "x", .content = "2", .pax = {{"path", "pax-Ő-名"}}}}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Read("plain-é"), "1");
  EXPECT_EQ(Read("pax-Ő-名"), "2");
}

TEST_F(Unpack, RefusesNamesThatLeaveTheLayer) {
  EXPECT_THAT(Error(Tar({{.name = "../evil", .content = "x"}})), HasSubstr("leaves the layer"));
  EXPECT_THAT(Error(Tar({{.name = "a/../../evil", .content = "x"}})), HasSubstr("leaves the layer"));
  EXPECT_THAT(
      Error(Tar({{.name = "ok", .content = "x"}, {.name = "l", .type = '1', .link = "../../etc/passwd"}})),
      HasSubstr("leaves the layer"));
  EXPECT_FALSE(base::Exists(dir_.path() + "/evil"));
}

TEST_F(Unpack, SymbolicLinksLeadNowhereOutside) {
  ASSERT_TRUE(base::MakeDirs(dir_.path() + "/outside").ok());
  // To the host's directory by its absolute name, upwards, and by way of a second link.
  for (const std::string& link :
       {dir_.path() + "/outside", std::string("../outside"), std::string("../../../../../../../../tmp")}) {
    (void)Run(Tar({{.name = "esc", .type = '2', .link = link},
                   {.name = "esc/evil", .content = "x"},
                   {.name = "esc/.wh..wh..opq"},
                   {.name = "esc/.wh.x"}}));
    EXPECT_FALSE(base::Exists(dir_.path() + "/outside/evil")) << link;
    EXPECT_FALSE(base::Exists("/tmp/evil")) << link;
    ASSERT_TRUE(RemoveDeepTree(target_ + "/esc").ok());
  }
  ASSERT_TRUE(Run(Tar({{.name = "a", .type = '2', .link = "/b"},
                       {.name = "b/", .type = '5', .mode = 0755},
                       {.name = "a/file", .content = "in b"}}))
                  .ok());
  EXPECT_EQ(Read("b/file"), "in b") << "links inside the layer work, from its own root";
}

TEST_F(Unpack, AFileOverALinkReplacesTheLink) {
  dir_.Write("victim", "intact");
  const auto report = Run(
      Tar({{.name = "f", .type = '2', .link = dir_.path() + "/victim"}, {.name = "f", .content = "new"}}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Read("f"), "new");
  EXPECT_EQ(*base::ReadFile(dir_.path() + "/victim"), "intact");
}

TEST_F(Unpack, HardLinksReachOnlyWhatTheLayerHolds) {
  EXPECT_THAT(Error(Tar({{.name = "l", .type = '1', .link = "/etc/passwd"}})), HasSubstr("does not hold"));
  EXPECT_THAT(Error(Tar({{.name = "d", .type = '2', .link = "/etc"},
                         {.name = "l", .type = '1', .link = "d/passwd"}})),
              HasSubstr("does not hold"));
  EXPECT_THAT(
      Error(Tar({{.name = "dd/", .type = '5', .mode = 0755}, {.name = "l", .type = '1', .link = "dd"}})),
      HasSubstr("directory"));
  // A hard link to a symbolic link is another name of the link, never of what it points to.
  ASSERT_TRUE(
      Run(Tar({{.name = "s", .type = '2', .link = "/etc/passwd"}, {.name = "h", .type = '1', .link = "s"}}))
          .ok());
  EXPECT_TRUE(S_ISLNK(Stat("h").st_mode));
}

TEST_F(Unpack, LaterEntriesReplaceEarlierOnesWhateverTheirKind) {
  const auto report = Run(Tar({{.name = "x/", .type = '5', .mode = 0755},
                               {.name = "x/deep/", .type = '5', .mode = 0755},
                               {.name = "x/deep/file", .content = "1"},
                               {.name = "x", .content = "now a file"},
                               {.name = "y", .content = "a file"},
                               {.name = "y/", .type = '5', .mode = 0700},
                               {.name = "y/inside", .content = "2"}}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Read("x"), "now a file");
  EXPECT_EQ(Read("y/inside"), "2");
}

TEST_F(Unpack, KeepsHolesAsHoles) {
  // GNU sparse 1.0 in pax: the map, then the data.
  std::string map = "1\n1048576\n4\n";
  map.resize(512, '\0');
  TarEntry entry{.name = "GNUSparseFile.0/sparse", .content = map + "data"};
  entry.pax = {{"GNU.sparse.major", "1"},
               {"GNU.sparse.minor", "0"},
               {"GNU.sparse.name", "sparse"},
               {"GNU.sparse.realsize", "104857600"}};
  const auto report = Run(Tar({entry}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Stat("sparse").st_size, 104857600);
  EXPECT_LT(Stat("sparse").st_blocks * 512, 1 << 20);
}

TEST_F(Unpack, CapsWhatAnArchiveMayClaim) {
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  EXPECT_THAT(Error(Tar({{.name = deep, .type = '5', .mode = 0755}})), HasSubstr("nested deeper"));
  EXPECT_THAT(Error(Tar({{.name = "x", .content = "", .pax = {{"path", std::string(5000, 'p')}}}})),
              HasSubstr("name has 5000 bytes"));
  EXPECT_THAT(Error(Tar({{.name = std::string(300, 'n'), .content = ""}})), HasSubstr("component"));
  EXPECT_THAT(Error(Tar({{.name = "u", .content = "", .pax = {{"uid", "4294967295"}}}})), HasSubstr("owner"));
  TarEntry attributes{.name = "many", .content = ""};
  for (int i = 0; i < 100; ++i) attributes.pax["SCHILY.xattr.user.a" + std::to_string(i)] = "v";
  EXPECT_THAT(Error(Tar({attributes})), HasSubstr("extended attributes"));
  std::vector<TarEntry> many(50, TarEntry{.name = "same", .content = ""});
  const auto report = Run(Tar(many), true, 49);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("more than 49 entries"));
  TarEntry huge{.name = "huge", .content = ""};
  huge.pax = {{"size", "9000000000000000000"}};
  EXPECT_FALSE(Run(Tar({huge})).ok());
}

TEST_F(Unpack, RefusesDamagedAndTruncatedArchives) {
  const std::string tar = Tar({{.name = "f", .content = std::string(100000, 'x')}});
  EXPECT_THAT(Error(tar.substr(0, 50000)), HasSubstr("runcated"));
  const std::string gzip = Gzip(tar);
  EXPECT_THAT(Error(gzip.substr(0, gzip.size() - 3)), HasSubstr("truncated"));
  std::string damaged = gzip;
  damaged[damaged.size() - 6] ^= 1;  // in the checksum
  EXPECT_THAT(Error(damaged), HasSubstr("damaged"));
  EXPECT_THAT(Error(gzip + "garbage after the end"), HasSubstr("damaged"));
  EXPECT_THAT(Error("this is no archive at all, but long enough to be read as the header of one"),
              HasSubstr("not a sound tar"));
  EXPECT_THAT(Error("BZh91AY&SY"), HasSubstr("bzip2"));
}

TEST_F(Unpack, AnEmptyLayerIsALayer) {
  for (const std::string& archive : {std::string(1024, '\0'), Gzip(std::string(1024, '\0'))}) {
    const auto report = Run(archive);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->entries, 0u);
    EXPECT_EQ(report->diff_id, DigestOf(std::string(1024, '\0')));
  }
}

TEST_F(Unpack, ArchivesOfImagesHoldFilesOnlyAndAreOurs) {
  ASSERT_TRUE(
      Run(Tar({{.name = "f", .content = "x", .mode = 04777, .uid = 9}, {.name = ".wh.kept", .content = "y"}}),
          false)
          .ok());
  EXPECT_EQ(Stat("f").st_uid, 0u);
  EXPECT_EQ(Stat("f").st_mode & 07777, 0600u);
  EXPECT_EQ(Read(".wh.kept"), "y");
  EXPECT_THAT(Error(Tar({{.name = "n", .type = '3', .major = 1, .minor = 3}}), false),
              HasSubstr("neither file"));
}

TEST_F(Unpack, DeepTreesAreRemovedWithoutRecursion) {
  // Deeper than any path may be long: what a container can leave in its writable layer.
  base::UniqueFd at(::open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "deep", 0755), 0);
    at.Reset(::openat(at.get(), "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
  }
  const auto size = MeasureTree(target_, nullptr);
  ASSERT_TRUE(size.ok());
  EXPECT_GE(size->inodes, 256u);
  const absl::Status removed = RemoveDeepTree(target_);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(base::Exists(target_));
}

}  // namespace
}  // namespace berth::image
