// SPDX-License-Identifier: Apache-2.0
// TLS for the streaming server.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace boost::asio::ssl {
class context;
}

namespace berth::cri::streaming {

struct TlsOptions {
  bool enabled = false;
  std::string certificate_file;  // PEM, the chain; empty: a certificate is made at each start, in memory only
  std::string key_file;
  std::string client_ca_file;       // PEM; given: clients must show a certificate that it signed
  std::string min_version = "1.2";  // "1.2" or "1.3"
  std::string ciphers;              // OpenSSL's list for TLS 1.2; empty: forward secret AEAD ones
};

// The context for new connections; read anew when one of its files has changed. A broken new file keeps the
// old certificate in use, with a warning. Thread safe.
class TlsContext {
 public:
  // `address` goes into a certificate that is made here.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Make(TlsOptions options, std::string address);
  std::shared_ptr<boost::asio::ssl::context> Current();

 private:
  TlsContext(TlsOptions options, std::string address)
      : options_(std::move(options)), address_(std::move(address)) {}
  absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> Load() const;
  std::string Stamp() const;

  const TlsOptions options_;
  const std::string address_;
  std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> current_;
  std::string stamp_;  // of the files that are in use, or that were refused
  std::int64_t looked_at_ = 0;
};

}  // namespace berth::cri::streaming
