// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"

namespace berth::cri::streaming {
namespace {

namespace ssl = boost::asio::ssl;

constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr std::int64_t kLookEveryNs = base::kSecondNs;
constexpr long kYearSeconds = 365L * 24 * 3600;

std::string OpensslWords() {
  char words[256] = "unknown error";
  if (const auto code = ::ERR_get_error(); code != 0) ::ERR_error_string_n(code, words, sizeof words);
  ::ERR_clear_error();
  return words;
}

absl::Status Refused(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(what, ": ", OpensslWords()));
}

struct Free {
  void operator()(EVP_PKEY* p) const { ::EVP_PKEY_free(p); }
  void operator()(X509* p) const { ::X509_free(p); }
  void operator()(X509_EXTENSION* p) const { ::X509_EXTENSION_free(p); }
};

bool AddExtension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

// A self-signed certificate for a year: whoever wants to verify it gives one of their own.
absl::Status Generate(const std::string& address, SSL_CTX* context) {
  const std::unique_ptr<EVP_PKEY, Free> key(::EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Free> certificate(::X509_new());
  if (key == nullptr || certificate == nullptr) return Refused("make a key");
  std::uint64_t serial = 0;
  (void)::RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ::X509_set_version(certificate.get(), X509_VERSION_3);
  ::ASN1_INTEGER_set_uint64(::X509_get_serialNumber(certificate.get()), serial >> 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), -300);
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), kYearSeconds);
  ::X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("berth streaming"), -1, -1, 0);
  ::X509_set_issuer_name(certificate.get(), name);
  const bool extended =
      AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(certificate.get(), NID_ext_key_usage, "serverAuth") &&
      AddExtension(certificate.get(), NID_subject_alt_name, absl::StrCat("IP:", address, ",DNS:localhost"));
  if (!extended || ::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) == 0)
    return Refused("sign a certificate");
  if (::SSL_CTX_use_certificate(context, certificate.get()) != 1 ||
      ::SSL_CTX_use_PrivateKey(context, key.get()) != 1)
    return Refused("use the certificate made here");
  return absl::OkStatus();
}

absl::Status LoadFiles(const TlsOptions& options, SSL_CTX* context) {
  if (::SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return Refused(absl::StrCat("read the certificate '", options.certificate_file, "'"));
  if (::SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return Refused(absl::StrCat("read the key '", options.key_file, "'"));
  if (::SSL_CTX_check_private_key(context) != 1)
    return Refused(
        absl::StrCat("the key '", options.key_file, "' is not that of '", options.certificate_file, "'"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<ssl::context>> TlsContext::Load() const {
  auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* context = made->native_handle();
  ::ERR_clear_error();
  ::SSL_CTX_set_min_proto_version(context, options_.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  ::SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  const std::string ciphers = options_.ciphers.empty() ? kCiphers : options_.ciphers;
  if (::SSL_CTX_set_cipher_list(context, ciphers.c_str()) != 1)
    return Refused(absl::StrCat("no cipher of '", ciphers, "' is known"));
  const absl::Status loaded =
      options_.certificate_file.empty() ? Generate(address_, context) : LoadFiles(options_, context);
  if (!loaded.ok()) return loaded;
  if (!options_.client_ca_file.empty()) {
    if (::SSL_CTX_load_verify_locations(context, options_.client_ca_file.c_str(), nullptr) != 1)
      return Refused(absl::StrCat("read the client CA '", options_.client_ca_file, "'"));
    ::SSL_CTX_set_client_CA_list(context, ::SSL_load_client_CA_file(options_.client_ca_file.c_str()));
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return made;
}

// Changes when a file does: by rename (another inode), or in place.
std::string TlsContext::Stamp() const {
  std::string stamp;
  for (const auto* file : {&options_.certificate_file, &options_.key_file, &options_.client_ca_file}) {
    struct stat facts {};
    if (file->empty() || ::stat(file->c_str(), &facts) != 0) continue;
    absl::StrAppend(&stamp, facts.st_ino, ":", facts.st_mtim.tv_sec, ".", facts.st_mtim.tv_nsec, ":",
                    facts.st_size, ";");
  }
  return stamp;
}

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Make(TlsOptions options, std::string address) {
  std::unique_ptr<TlsContext> made(new TlsContext(std::move(options), std::move(address)));
  made->stamp_ = made->Stamp();
  auto loaded = made->Load();
  if (!loaded.ok()) return loaded.status();
  made->current_ = std::move(*loaded);
  return made;
}

std::shared_ptr<ssl::context> TlsContext::Current() {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = base::MonotonicNs();
  if (now - looked_at_ < kLookEveryNs) return current_;
  looked_at_ = now;
  const std::string stamp = Stamp();
  if (stamp == stamp_) return current_;
  stamp_ = stamp;
  auto loaded = Load();
  if (loaded.ok()) {
    current_ = std::move(*loaded);
    base::LogInfo("the streaming server's certificate was read anew", {{"file", options_.certificate_file}});
  } else {
    base::LogWarning("the streaming server's new certificate is of no use; the one before stays",
                     {{"error", loaded.status()}});
  }
  return current_;
}

}  // namespace berth::cri::streaming
