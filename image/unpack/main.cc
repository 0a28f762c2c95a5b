// SPDX-License-Identifier: Apache-2.0
// berth-unpack: one archive from stdin into the directory given as descriptor 3, in a cage (confine.h). On
// success one JSON line on stdout; on failure one line of text on stderr and an exit code that tells the kind
// (worker.h).
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <clocale>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/fault.h"
#include "base/files.h"
#include "image/unpack/confine.h"
#include "image/unpack/exit_codes.h"
#include "image/unpack/extract.h"

namespace berth::image::unpack {
namespace {

struct Arguments {
  Mode mode = Mode::kLayer;
  std::uint64_t max_bytes = 0;
  Limits limits;
  bool sync_file_system = true;
};

bool Number(std::string_view text, std::uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

base::Result<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto equals = argument.find('=');
    const auto key = argument.substr(0, equals);
    const auto value = equals == std::string_view::npos ? "" : argument.substr(equals + 1);
    if (key == "--mode" && (value == "layer" || value == "files")) {
      arguments.mode = value == "layer" ? Mode::kLayer : Mode::kFiles;
    } else if (key == "--sync" && (value == "filesystem" || value == "files")) {
      arguments.sync_file_system = value == "filesystem";
    } else if (key == "--max-bytes" && Number(value, &arguments.max_bytes)) {
    } else if (key == "--max-entries" && Number(value, &arguments.limits.max_entries)) {
    } else {
      return base::Malformed("unknown argument '" + std::string(argument) + "'");
    }
  }
  return arguments;
}

base::Result<std::string> Work(const Arguments& arguments) {
  // What the libraries open lazily must be open before the cage closes: crypto's configuration, and a locale
  // in which libarchive hands UTF-8 names through.
  (void)DigestOf("");
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr)
    return base::Malformed("locale C.UTF-8 is missing on this host");
  if (auto confined = Confine(kTargetFd); !confined) return confined.TakeError();
  // The descriptor that came in still belongs to the host's mount: with it open, `..` would lead out.
  ::close(kTargetFd);
  auto root = base::OpenAt(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
  if (!root) return root.TakeError();

  LayerStream stream(STDIN_FILENO, arguments.max_bytes);
  Extractor extractor(root->get(), arguments.mode, arguments.limits);
  if (auto done = extractor.Run(stream); !done) return done.TakeError();
  if (auto synced = SyncTree(root->get(), arguments.sync_file_system); !synced) return synced.TakeError();
  const Report& report = extractor.report();
  const nlohmann::json line = {{"diff_id", stream.DiffId()},
                               {"archive_bytes", stream.bytes()},
                               {"entries", report.entries},
                               {"size_bytes", report.size_bytes},
                               {"disk_bytes", report.disk_bytes},
                               {"inodes", report.inodes},
                               {"xattrs_dropped", report.xattrs_dropped},
                               {"implicit", report.implicit},
                               {"root_named", report.root_named}};
  return line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

int Run(int argc, char** argv) {
  auto arguments = Parse(argc, argv);
  auto line = arguments ? Work(*arguments) : base::Result<std::string>(arguments.TakeError());
  if (line) return base::WriteAll(STDOUT_FILENO, *line) ? kExitDone : kExitHost;
  const base::Error& error = line.error();
  std::string text = error.Message();
  for (char& c : text) {  // one line, whatever the archive's names hold
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  (void)base::WriteAll(STDERR_FILENO, text.substr(0, 2000) + "\n");
  if (error.err == ENOSPC || error.err == EDQUOT) return kExitFull;
  return error.err == 0 ? kExitArchive : kExitHost;
}

}  // namespace
}  // namespace berth::image::unpack

int main(int argc, char** argv) {
  // Without destructors of globals: nothing to save, and the cage allows little.
  ::_exit(berth::image::unpack::Run(argc, argv));
}
