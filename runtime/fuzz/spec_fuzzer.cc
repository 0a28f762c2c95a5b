// SPDX-License-Identifier: Apache-2.0
// A request (as a record's JSON) and an image's config through the codec into a specification. What is
// accepted can be written as JSON, joins every namespace that the request does not share with the host, and
// gives no capability that we lack.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/codec.h"
#include "runtime/oci/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::runtime;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const auto container = Decode<ContainerConfig>(text.substr(0, line));
  if (!container.ok()) return 0;
  berth::image::ImageConfig image;
  const std::string rest = line == std::string::npos ? "/bin/sh" : text.substr(line + 1);
  image.cmd = {rest};
  image.env = {rest, "A=" + rest};
  image.working_dir = rest;
  oci::HostFacts host;
  host.cgroup_controllers = {"cpu", "memory", "pids", "cpuset"};
  host.capabilities = {"CAP_CHOWN", "CAP_KILL"};
  host.architecture = "amd64";
  oci::Handler handler;
  handler.spec_version = "1.0.2";
  handler.features.seccomp = true;
  PodConfig pod;
  oci::SpecInput input;
  input.pod = &pod;
  input.container = &*container;
  input.image = &image;
  input.host = &host;
  input.handler = &handler;
  input.namespaces = container->namespaces.value_or(NamespaceOptions{});
  input.paths.netns = input.paths.ipcns = input.paths.utsns = input.paths.pidns = "/ns";
  const auto spec = oci::BuildSpec(input);
  if (!spec.ok()) return 0;
  const std::string json = spec->dump();  // throws on text that cannot be written
  std::size_t joined = 0;
  for (const auto& ns : (*spec)["linux"]["namespaces"]) joined += ns["type"] == "network";
  if ((joined == 0) != (input.namespaces.network == NamespaceMode::kNode)) std::abort();
  for (const auto& cap : (*spec)["process"]["capabilities"]["bounding"]) {
    if (cap != "CAP_CHOWN" && cap != "CAP_KILL") std::abort();
  }
  (void)oci::BuildExecProcess(*spec, {"true"}, true);
  return 0;
}
