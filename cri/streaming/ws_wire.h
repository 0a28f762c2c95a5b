// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cri/streaming/upgrade.h"
#include "cri/streaming/wire.h"

namespace berth::cri::streaming {

// Answers the upgrade with `protocol` ("" for none) and gives the messages' wire, or null when the client did
// not wait for that. `text`: what we send are text messages.
void MakeMessageWire(std::shared_ptr<Socket> socket, const HttpRequest& request, const std::string& protocol,
                     bool text, std::function<void(std::shared_ptr<Wire>)> then);

}  // namespace berth::cri::streaming
