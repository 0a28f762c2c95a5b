// SPDX-License-Identifier: Apache-2.0
#include "network/judge.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::network {
namespace {

NetworkState NotReady(std::string message) { return {false, kNotReady, std::move(message)}; }

std::string DescribeBad(const std::vector<BadFile>& bad) {
  return absl::StrJoin(bad, "; ", [](std::string* out, const BadFile& file) {
    absl::StrAppend(out, "'", file.path, "': ", file.why);
  });
}

// Programs that are not there, by name, each once; paths of the others.
std::vector<std::string> FindPrograms(const Conflist& list, const std::vector<std::string>& bin_dirs,
                                      std::vector<std::string>& paths) {
  std::vector<std::string> missing;
  for (const auto& plugin : list.plugins) {
    for (const auto& program : ProgramsOf(plugin)) {
      const auto path = FindPlugin(bin_dirs, program);
      auto& into = path.ok() ? paths : missing;
      const std::string& name = path.ok() ? *path : program;
      if (std::find(into.begin(), into.end(), name) == into.end()) into.push_back(name);
    }
  }
  return missing;
}

// Leaves in list.version the highest version that all speak; else says who cannot.
std::string ChooseVersion(Conflist& list, const std::vector<std::string>& paths,
                          const std::vector<std::string>& bin_dirs, VersionCache& cache) {
  std::vector<CniVersion> left = list.versions;
  for (const auto& path : paths) {
    const auto spoken = cache.Supported(path, bin_dirs);
    if (spoken.empty()) continue;
    const auto before = left;
    std::erase_if(left, [&](const CniVersion& version) {
      return !std::binary_search(spoken.begin(), spoken.end(), version);
    });
    if (left.empty())
      return absl::StrCat("plugin '", path, "' speaks CNI ", JoinVersions(spoken), ", not ",
                          JoinVersions(before));
  }
  list.version = left.back();
  return "";
}

}  // namespace

Verdict Judge(const ConfDirContents& contents, const std::string& conf_dir,
              const std::vector<std::string>& bin_dirs, VersionCache& versions) {
  if (!contents.problem.empty())
    return {nullptr, NotReady(absl::StrCat("CNI configuration cannot be read: ", contents.problem))};
  if (!contents.chosen && contents.bad.empty())
    return {nullptr, NotReady(absl::StrCat("no CNI configuration in '", conf_dir, "'"))};
  if (!contents.chosen) {
    return {nullptr, NotReady(absl::StrCat("no valid CNI configuration in '", conf_dir,
                                           "': ", DescribeBad(contents.bad)))};
  }
  Conflist list = *contents.chosen;
  const std::string passed_over =
      contents.bad.empty() ? "" : absl::StrCat("CNI configuration passed over: ", DescribeBad(contents.bad));
  const auto not_ready = [&](const std::string& why) {
    return Verdict{nullptr, NotReady(absl::StrCat("CNI configuration '", contents.chosen_path, "': ", why,
                                                  passed_over.empty() ? "" : "; ", passed_over))};
  };
  std::vector<std::string> paths;
  if (const auto missing = FindPrograms(list, bin_dirs, paths); !missing.empty()) {
    return not_ready(absl::StrCat(missing.size() > 1 ? "plugins '" : "plugin '",
                                  absl::StrJoin(missing, "', '"), "' not found in '",
                                  absl::StrJoin(bin_dirs, "', '"), "'"));
  }
  if (const std::string why = ChooseVersion(list, paths, bin_dirs, versions); !why.empty())
    return not_ready(why);
  std::string text = ToText(list);
  return {std::make_shared<InForce>(InForce{std::move(list), std::move(text), contents.chosen_path}),
          {true, "", passed_over}};
}

}  // namespace berth::network
