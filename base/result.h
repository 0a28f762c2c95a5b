// SPDX-License-Identifier: Apache-2.0
// Errno results without Abseil, for base_core, berth-monitor and the readers of cgroupfs that it links.
// Code above these uses absl::Status; base/status.h converts.
#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace berth::base {

// A failure: the errno (0 when no syscall failed, e.g. malformed text) and what was being done, with the
// object named.
struct Error {
  int err = 0;
  std::string what;

  // "open '/x': Permission denied"
  std::string Message() const;
};

// Reads errno before anything can disturb it: `return SyscallFailed("open '" + path + "'")` evaluates its
// argument first, so pass the saved errno when building the text may allocate.
inline Error SyscallFailed(int err, std::string what) { return Error{err, std::move(what)}; }
inline Error Malformed(std::string what) { return Error{0, std::move(what)}; }

// A value or an Error. Check ok() before value(); value() of an error aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : data_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : data_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose
  bool ok() const { return data_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return Get(); }
  const T& value() const& { return const_cast<Result*>(this)->Get(); }
  T&& value() && { return std::move(Get()); }
  T* operator->() { return &Get(); }
  const T* operator->() const { return &const_cast<Result*>(this)->Get(); }
  T& operator*() & { return Get(); }
  T&& operator*() && { return std::move(Get()); }
  const T& operator*() const& { return const_cast<Result*>(this)->Get(); }
  const Error& error() const { return std::get<1>(data_); }
  Error&& TakeError() { return std::move(std::get<1>(data_)); }

 private:
  T& Get() {
    if (data_.index() != 0) __builtin_trap();
    return *std::get_if<0>(&data_);
  }
  std::variant<T, Error> data_;
};

// Success or an Error, for work that yields nothing.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}  // NOLINT: implicit on purpose
  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return error_; }
  Error&& TakeError() { return std::move(error_); }

 private:
  bool failed_ = false;
  Error error_;
};

}  // namespace berth::base
