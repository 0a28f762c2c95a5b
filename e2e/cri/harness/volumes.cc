// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

template <typename Repeated>
void AddMapping(Repeated* list, uint32_t first = kFirstId) {
  cri::IDMapping* mapping = list->Add();
  mapping->set_host_id(first);
  mapping->set_length(kIds);
}

}  // namespace

void GiveUserNamespace(cri::PodSandboxConfig* config) {
  cri::UserNamespace* user = Namespaces(config)->mutable_userns_options();
  user->set_mode(cri::POD);
  AddMapping(user->mutable_uids());
  AddMapping(user->mutable_gids());
}

std::string WhyNoUserNamespaces() {
  cri::StatusRequest request;
  request.set_verbose(true);
  const cri::StatusResponse status = Must(Cri().Status(request));
  for (const auto& handler : status.runtime_handlers()) {
    if (handler.name().empty() && handler.features().user_namespaces()) return "";
  }
  return "the handler cannot make user namespaces here: " + status.info().at("handlers");
}

cri::Mount* AddMount(cri::ContainerConfig* config, const std::string& host, const std::string& container) {
  cri::Mount* mount = config->add_mounts();
  mount->set_host_path(host);
  mount->set_container_path(container);
  return mount;
}

cri::Mount* AddMapped(cri::ContainerConfig* config, const std::string& host, const std::string& container,
                      uint32_t first) {
  cri::Mount* mount = AddMount(config, host, container);
  AddMapping(mount->mutable_uidmappings(), first);
  AddMapping(mount->mutable_gidmappings(), first);
  return mount;
}

cri::Mount* AddImage(cri::ContainerConfig* config, const std::string& image, const std::string& place,
                     const std::string& sub_path) {
  cri::Mount* mount = config->add_mounts();
  mount->set_container_path(place);
  mount->set_readonly(true);
  mount->mutable_image()->set_image(image);
  mount->set_image_sub_path(sub_path);
  return mount;
}

}  // namespace berth::e2e
