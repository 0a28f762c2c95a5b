// SPDX-License-Identifier: Apache-2.0
// Builds archives for tests byte by byte, so that hostile ones can be made too, and images around them.
#pragma once

#include <isa-l/igzip_lib.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "image/digest.h"
#include "image/tree.h"

namespace berth::image::testing {

struct TarEntry {
  std::string name;
  char type =
      '0';  // '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' directory, '6' fifo
  std::string content = {}, link = {};
  unsigned mode = 0644;
  unsigned uid = 0, gid = 0, major = 0, minor = 0;
  std::int64_t mtime = 1'000'000'000;
  std::map<std::string, std::string> pax = {};
  std::string claimed_size = {};  // octal text instead of the real size
};

inline std::string Pad(std::string data) {
  data.resize((data.size() + 511) / 512 * 512, '\0');
  return data;
}

inline std::string Header(const TarEntry& entry, std::size_t size) {
  char block[512] = {};
  auto octal = [&](int at, int width, unsigned long long value) {
    for (int digit = width - 2; digit >= 0; --digit, value >>= 3)
      block[at + digit] = static_cast<char>('0' + (value & 7));
  };
  std::memcpy(block, entry.name.data(), std::min<std::size_t>(entry.name.size(), 100));
  octal(100, 8, entry.mode);
  octal(108, 8, entry.uid);
  octal(116, 8, entry.gid);
  octal(124, 12, size);
  if (!entry.claimed_size.empty())
    std::memcpy(block + 124, entry.claimed_size.data(), std::min<std::size_t>(entry.claimed_size.size(), 12));
  octal(136, 12, static_cast<unsigned long long>(entry.mtime));
  std::memset(block + 148, ' ', 8);
  block[156] = entry.type;
  std::memcpy(block + 157, entry.link.data(), std::min<std::size_t>(entry.link.size(), 100));
  std::memcpy(block + 257, "ustar\00000", 8);
  octal(329, 8, entry.major);
  octal(337, 8, entry.minor);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(block + 148, 8, "%06o", sum);
  return std::string(block, sizeof block);
}

inline std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (rest + std::to_string(length).size() != length) ++length;
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

inline std::string Tar(const std::vector<TarEntry>& entries, bool trailer = true) {
  std::string tar;
  for (const auto& entry : entries) {
    auto pax = entry.pax;
    if (entry.name.size() > 100) pax["path"] = entry.name;
    if (entry.link.size() > 100) pax["linkpath"] = entry.link;
    if (!pax.empty()) {
      std::string records;
      for (const auto& [key, value] : pax) records += PaxRecord(key, value);
      TarEntry header;
      header.name = "pax";
      header.type = 'x';
      tar += Header(header, records.size()) + Pad(records);
    }
    tar += Header(entry, entry.content.size()) + Pad(entry.content);
  }
  if (trailer) tar += std::string(1024, '\0');
  return tar;
}

inline std::string Gzip(const std::string& data) {
  std::string out(data.size() + data.size() / 8 + 4096, '\0');
  isal_zstream
      stream{};  // zeroed: left-overs in its hash table would make other bytes, and another digest, each time
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<std::uint32_t>(data.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = static_cast<std::uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) std::abort();
  out.resize(stream.total_out);
  return out;
}

struct TestImage {
  std::string config;
  std::vector<std::string> layers;  // tar archives, plain
  std::string id() const { return DigestOf(config); }
};

inline TestImage MakeImage(const std::vector<std::vector<TarEntry>>& layers,
                           nlohmann::json run_config = {{"Cmd", {"/bin/sh"}}}) {
  TestImage image;
  nlohmann::json diff_ids = nlohmann::json::array();
  for (const auto& layer : layers) {
    image.layers.push_back(Tar(layer));
    diff_ids.push_back(DigestOf(image.layers.back()));
  }
  image.config = nlohmann::json({{"architecture", "amd64"},
                                 {"os", "linux"},
                                 {"config", run_config},
                                 {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}})
                     .dump();
  return image;
}

inline std::string DockerArchive(const TestImage& image, const std::vector<std::string>& tags) {
  std::vector<TarEntry> members;
  nlohmann::json layers = nlohmann::json::array();
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    const std::string name = std::to_string(i) + "/layer.tar";
    members.push_back({.name = name, .content = image.layers[i]});
    layers.push_back(name);
  }
  members.push_back({.name = "config.json", .content = image.config});
  members.push_back(
      {.name = "manifest.json",
       .content = nlohmann::json::array({{{"Config", "config.json"}, {"RepoTags", tags}, {"Layers", layers}}})
                      .dump()});
  return Tar(members);
}

// Files of an OCI layout, by path. Layers are gzip; `annotations` go to the only entry of index.json.
inline std::map<std::string, std::string> OciLayout(const TestImage& image, const nlohmann::json& annotations,
                                                    std::string* manifest_digest = nullptr) {
  std::map<std::string, std::string> files;
  auto blob = [&](const std::string& content, const std::string& type) {
    const std::string digest = DigestOf(content);
    files["blobs/sha256/" + HexOf(digest)] = content;
    return nlohmann::json({{"mediaType", type}, {"digest", digest}, {"size", content.size()}});
  };
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& layer : image.layers)
    layers.push_back(blob(Gzip(layer), "application/vnd.oci.image.layer.v1.tar+gzip"));
  const nlohmann::json manifest = {{"schemaVersion", 2},
                                   {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                                   {"config", blob(image.config, "application/vnd.oci.image.config.v1+json")},
                                   {"layers", layers}};
  auto entry = blob(manifest.dump(), "application/vnd.oci.image.manifest.v1+json");
  if (manifest_digest != nullptr) *manifest_digest = entry["digest"];
  if (!annotations.is_null()) entry["annotations"] = annotations;
  files["index.json"] = nlohmann::json({{"schemaVersion", 2}, {"manifests", {entry}}}).dump();
  files["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
  return files;
}

inline std::string OciArchive(const std::map<std::string, std::string>& files) {
  std::vector<TarEntry> members;
  for (const auto& [name, content] : files) members.push_back({.name = name, .content = content});
  return Tar(members);
}

// A directory of the test's own; gone, mounts included only if the test unmounted them, when this is dropped.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/berth-test-image-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() { (void)RemoveDeepTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

}  // namespace berth::image::testing
