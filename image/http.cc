// SPDX-License-Identifier: Apache-2.0
#include "image/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace berth::image {
namespace {

// Slower than this over a whole window is as good as dead: another connection or host is tried. Time in which
// we ourselves do not take data (unpacking, a slow disk) does not count.
constexpr std::int64_t kWindowNs = 30 * base::kSecondNs;
constexpr std::uint64_t kWindowBytes = 30 * 1024;
constexpr std::size_t kMaxHeaders = 256;

struct Transfer {
  CURL* curl = nullptr;
  const HttpRequest* request = nullptr;
  HttpResponse response;
  absl::Status sink_status;
  bool too_slow = false;
  bool cancelled = false;
  bool too_large = false;
  std::uint64_t window_bytes = 0;
  std::int64_t window_start = base::MonotonicNs();
  std::int64_t window_blocked = 0;
};

std::size_t OnBody(char* data, std::size_t, std::size_t size, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  long status = 0;
  curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
  transfer->window_bytes += size;
  if (transfer->request->sink && (status == 200 || status == 206)) {
    const std::int64_t begin = base::MonotonicNs();
    transfer->response.status = static_cast<int>(status);
    transfer->sink_status = transfer->request->sink(transfer->response, {data, size});
    transfer->window_blocked += base::MonotonicNs() - begin;
    return transfer->sink_status.ok() ? size : 0;
  }
  if (transfer->response.body.size() + size > transfer->request->cap) {
    if (status == 200) {
      transfer->too_large = true;
      return 0;
    }
    size_t room = transfer->request->cap - transfer->response.body.size();
    transfer->response.body.append(data, room);  // an error's text: enough is enough
    return size;
  }
  transfer->response.body.append(data, size);
  return size;
}

std::size_t OnHeader(char* data, std::size_t, std::size_t size, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) transfer->response.headers.clear();  // a new reply (after 100 Continue)
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || transfer->response.headers.size() >= kMaxHeaders) return size;
  const absl::string_view value =
      absl::StripAsciiWhitespace(absl::string_view(data + colon + 1, size - colon - 1));
  transfer->response.headers.emplace(absl::AsciiStrToLower(absl::string_view(data, colon)),
                                     std::string(value));
  return size;
}

int OnProgress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto* transfer = static_cast<Transfer*>(context);
  if (transfer->request->cancelled && transfer->request->cancelled()) {
    transfer->cancelled = true;
    return 1;
  }
  const std::int64_t now = base::MonotonicNs();
  if (now - transfer->window_start - transfer->window_blocked >= kWindowNs) {
    if (transfer->window_bytes < kWindowBytes) {
      transfer->too_slow = true;
      return 1;
    }
    transfer->window_start = now;
    transfer->window_blocked = 0;
    transfer->window_bytes = 0;
  }
  return 0;
}

struct CurlCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct ListCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

absl::Status SetTls(CURL* curl, const TlsOptions& tls, std::string& bundle) {
  if (tls.skip_verify) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!tls.ca_files.empty()) {
    // Several files become one in memory, beside the system's own.
    auto system = base::ReadFile("/etc/ssl/certs/ca-certificates.crt", 4 << 20);
    if (system) bundle = *system + "\n";
    for (const auto& file : tls.ca_files) {
      auto text = base::ReadFile(file);
      if (!text)
        return base::WithCode(absl::StatusCode::kFailedPrecondition, base::ToStatus(text.error()),
                              "registry certificate authority");
      bundle += *text + "\n";
    }
    curl_blob blob{bundle.data(), bundle.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!tls.client_cert.empty()) curl_easy_setopt(curl, CURLOPT_SSLCERT, tls.client_cert.c_str());
  if (!tls.client_key.empty()) curl_easy_setopt(curl, CURLOPT_SSLKEY, tls.client_key.c_str());
  return absl::OkStatus();
}

}  // namespace

std::string HttpResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string ShownUrl(std::string_view url) {
  std::string shown(url.substr(0, url.find_first_of("?#")));
  const auto scheme = shown.find("://");
  if (scheme != std::string::npos) {
    const auto slash = shown.find('/', scheme + 3);
    const auto at = shown.rfind('@', slash);
    if (at != std::string::npos && at > scheme) shown.erase(scheme + 3, at - scheme - 2);
  }
  for (char& c : shown) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  return shown.substr(0, 500);
}

std::string OriginOf(std::string_view url) {
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, std::string(url).c_str(), 0) != CURLUE_OK) return "";
  auto part = [&](CURLUPart which, unsigned flags) {
    char* text = nullptr;
    std::string value;
    if (curl_url_get(parsed.get(), which, &text, flags) == CURLUE_OK) value = text;
    curl_free(text);
    return absl::AsciiStrToLower(value);
  };
  return absl::StrCat(part(CURLUPART_SCHEME, 0), "://", part(CURLUPART_HOST, 0), ":",
                      part(CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

std::string UrlEncode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~')
      out += c;
    else
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

absl::StatusOr<HttpResponse> Exchange(const HttpRequest& request) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  std::unique_ptr<CURL, CurlCloser> curl(initialised == CURLE_OK ? curl_easy_init() : nullptr);
  if (!curl) return absl::InternalError("libcurl cannot be initialised");
  Transfer transfer;
  transfer.curl = curl.get();
  transfer.request = &request;
  char error[CURL_ERROR_SIZE] = {};
  std::string bundle;
  CURL* const c = curl.get();
  curl_easy_setopt(c, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 15L);
  curl_easy_setopt(c, CURLOPT_TIMEOUT, static_cast<long>(request.timeout_seconds));
  curl_easy_setopt(c, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 512L * 1024);
  curl_easy_setopt(c, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(c, CURLOPT_XFERINFODATA, &transfer);
  // Proxies of the environment are honoured, but never for this very host.
  const auto scheme = request.url.find("://");
  if (scheme != std::string::npos) {
    const auto authority = std::string_view(request.url).substr(scheme + 3);
    if (IsLoopback(authority.substr(0, authority.find('/')))) curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
  }
  if (request.offset > 0) curl_easy_setopt(c, CURLOPT_RANGE, absl::StrCat(request.offset, "-").c_str());
  if (!request.form.empty()) curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, request.form.c_str());
  std::unique_ptr<curl_slist, ListCloser> headers;
  for (const auto& header : request.headers) {
    curl_slist* grown = curl_slist_append(headers.get(), header.c_str());
    if (grown == nullptr) return absl::ResourceExhaustedError("no memory for a header");
    (void)headers.release();
    headers.reset(grown);
  }
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  BERTH_RETURN_IF_ERROR(SetTls(c, request.tls, bundle));

  const CURLcode code = curl_easy_perform(c);
  if (!transfer.sink_status.ok()) return transfer.sink_status;
  if (transfer.cancelled) return absl::CancelledError("pull cancelled");
  if (transfer.too_slow)
    return absl::UnavailableError(
        absl::StrCat("slower than ", kWindowBytes / 30, " bytes per second for 30 s"));
  if (transfer.too_large)
    return absl::FailedPreconditionError(absl::StrCat("reply is larger than ", request.cap, " bytes"));
  if (code != CURLE_OK) {
    std::string words = error[0] != '\0' ? error : curl_easy_strerror(code);
    std::replace(words.begin(), words.end(), '\n', ' ');
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
      absl::StrAppend(&words, "; an authority of its own is named by 'ca' in this registry's hosts.toml");
    }
    return absl::UnavailableError(words);
  }
  long status = 0;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  char* redirect = nullptr;
  if (curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &redirect) == CURLE_OK && redirect != nullptr)
    transfer.response.redirect = redirect;
  return std::move(transfer.response);
}

}  // namespace berth::image
