// What memory knows, or nothing.
#ifndef CLERK_AUTH_CACHED_RESULT_HPP
#define CLERK_AUTH_CACHED_RESULT_HPP

#include "base.hpp"

#include <utility>

CLERK_AUTH_NAMESPACE_BEGIN

// A std::optional whose arrow cannot be used on a temporary. `if (remembered)` says whether there is an answer, not
// whether it is a good one. Taking what is not there throws std::bad_optional_access, or ends the process.
template <class T>
class [[nodiscard]] Cached {
public:
    Cached() noexcept = default;
    Cached(T value) noexcept : value_(std::move(value)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    T &operator*() & { return value_.value(); }
    const T &operator*() const & { return value_.value(); }
    T operator*() && { return std::move(value_).value(); }
    T *operator->() & { return &value_.value(); }
    const T *operator->() const & { return &value_.value(); }
    const T *operator->() const && = delete;

private:
    std::optional<T> value_;
};

CLERK_AUTH_NAMESPACE_END

#endif
