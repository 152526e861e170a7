// The result of a call that uses only the cache.
#ifndef CLERK_AUTH_CACHED_RESULT_HPP
#define CLERK_AUTH_CACHED_RESULT_HPP

#include "base.hpp"

#include <utility>

CLERK_AUTH_NAMESPACE_BEGIN

// A value, or nothing if the cached data is not sufficient. Not convertible to bool: `if (cached)` would accept every
// request with a result, including rejections. Accessing a missing value throws std::bad_optional_access, or ends the
// process when exceptions are disabled.
template <class T>
class [[nodiscard]] Cached {
public:
    Cached() noexcept = default;
    Cached(T value) noexcept : value_(std::move(value)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    template <class Bool, class = detail::EnableIfBool<Bool>>
    explicit operator Bool() const noexcept {
        static_assert(detail::always_false<Bool>, "check has_value(), then value().signed_in()");
        return false;
    }

    T &value() & { return value_.value(); }
    const T &value() const & { return value_.value(); }
    T value() && { return std::move(value_).value(); }

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
