// SPDX-License-Identifier: Apache-2.0
// Profiles of the node's administrator. Kubernetes' examples and Docker's own file share one form with small
// additions to the specification's; a rule that is dropped or widened silently would confine less than its
// author wrote, so everything is either honoured or refused.
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "runtime/security/seccomp.h"

namespace berth::runtime::security {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxRules = 10000;
constexpr std::size_t kMaxNames = 10000;

constexpr const char* kActions[] = {"SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                                    "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
                                    "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"};
constexpr const char* kOperators[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
                                      "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};

absl::Status Bad(const std::string& what) { return absl::InvalidArgumentError("seccomp profile: " + what); }

template <typename List>
bool In(const List& list, const std::string& text) {
  return std::any_of(std::begin(list), std::end(list), [&](const char* item) { return text == item; });
}

absl::Status OnlyFields(const json& object, const char* where, std::initializer_list<const char*> known) {
  if (!object.is_object()) return Bad(absl::StrCat(where, " is not an object"));
  for (const auto& [key, value] : object.items()) {
    if (!In(known, key)) return Bad(absl::StrCat("unknown field '", key, "' in ", where));
  }
  return absl::OkStatus();
}

// The member unless it is absent or null.
const json* Member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<std::string> Action(const json& value) {
  if (!value.is_string()) return Bad("an action is not a text");
  const std::string action = value.get<std::string>();
  if (action == "SCMP_ACT_NOTIFY")
    return Bad("SCMP_ACT_NOTIFY needs a listener, which berth does not provide");
  if (!In(kActions, action)) return Bad(absl::StrCat("unknown action '", action, "'"));
  return action;
}

absl::StatusOr<std::vector<std::string>> Strings(const json& value, const char* where) {
  std::vector<std::string> out;
  if (!value.is_array() || value.size() > kMaxNames)
    return Bad(absl::StrCat("'", where, "' is not a list of a sensible length"));
  for (const json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
      return Bad(absl::StrCat("'", where, "' has an entry that is no text"));
    }
    out.push_back(item.get<std::string>());
  }
  return out;
}

absl::StatusOr<std::uint64_t> Number(const json& object, const char* name, std::uint64_t max) {
  const json* value = Member(object, name);
  if (value == nullptr) return 0;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
    return Bad(absl::StrCat("'", name, "' is no number in range"));
  }
  return value->get<std::uint64_t>();
}

// Does one of includes/excludes hold? Each list in it is a condition; a list matches when any (excludes) or
// all (includes) of it do.
struct Match {
  bool all = true, any = false;
};
absl::StatusOr<Match> Evaluate(const json& filter, const SeccompContext& context) {
  BERTH_RETURN_IF_ERROR(OnlyFields(filter, "includes/excludes", {"caps", "arches", "minKernel"}));
  Match match;
  const auto note = [&](bool holds) {
    match.all = match.all && holds;
    match.any = match.any || holds;
  };
  if (const json* caps = Member(filter, "caps")) {
    BERTH_ASSIGN_OR_RETURN(const auto names, Strings(*caps, "caps"));
    for (const std::string& name : names) note(context.capabilities.contains(name));
  }
  if (const json* arches = Member(filter, "arches")) {
    BERTH_ASSIGN_OR_RETURN(const auto names, Strings(*arches, "arches"));
    if (!names.empty()) note(std::find(names.begin(), names.end(), context.architecture) != names.end());
  }
  if (const json* kernel = Member(filter, "minKernel")) {
    // berth itself needs 5.6 (openat2): older ones hold here. Newer ones would need a look at the host, which
    // a pure function has not.
    const std::vector<std::string> parts =
        kernel->is_string() ? absl::StrSplit(kernel->get<std::string>(), '.') : std::vector<std::string>();
    int major = 0, minor = 0;
    if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &major) || !absl::SimpleAtoi(parts[1], &minor)) {
      return Bad("'minKernel' is no version");
    }
    if (major > 5 || (major == 5 && minor > 6)) return Bad("'minKernel' above 5.6 is not supported");
    note(true);
  }
  return match;
}

absl::StatusOr<bool> Applies(const json& rule, const SeccompContext& context) {
  if (const json* includes = Member(rule, "includes"); includes != nullptr && !includes->empty()) {
    BERTH_ASSIGN_OR_RETURN(const Match match, Evaluate(*includes, context));
    if (!match.all) return false;
  }
  if (const json* excludes = Member(rule, "excludes"); excludes != nullptr && !excludes->empty()) {
    BERTH_ASSIGN_OR_RETURN(const Match match, Evaluate(*excludes, context));
    if (match.any) return false;
  }
  return true;
}

absl::StatusOr<json> Arguments(const json& list) {
  if (!list.is_array() || list.size() > 6) return Bad("'args' is not a list of at most 6");
  json out = json::array();
  for (const json& argument : list) {
    BERTH_RETURN_IF_ERROR(OnlyFields(argument, "an argument", {"index", "value", "valueTwo", "op"}));
    BERTH_ASSIGN_OR_RETURN(const std::uint64_t index, Number(argument, "index", 5));
    BERTH_ASSIGN_OR_RETURN(const std::uint64_t value, Number(argument, "value", UINT64_MAX));
    BERTH_ASSIGN_OR_RETURN(const std::uint64_t value_two, Number(argument, "valueTwo", UINT64_MAX));
    const json* op = Member(argument, "op");
    if (op == nullptr || !op->is_string() || !In(kOperators, op->get<std::string>()))
      return Bad("an argument has no known 'op'");
    out.push_back({{"index", index}, {"value", value}, {"valueTwo", value_two}, {"op", *op}});
  }
  return out;
}

// nullopt: the rule is for other architectures or capabilities.
absl::StatusOr<std::optional<json>> Rule(const json& rule, const SeccompContext& context) {
  BERTH_RETURN_IF_ERROR(OnlyFields(
      rule, "a rule",
      {"name", "names", "action", "errnoRet", "errno", "args", "includes", "excludes", "comment"}));
  const json* names = Member(rule, "names");
  const json* name = Member(rule, "name");
  if ((names == nullptr) == (name == nullptr)) return Bad("a rule needs 'names'");
  BERTH_ASSIGN_OR_RETURN(const auto list, Strings(names != nullptr ? *names : json::array({*name}), "names"));
  const json* action = Member(rule, "action");
  if (action == nullptr) return Bad("a rule has no 'action'");
  BERTH_ASSIGN_OR_RETURN(const std::string act, Action(*action));
  json out = {{"names", list}, {"action", act}};
  if (Member(rule, "errnoRet") != nullptr) {
    BERTH_ASSIGN_OR_RETURN(out["errnoRet"], Number(rule, "errnoRet", 4095));
  } else if (Member(rule, "errno") != nullptr) {
    return Bad("a rule has 'errno' by name only: 'errnoRet' is needed");
  }
  if (const json* args = Member(rule, "args"); args != nullptr && !args->empty()) {
    BERTH_ASSIGN_OR_RETURN(out["args"], Arguments(*args));
  }
  BERTH_ASSIGN_OR_RETURN(const bool applies, Applies(rule, context));
  if (!applies || list.empty()) return std::optional<json>();
  return std::optional<json>(std::move(out));
}

absl::Status KnownArchitecture(const std::string& name) {
  if (name.rfind("SCMP_ARCH_", 0) != 0) return Bad(absl::StrCat("unknown architecture '", name, "'"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Architectures(const json& profile, const SeccompContext& context) {
  const std::vector<std::string> native = SeccompArchitectures(context.architecture);
  if (const json* list = Member(profile, "architectures"); list != nullptr && !list->empty()) {
    BERTH_ASSIGN_OR_RETURN(auto named, Strings(*list, "architectures"));
    for (const std::string& name : named) {
      BERTH_RETURN_IF_ERROR(KnownArchitecture(name));
    }
    return named;
  }
  const json* map = Member(profile, "archMap");
  if (map == nullptr) return std::vector<std::string>();
  if (!map->is_array()) return Bad("'archMap' is not a list");
  for (const json& entry : *map) {
    BERTH_RETURN_IF_ERROR(OnlyFields(entry, "'archMap'", {"architecture", "subArchitectures"}));
    const json* main = Member(entry, "architecture");
    if (main == nullptr || !main->is_string()) return Bad("'archMap' has an entry without 'architecture'");
    if (native.empty() || main->get<std::string>() != native[0]) continue;
    std::vector<std::string> found = {native[0]};
    if (const json* more = Member(entry, "subArchitectures")) {
      BERTH_ASSIGN_OR_RETURN(const auto subs, Strings(*more, "subArchitectures"));
      for (const auto& name : subs) BERTH_RETURN_IF_ERROR(KnownArchitecture(name));
      found.insert(found.end(), subs.begin(), subs.end());
    }
    return found;
  }
  return Bad(absl::StrCat("'archMap' has no entry for ", context.architecture));
}

}  // namespace

absl::StatusOr<json> ConvertSeccompProfile(const json& profile, const SeccompContext& context) {
  if (profile.is_object() && (profile.contains("listenerPath") || profile.contains("listenerMetadata"))) {
    return Bad("a listener is not supported");
  }
  BERTH_RETURN_IF_ERROR(OnlyFields(profile, "the profile",
                                   {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures",
                                    "archMap", "flags", "syscalls", "comment"}));
  const json* action = Member(profile, "defaultAction");
  if (action == nullptr) return Bad("'defaultAction' is missing");
  json out;
  BERTH_ASSIGN_OR_RETURN(out["defaultAction"], Action(*action));
  if (Member(profile, "defaultErrnoRet") != nullptr) {
    BERTH_ASSIGN_OR_RETURN(out["defaultErrnoRet"], Number(profile, "defaultErrnoRet", 4095));
  }
  BERTH_ASSIGN_OR_RETURN(const auto architectures, Architectures(profile, context));
  if (!architectures.empty()) out["architectures"] = architectures;
  if (const json* flags = Member(profile, "flags"); flags != nullptr && !flags->empty()) {
    BERTH_ASSIGN_OR_RETURN(const auto names, Strings(*flags, "flags"));
    constexpr const char* kFlags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                      "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
    for (const std::string& flag : names) {
      if (!In(kFlags, flag)) return Bad(absl::StrCat("flag '", flag, "' is not supported"));
    }
    out["flags"] = names;
  }
  if (const json* rules = Member(profile, "syscalls"); rules != nullptr) {
    if (!rules->is_array() || rules->size() > kMaxRules)
      return Bad("'syscalls' is not a list of a sensible length");
    for (const json& rule : *rules) {
      BERTH_ASSIGN_OR_RETURN(auto converted, Rule(rule, context));
      if (converted) out["syscalls"].push_back(std::move(*converted));
    }
  }
  return out;
}

}  // namespace berth::runtime::security
