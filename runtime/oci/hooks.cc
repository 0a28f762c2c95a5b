// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/hooks.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 6> kStages = {"prestart",       "createRuntime", "createContainer",
                                                     "startContainer", "poststart",     "poststop"};

absl::Status CheckExpression(const std::string& expression) {
  const re2::RE2 compiled(expression, re2::RE2::Quiet);
  if (compiled.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("expression '", expression, "': ", compiled.error()));
}

absl::Status ReadWhen(const json& when, Hook& hook) {
  for (const auto& [key, value] : when.items()) {
    if (key == "always") {
      hook.always = value.get<bool>();
    } else if (key == "hasBindMounts") {
      hook.has_bind_mounts = value.get<bool>();
    } else if (key == "commands") {
      value.get_to(hook.commands);
    } else if (key == "annotations") {
      for (const auto& [name, pattern] : value.get<std::map<std::string, std::string>>())
        hook.annotations.emplace_back(name, pattern);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown condition '", key, "'"));
    }
  }
  for (const auto& [name, pattern] : hook.annotations) {
    BERTH_RETURN_IF_ERROR(CheckExpression(name));
    BERTH_RETURN_IF_ERROR(CheckExpression(pattern));
  }
  for (const std::string& command : hook.commands) BERTH_RETURN_IF_ERROR(CheckExpression(command));
  if (hook.always || hook.has_bind_mounts || !hook.commands.empty() || !hook.annotations.empty())
    return absl::OkStatus();
  return absl::InvalidArgumentError("'when' has no condition");
}

absl::Status ReadProgram(const json& program, Hook& hook) {
  for (const auto& [key, value] : program.items()) {
    const bool good = (key == "path" && value.is_string()) ||
                      (key == "timeout" && value.is_number_unsigned()) ||
                      ((key == "args" || key == "env") && value.is_array());
    if (!good)
      return absl::InvalidArgumentError(absl::StrCat("'hook.", key, "' is unknown or of a wrong type"));
  }
  const std::string path = program.value("path", "");
  if (path.empty() || path[0] != '/') return absl::InvalidArgumentError("'hook.path' is no absolute path");
  hook.hook = program;
  return absl::OkStatus();
}

absl::Status Read(const json& object, Hook& hook) {
  for (const auto& [key, value] : object.items()) {
    if (key == "version") {
      if (value != "1.0.0") return absl::InvalidArgumentError("version is not 1.0.0");
    } else if (key == "hook") {
      BERTH_RETURN_IF_ERROR(ReadProgram(value, hook));
    } else if (key == "when") {
      BERTH_RETURN_IF_ERROR(ReadWhen(value, hook));
    } else if (key == "stages") {
      value.get_to(hook.stages);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown key '", key, "'"));
    }
  }
  for (const char* key : {"version", "hook", "when", "stages"}) {
    if (!object.contains(key)) return absl::InvalidArgumentError(absl::StrCat("key '", key, "' is missing"));
  }
  for (const std::string& stage : hook.stages) {
    if (std::find(kStages.begin(), kStages.end(), stage) == kStages.end())
      return absl::InvalidArgumentError(absl::StrCat("unknown stage '", stage, "'"));
  }
  return hook.stages.empty() ? absl::InvalidArgumentError("'stages' is empty") : absl::OkStatus();
}

bool Found(const std::string& text, const std::string& expression) {
  return re2::RE2::PartialMatch(text, re2::RE2(expression, re2::RE2::Quiet));
}

bool Wanted(const Hook& hook, const json& spec) {
  if (hook.always && !*hook.always) return false;
  const std::map<std::string, std::string> annotations =
      spec.value("annotations", std::map<std::string, std::string>());
  for (const auto& [name, pattern] : hook.annotations) {
    const bool any =
        std::any_of(annotations.begin(), annotations.end(), [&, &n = name, &p = pattern](const auto& one) {
          return Found(one.first, n) && Found(one.second, p);
        });
    if (!any) return false;
  }
  if (!hook.commands.empty()) {
    const std::string command = spec.at("process").at("args").at(0);
    const auto hit = [&](const std::string& pattern) { return Found(command, pattern); };
    if (std::none_of(hook.commands.begin(), hook.commands.end(), hit)) return false;
  }
  if (hook.has_bind_mounts) {
    const json& mounts = spec.at("mounts");
    const bool any = std::any_of(mounts.begin(), mounts.end(),
                                 [](const json& mount) { return mount.at("type") == "bind"; });
    if (any != *hook.has_bind_mounts) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Hook> ParseHook(const std::string& file, const std::string& text) {
  Hook hook;
  hook.file = file;
  absl::Status read;
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    read = absl::InvalidArgumentError("it is no JSON object");
  } else {
    try {
      read = Read(object, hook);
    } catch (const json::exception&) {
      read = absl::InvalidArgumentError("a value is of a wrong type");
    }
  }
  if (!read.ok()) return base::Annotate(read, absl::StrCat("hook '", file, "'"));
  return hook;
}

absl::StatusOr<std::vector<Hook>> ReadHooks(const std::vector<std::string>& dirs) {
  std::map<std::string, std::string> files;  // name → path: later directories win
  for (const std::string& dir : dirs) {
    const auto names = base::ListDir(dir);
    if (!names.ok()) {
      if (base::IsGone(names.error().err)) continue;
      return base::ToStatus(names.error());
    }
    for (const std::string& name : *names) {
      if (absl::EndsWith(name, ".json")) files[name] = absl::StrCat(dir, "/", name);
    }
  }
  std::vector<Hook> hooks;
  for (const auto& [name, path] : files) {
    BERTH_ASSIGN_OR_RETURN(const std::string text, base::ToStatusOr(base::ReadFile(path)));
    BERTH_ASSIGN_OR_RETURN(Hook hook, ParseHook(path, text));
    hooks.push_back(std::move(hook));
  }
  return hooks;
}

void ApplyHooks(const std::vector<Hook>& hooks, json& spec) {
  for (const Hook& hook : hooks) {
    if (!Wanted(hook, spec)) continue;
    for (const std::string& stage : hook.stages) spec["hooks"][stage].push_back(hook.hook);
  }
}

}  // namespace berth::runtime::oci
