// SPDX-License-Identifier: Apache-2.0
// Pods with a user namespace, and mounts of volumes and images, as kubelet asks for them.
#pragma once

#include <cstdint>
#include <string>

#include "e2e/cri/harness/pod.h"

namespace berth::e2e {

constexpr uint32_t kFirstId = 1'000'000, kIds = 65536;

// hostUsers: false. The handler must offer it: WhyNoUserNamespaces().
void GiveUserNamespace(cri::PodSandboxConfig* config);
// "" when the default handler offers user namespaces, else what Status(verbose) says of the handlers.
std::string WhyNoUserNamespaces();

cri::Mount* AddMount(cri::ContainerConfig* config, const std::string& host, const std::string& container);
// Mapped as the pod is, as kubelet sends every mount of such a pod.
cri::Mount* AddMapped(cri::ContainerConfig* config, const std::string& host, const std::string& container,
                      uint32_t first = kFirstId);
cri::Mount* AddImage(cri::ContainerConfig* config, const std::string& image, const std::string& place,
                     const std::string& sub_path = "");

}  // namespace berth::e2e
