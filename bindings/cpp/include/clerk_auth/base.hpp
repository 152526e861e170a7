// What the other parts stand on: the mode (with or without exceptions), and texts on their way in and out.
#ifndef CLERK_AUTH_BASE_HPP
#define CLERK_AUTH_BASE_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "clerk_auth.hpp needs C++17"
#endif

#include <clerk_auth.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#ifndef CLERK_AUTH_EXCEPTIONS
#if defined(__cpp_exceptions)
#define CLERK_AUTH_EXCEPTIONS 1
#else
#define CLERK_AUTH_EXCEPTIONS 0
#endif
#endif

// One program may hold parts built with and without exceptions: each gets functions of its own, or the linker would
// choose for both, and an exception could cross the C library.
#if CLERK_AUTH_EXCEPTIONS
#define CLERK_AUTH_NAMESPACE_BEGIN                                                                                     \
    namespace clerk {                                                                                                  \
    inline namespace v0 {
#else
#define CLERK_AUTH_NAMESPACE_BEGIN                                                                                     \
    namespace clerk {                                                                                                  \
    inline namespace v0_no_exceptions {
#endif
#define CLERK_AUTH_NAMESPACE_END                                                                                       \
    }                                                                                                                  \
    }

CLERK_AUTH_NAMESPACE_BEGIN

// Clerk's times are whole milliseconds since 1970-01-01 UTC.
using Milliseconds = std::chrono::milliseconds;
using Time = std::chrono::time_point<std::chrono::system_clock, Milliseconds>;

namespace detail {

inline clerk_str to_c(std::string_view text) noexcept { return clerk_str{text.data(), text.size()}; }

inline clerk_str to_c(std::optional<std::string_view> text) noexcept {
    if (!text) return clerk_str{nullptr, 0};
    // A text that is there and empty is not NULL.
    return text->data() != nullptr ? to_c(*text) : clerk_str{"", 0};
}

inline std::optional<std::string_view> from_c(clerk_str text) noexcept {
    if (text.data == nullptr) return std::nullopt;
    return std::string_view(text.data, text.len);
}

inline std::optional<Milliseconds> from_c_ms(int64_t ms) noexcept {
    if (ms < 0) return std::nullopt;
    return Milliseconds(ms);
}

} // namespace detail

CLERK_AUTH_NAMESPACE_END

#endif
