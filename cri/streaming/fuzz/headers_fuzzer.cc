// SPDX-License-Identifier: Apache-2.0
// Header blocks: as the network brings them (compressed), and inflated. What is read is bounded, and comes
// back unchanged when it is written and read again.
#include <cstdint>
#include <cstdlib>

#include "cri/streaming/spdy_headers.h"

namespace {

using namespace berth::cri::streaming;

void Check(const absl::StatusOr<Headers>& headers) {
  if (!headers.ok()) return;
  std::size_t bytes = 0;
  for (const auto& [name, value] : *headers) bytes += name.size() + value.size();
  if (bytes > kMaxHeaderBytes || headers->size() > kMaxHeaderEntries) std::abort();
  HeaderWriter writer;
  HeaderReader reader;
  const auto again = reader.Read(writer.Write(*headers));
  if (!again.ok() || *again != *headers) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size <= kMaxHeaderBytes / 2) Check(ParseHeaderBlock(bytes));
  HeaderReader reader;  // two blocks of one connection
  Check(reader.Read(bytes.substr(0, size / 2)));
  Check(reader.Read(bytes.substr(size / 2)));
  HeaderReader other;
  Check(other.Read(bytes));
  return 0;
}
