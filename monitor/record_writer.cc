// SPDX-License-Identifier: Apache-2.0
#include "monitor/record_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "base/fault.h"
#include "base/files.h"

namespace berth::monitor {
namespace {
constexpr off_t kReserveBytes = 16 * 1024;

base::Error Failed(int err, const char* verb, const std::string& path) {
  return base::SyscallFailed(err, std::string(verb) + " '" + path + "'");
}
}  // namespace

std::string Shorten(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // not within a UTF-8 character
  return text.substr(0, end) + "…";
}

base::Result<void> ReserveRecord(const std::string& record_dir) {
  const std::string path = record_dir + "/" + kExitReserveName;
  BERTH_FAULT_POINT("monitor.reserve_record");
  auto fd = base::OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT, base::Resolve::kAnywhere, 0600);
  if (!fd) return fd.TakeError();
  // File systems without fallocate(2) reserve nothing: then ENOSPC is met by the fallback directory.
  if (::fallocate(fd->get(), 0, 0, kReserveBytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    const int err = errno;
    ::unlink(path.c_str());
    return Failed(err, "reserve space for", path);
  }
  return {};
}

base::Result<void> WriteRecordDurable(const ExitRecord& record, const std::string& record_dir) {
  const std::string reserve = record_dir + "/" + kExitReserveName;
  const std::string path = record_dir + "/" + kExitRecordName;
  const std::string text = ToJson(record);
  BERTH_FAULT_POINT("monitor.write_record");
  if (BERTH_FAULT_FAILS("monitor.record_enospc")) return Failed(ENOSPC, "write", path);
  auto fd = base::OpenAt(AT_FDCWD, reserve, O_WRONLY | O_CREAT, base::Resolve::kAnywhere, 0600);
  if (!fd) return fd.TakeError();
  if (auto written = base::WriteAll(fd->get(), text); !written)
    return Failed(written.error().err, "write", reserve);
  if (::ftruncate(fd->get(), static_cast<off_t>(text.size())) != 0) return Failed(errno, "truncate", reserve);
  if (::fsync(fd->get()) != 0) return Failed(errno, "fsync", reserve);
  BERTH_FAULT_POINT("monitor.rename_record");
  if (::rename(reserve.c_str(), path.c_str()) != 0) return Failed(errno, "rename to", path);
  return base::FsyncDir(record_dir);
}

base::Result<void> WriteRecordFallback(const ExitRecord& record, const std::string& fallback_dir) {
  ExitRecord copy = record;
  copy.durable = false;
  BERTH_FAULT_POINT("monitor.write_fallback_record");
  if (auto made = base::MakeDirs(fallback_dir); !made) return made;
  return base::WriteFile(fallback_dir + "/" + kExitRecordName, ToJson(copy));
}

}  // namespace berth::monitor
