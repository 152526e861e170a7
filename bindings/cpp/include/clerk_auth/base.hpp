// Exception mode, namespace, time types, and conversions between C and C++ strings.
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
#include <type_traits>

#ifndef CLERK_AUTH_EXCEPTIONS
#if defined(__cpp_exceptions)
#define CLERK_AUTH_EXCEPTIONS 1
#else
#define CLERK_AUTH_EXCEPTIONS 0
#endif
#endif

// Translation units built with and without exceptions may be linked into one program. The inline namespaces keep their
// functions apart; otherwise the linker would pick one for both and an exception could cross the C library.
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

// Times are whole milliseconds since 1970-01-01 UTC.
using Milliseconds = std::chrono::milliseconds;
using Time = std::chrono::time_point<std::chrono::system_clock, Milliseconds>;

// Warns (Clang) when a view outlives the object it refers to.
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::lifetimebound)
#define CLERK_AUTH_LIFETIMEBOUND [[clang::lifetimebound]]
#endif
#endif
#ifndef CLERK_AUTH_LIFETIMEBOUND
#define CLERK_AUTH_LIFETIMEBOUND
#endif

namespace detail {

// For conversions that must not compile, with a message that says what to write.
template <class>
inline constexpr bool always_false = false;

template <class T>
using EnableIfBool = std::enable_if_t<std::is_same_v<T, bool>>;

inline clerk_str to_c(std::string_view text) noexcept { return clerk_str{text.data(), text.size()}; }

inline clerk_str to_c(std::optional<std::string_view> text) noexcept {
    if (!text) return clerk_str{nullptr, 0};
    // An empty string is not NULL.
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
