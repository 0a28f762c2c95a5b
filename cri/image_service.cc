// SPDX-License-Identifier: Apache-2.0
// CRI's ImageService.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/convert_image.h"
#include "cri/errors.h"
#include "cri/lists.h"
#include "cri/pull.h"
#include "cri/reactor.h"
#include "cri/services.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;
using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

class ImageService final : public v1::ImageService::CallbackService {
 public:
  explicit ImageService(const Backend& backend)
      : backend_(backend), images_(*backend.runtime->options().images) {}

  Unary* ListImages(Context* context, const v1::ListImagesRequest* request,
                    v1::ListImagesResponse* reply) override {
    for (const auto& record : Matching(request->filter())) *reply->add_images() = ImageMessage(*record);
    return Answer(context, absl::OkStatus());
  }
  grpc::ServerWriteReactor<v1::StreamImagesResponse>* StreamImages(
      Context*, const v1::StreamImagesRequest* request) override {
    auto* writer = new ChunkWriter<v1::StreamImagesResponse>;
    writer->Begin(Chunks<v1::StreamImagesResponse>(
                      Matching(request->filter()),
                      [](const auto& record, auto* chunk) { *chunk->add_images() = ImageMessage(*record); }),
                  grpc::Status::OK);
    return writer;
  }
  Unary* ImageStatus(Context* context, const v1::ImageStatusRequest* request,
                     v1::ImageStatusResponse* reply) override {
    if (request->image().image().empty()) return Answer(context, NoImage());
    if (const auto record = images_.Find(request->image().image())) {
      *reply->mutable_image() = ImageMessage(*record);
      if (request->verbose()) {
        const auto info = ImageInfo(*record);
        reply->mutable_info()->insert(info.begin(), info.end());
      }
    }
    return Answer(context, absl::OkStatus());  // an absent image is no error
  }
  Unary* PullImage(Context* context, const v1::PullImageRequest* request,
                   v1::PullImageResponse* reply) override {
    return Work(context, "PullImage", [this, request, reply](const runtime::Caller& caller) -> absl::Status {
      if (request->image().image().empty()) return NoImage();
      auto id = Pull(images_, *request, caller);
      if (!id.ok()) return PullError(id.status());
      reply->set_image_ref(*std::move(id));
      return absl::OkStatus();
    });
  }
  Unary* RemoveImage(Context* context, const v1::RemoveImageRequest* request,
                     v1::RemoveImageResponse*) override {
    return Work(context, "RemoveImage", [this, request](const runtime::Caller&) {
      return request->image().image().empty() ? NoImage() : images_.Remove(request->image().image());
    });
  }
  Unary* ImageFsInfo(Context* context, const v1::ImageFsInfoRequest*,
                     v1::ImageFsInfoResponse* reply) override {
    FillUsage(images_.Usage(), reply->add_image_filesystems());
    return Answer(context, absl::OkStatus());
  }

 private:
  static absl::Status NoImage() { return absl::InvalidArgumentError("the request names no image"); }
  Unary* Work(Context* context, const char* method,
              std::function<absl::Status(const runtime::Caller&)> work) {
    return RunOnWorker(*backend_.workers, context, method, std::move(work));
  }
  std::vector<std::shared_ptr<const image::ImageRecord>> Matching(const v1::ImageFilter& filter) const {
    if (filter.image().image().empty()) return images_.List();
    const auto record = images_.Find(filter.image().image());
    if (record == nullptr) return {};
    return {record};
  }

  const Backend backend_;
  image::Images& images_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImageService(const Backend& backend) {
  return std::make_unique<ImageService>(backend);
}

}  // namespace berth::cri
