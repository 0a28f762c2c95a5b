// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {
constexpr std::size_t kChunkBytes = 1 << 20;
}

absl::Status Import(Connection& daemon, const std::string& file, const std::string& reference) {
  auto fd = base::OpenAt(AT_FDCWD, file, O_RDONLY);
  if (!fd.ok()) return base::ToStatus(fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return base::SyscallError(errno, absl::StrCat("stat '", file, "'"));
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(
        absl::StrCat("'", file, "' is not a file; give a tar of an OCI layout or of `docker save`"));
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  absl::Status failed;
  std::uint64_t sent = 0;
  bool first = true;
  const auto response = daemon.ImportImage([&](ops::ImportImageRequest* request) {
    if (first) {
      first = false;
      request->mutable_header()->set_archive_name(file);
      request->mutable_header()->set_reference(reference);
      return true;
    }
    std::string* data = request->mutable_data();
    data->resize(kChunkBytes);
    ssize_t got = 0;
    do {
      got = ::read(fd->get(), data->data(), data->size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) failed = base::SyscallError(errno, absl::StrCat("read '", file, "'"));
    if (got <= 0) return false;
    data->resize(static_cast<std::size_t>(got));
    sent += static_cast<std::uint64_t>(got);
    if (terminal)
      std::cerr << "\r" << Bytes(sent) << " of " << Bytes(static_cast<std::uint64_t>(info.st_size)) << "   "
                << std::flush;
    return true;
  });
  if (terminal) std::cerr << "\r\x1b[K";
  if (!failed.ok()) return failed;
  if (!response.ok()) return response.status();
  for (const auto& image : response->images()) {
    std::cout << image.id() << " " << Printable(absl::StrJoin(image.references(), " ")) << " ("
              << Bytes(image.size_bytes()) << ")" << (image.existed() ? ", was here already" : "") << "\n";
  }
  return absl::OkStatus();
}

}  // namespace berth::cli
