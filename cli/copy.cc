// SPDX-License-Identifier: Apache-2.0
// berth cp: files to and from a container, as a tar stream through an exec of the container's own tar. What a
// container sends is hostile: it is unpacked below the target only, without owners, devices, and links that
// lead elsewhere.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/remote.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

struct Free {
  void operator()(archive* a) const { ::archive_free(a); }
  void operator()(archive_entry* e) const { ::archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, Free>;
using Entry = std::unique_ptr<archive_entry, Free>;

struct Place {
  std::string container;  // empty: here
  std::string path;
};

Place ParsePlace(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text.find('/') < colon) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}
std::string Base(const std::string& path) { return fs::path(WithoutSlashes(path)).filename().string(); }
std::string Directory(const std::string& path) {
  const std::string parent = fs::path(WithoutSlashes(path)).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status Wrong(archive* a, absl::string_view what) {
  const char* words = ::archive_error_string(a);
  return absl::InternalError(absl::StrCat(what, ": ", words == nullptr ? "failed" : words));
}

cri::ExecRequest ExecOf(const std::string& container, const std::vector<std::string>& command, bool input) {
  cri::ExecRequest request;
  request.set_container_id(container);
  for (const auto& word : command) request.add_cmd(word);
  request.set_stdin(input);
  request.set_stdout(true);
  request.set_stderr(true);
  return request;
}

// Runs a command there; what it says on stderr becomes the error's words.
absl::StatusOr<int> RunThere(Connection& daemon, const cri::ExecRequest& request, RemoteStreams streams,
                             std::string* words) {
  const auto url = daemon.Exec(request);
  if (!url.ok()) return url.status();
  static constexpr std::size_t kMaxWords = 4096;
  streams.err = [words](std::string_view bytes) {
    words->append(bytes.substr(0, kMaxWords - std::min(words->size(), kMaxWords)));
    return absl::OkStatus();
  };
  return RunRemote(*url, streams);
}

absl::Status Told(const absl::StatusOr<int>& code, const std::string& words) {
  if (!code.ok()) return code.status();
  if (*code == 0) return absl::OkStatus();
  return absl::UnknownError(
      absl::StrCat("tar in the container ended with ", *code, words.empty() ? "" : ": ", words));
}

// The tree at `path`, as `name`, into an archive.
absl::Status Pack(archive* out, const std::string& path, const std::string& name) {
  const Archive disk(::archive_read_disk_new());
  ::archive_read_disk_set_symlink_physical(disk.get());
  ::archive_read_disk_set_behavior(disk.get(), ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS);
  if (::archive_read_disk_open(disk.get(), path.c_str()) != ARCHIVE_OK) return Wrong(disk.get(), path);
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    const Entry entry(::archive_entry_new());
    const int next = ::archive_read_next_header2(disk.get(), entry.get());
    if (next == ARCHIVE_EOF) return absl::OkStatus();
    if (next < ARCHIVE_WARN) return Wrong(disk.get(), path);
    ::archive_read_disk_descend(disk.get());
    const std::string source = ::archive_entry_sourcepath(entry.get());
    const std::string inside = source.substr(std::min(path.size(), source.size()));
    ::archive_entry_set_pathname(entry.get(), (name + inside).c_str());
    if (::archive_write_header(out, entry.get()) < ARCHIVE_WARN) return Wrong(out, source);
    if (::archive_entry_filetype(entry.get()) != AE_IFREG || ::archive_entry_size(entry.get()) == 0) continue;
    const base::UniqueFd file(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return base::SyscallError(errno, absl::StrCat("open '", source, "'"));
    for (;;) {
      const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
      if (got < 0) return base::SyscallError(errno, absl::StrCat("read '", source, "'"));
      if (got == 0) break;
      if (::archive_write_data(out, buffer.data(), static_cast<std::size_t>(got)) < 0)
        return Wrong(out, source);
    }
  }
}

struct Pushing {
  const std::function<bool(std::string_view)>* push;
};
la_ssize_t WriteOn(archive*, void* context, const void* bytes, std::size_t size) {
  const auto* pushing = static_cast<Pushing*>(context);
  return (*pushing->push)({static_cast<const char*>(bytes), size}) ? static_cast<la_ssize_t>(size) : -1;
}

absl::Status CopyIn(Connection& daemon, const std::string& from, const Place& to) {
  const std::string source = WithoutSlashes(from);
  if (!fs::exists(fs::symlink_status(source)))
    return absl::NotFoundError(absl::StrCat("'", source, "' is not there"));
  // As cp does: into a directory that is there, else under the new name.
  std::string words;
  RemoteStreams quiet;
  quiet.out = [](std::string_view) { return absl::OkStatus(); };
  const auto is_directory =
      RunThere(daemon, ExecOf(to.container, {"test", "-d", to.path}, false), quiet, &words);
  if (!is_directory.ok()) return is_directory.status();
  const std::string directory = *is_directory == 0 ? to.path : Directory(to.path);
  const std::string name = *is_directory == 0 ? Base(source) : Base(to.path);
  auto packed = std::make_shared<absl::Status>();
  RemoteStreams streams = quiet;
  streams.input = [source, name, packed](const std::function<bool(std::string_view)>& push) {
    Pushing pushing{&push};
    const Archive out(::archive_write_new());
    ::archive_write_set_format_pax_restricted(out.get());
    ::archive_write_open(out.get(), &pushing, nullptr, WriteOn, nullptr);
    *packed = Pack(out.get(), source, name);
    if (::archive_write_close(out.get()) < ARCHIVE_WARN && packed->ok()) *packed = Wrong(out.get(), "send");
  };
  const auto code =
      RunThere(daemon, ExecOf(to.container, {"tar", "-xmf", "-", "-C", directory}, true), streams, &words);
  const auto told = Told(code, words);
  return told.ok() ? *packed : told;
}

bool LeadsElsewhere(const fs::path& link) {
  return link.is_absolute() || std::find(link.begin(), link.end(), "..") != link.end();
}

absl::Status Unpack(int fd, const std::string& base, const fs::path& target) {
  const Archive in(::archive_read_new());
  ::archive_read_support_format_tar(in.get());
  if (::archive_read_open_fd(in.get(), fd, 64 * 1024) != ARCHIVE_OK)
    return Wrong(in.get(), "read what the container sends");
  const Archive disk(::archive_write_disk_new());
  ::archive_write_disk_set_options(disk.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                                                   ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                   ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  for (;;) {
    archive_entry* entry = nullptr;
    const int next = ::archive_read_next_header(in.get(), &entry);
    if (next == ARCHIVE_EOF) return absl::OkStatus();
    if (next < ARCHIVE_WARN) return Wrong(in.get(), "what the container sends");
    const std::string name = ::archive_entry_pathname(entry);
    const auto kind = ::archive_entry_filetype(entry);
    const bool ours = name == base || name.rfind(base + "/", 0) == 0;
    if (!ours)
      return absl::InternalError(absl::StrCat("the container sends '", name, "', which was not asked for"));
    const bool symlink = kind == AE_IFLNK;
    // A tar entry of a hard link says what it links to, and may not say what that is.
    const char* link = ::archive_entry_hardlink(entry);
    if ((kind != AE_IFREG && kind != AE_IFDIR && !symlink && link == nullptr) ||
        (symlink && LeadsElsewhere(::archive_entry_symlink(entry)))) {
      std::cerr << "berth: left out: " << Printable(name)
                << (symlink ? " (a link that leads elsewhere)\n" : " (no file or directory)\n");
      continue;
    }
    ::archive_entry_set_pathname(entry, (target.string() + name.substr(base.size())).c_str());
    if (link != nullptr) {
      const std::string to = link;
      if (to.rfind(base + "/", 0) != 0 || LeadsElsewhere(to)) {
        std::cerr << "berth: left out: " << Printable(name) << " (a link that leads elsewhere)\n";
        continue;
      }
      ::archive_entry_set_hardlink(entry, (target.string() + to.substr(base.size())).c_str());
    }
    ::archive_entry_set_perm(entry, ::archive_entry_perm(entry) & 0777);
    if (::archive_write_header(disk.get(), entry) < ARCHIVE_WARN) return Wrong(disk.get(), name);
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    int read = ARCHIVE_OK;
    while ((read = ::archive_read_data_block(in.get(), &block, &size, &offset)) == ARCHIVE_OK) {
      if (::archive_write_data_block(disk.get(), block, size, offset) < ARCHIVE_WARN)
        return Wrong(disk.get(), name);
    }
    if (read < ARCHIVE_WARN) return Wrong(in.get(), name);
    if (::archive_write_finish_entry(disk.get()) < ARCHIVE_WARN) return Wrong(disk.get(), name);
  }
}

absl::Status CopyOut(Connection& daemon, const Place& from, const std::string& to) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::SyscallError(errno, "pipe2");
  base::UniqueFd reading(ends[0]);
  base::UniqueFd writing(ends[1]);
  const std::string name = Base(from.path);
  // Links on the way to it are ours and followed; below it none is.
  std::error_code error;
  const fs::path directory = fs::canonical(fs::is_directory(to) ? to : Directory(to), error);
  if (error) return absl::NotFoundError(absl::StrCat("'", Directory(to), "': ", error.message()));
  const fs::path target = directory / (fs::is_directory(to) ? name : Base(to));
  absl::Status unpacked;
  std::thread unpacking([&] {
    unpacked = Unpack(reading.get(), name, target);
    reading.Reset();  // what still comes has nowhere to go
  });
  RemoteStreams streams;
  streams.out = [&](std::string_view bytes) { return base::ToStatus(base::WriteAll(writing.get(), bytes)); };
  std::string words;
  const auto code =
      RunThere(daemon, ExecOf(from.container, {"tar", "-cf", "-", "-C", Directory(from.path), name}, false),
               streams, &words);
  writing.Reset();
  unpacking.join();
  if (!unpacked.ok() && !(code.ok() && *code != 0)) return unpacked;
  return Told(code, words);
}

}  // namespace

absl::Status Copy(Connection& daemon, const std::string& from, const std::string& to) {
  const Place source = ParsePlace(from);
  const Place target = ParsePlace(to);
  if (source.container.empty() == target.container.empty())
    return absl::InvalidArgumentError("one of both must be CONTAINER:PATH, and the other a path here");
  std::signal(SIGPIPE, SIG_IGN);  // an unpacking that failed tells more
  return source.container.empty() ? CopyIn(daemon, source.path, target)
                                  : CopyOut(daemon, source, target.path);
}

}  // namespace berth::cli
