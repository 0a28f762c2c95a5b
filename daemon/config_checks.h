// SPDX-License-Identifier: Apache-2.0
// What values of several tables must be beyond their type: "" when they are, else why not.
#pragma once

#include <string>

namespace berth::daemon {

std::string AbsolutePath(const std::string& path);
std::string AbsolutePathOrNone(const std::string& path);
// A RuntimeClass handler: a DNS label.
std::string HandlerName(const std::string& name);

}  // namespace berth::daemon
