// SPDX-License-Identifier: Apache-2.0
#include "cri/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/testing.h"

namespace berth::cri {
namespace {

namespace ops = ::berth::ops::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ops::ImportImageRequest Header() {
  ops::ImportImageRequest part;
  part.mutable_header()->set_archive_name("demo.tar");
  part.mutable_header()->set_reference("demo:1");
  return part;
}
ops::ImportImageRequest Data(const std::string& bytes) {
  ops::ImportImageRequest part;
  part.set_data(bytes);
  return part;
}

class ImportTest : public testing::Test {
 protected:
  std::vector<std::string> Files() { return *base::ListDir(dir_.path()); }
  TestDirectory dir_;
  FakeImages images_;
};

TEST_F(ImportTest, GivesTheWholeArchiveToTheImagesAndRemovesIt) {
  auto record = std::make_shared<image::ImageRecord>();
  record->id = "sha256:1";
  record->repo_tags = {"docker.io/library/demo:1"};
  record->size_bytes = 9;
  std::string seen, hinted;
  images_.on_import = [&](const std::string& path,
                          const std::string& hint) -> absl::StatusOr<std::vector<std::string>> {
    seen = *base::ReadFile(path);
    hinted = hint;
    images_.records.push_back(record);
    return std::vector<std::string>{"sha256:1"};
  };
  ops::ImportImageResponse reply;
  {
    Import import(dir_.path(), images_);
    ASSERT_TRUE(import.Take(Header()).ok());
    ASSERT_TRUE(import.Take(Data("one ")).ok());
    ASSERT_TRUE(import.Take(Data("two")).ok());
    ASSERT_TRUE(import.Commit(&reply).ok());
  }
  EXPECT_EQ(seen, "one two");
  EXPECT_EQ(hinted, "demo:1");
  ASSERT_EQ(reply.images_size(), 1);
  EXPECT_EQ(reply.images(0).id(), "sha256:1");
  EXPECT_FALSE(reply.images(0).existed());
  EXPECT_THAT(reply.images(0).references(), ElementsAre("docker.io/library/demo:1"));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(ImportTest, SaysWhenTheImageWasHereAlready) {
  auto record = std::make_shared<image::ImageRecord>();
  record->id = "sha256:1";
  images_.records.push_back(record);
  images_.on_import = [](const std::string&, const std::string&) {
    return std::vector<std::string>{"sha256:1"};
  };
  Import import(dir_.path(), images_);
  ASSERT_TRUE(import.Take(Header()).ok());
  ops::ImportImageResponse reply;
  ASSERT_TRUE(import.Commit(&reply).ok());
  EXPECT_TRUE(reply.images(0).existed());
}

TEST_F(ImportTest, WantsOneHeaderFirst) {
  Import import(dir_.path(), images_);
  EXPECT_EQ(import.Take(Data("x")).code(), absl::StatusCode::kInvalidArgument);
  ops::ImportImageResponse reply;
  EXPECT_EQ(import.Commit(&reply).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(import.Take(Header()).ok());
  EXPECT_EQ(import.Take(Header()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ImportTest, AnErrorNamesTheArchiveAndLeavesNoFile) {
  images_.on_import = [](const std::string&, const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    return absl::InvalidArgumentError("no manifest");
  };
  {
    Import import(dir_.path(), images_);
    ASSERT_TRUE(import.Take(Header()).ok());
    ops::ImportImageResponse reply;
    EXPECT_THAT(import.Commit(&reply).message(), HasSubstr("import 'demo.tar': no manifest"));
  }
  EXPECT_THAT(Files(), IsEmpty());
}

}  // namespace
}  // namespace berth::cri
