// The header lines of a request, as views: whoever owns the lines keeps them until the call returns.
#ifndef CLERK_AUTH_REQUEST_HPP
#define CLERK_AUTH_REQUEST_HPP

#include "base.hpp"

#include <array>
#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>
#include <vector>

CLERK_AUTH_NAMESPACE_BEGIN

namespace detail {

// A text of any library: std::string, std::string_view, boost::string_view, …
template <class T>
std::string_view view_of(const T &text) noexcept {
    if constexpr (std::is_convertible_v<const T &, std::string_view>)
        return text;
    else
        return std::string_view(text.data(), text.size());
}

template <class T, class = void>
struct IsView : std::is_pointer<T> {};
// No owner: a copy of it looks at the same bytes.
template <class T>
struct IsView<T, std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_array_v<T>,
                                  std::void_t<decltype(std::declval<const T &>().data())>>> : std::true_type {};

template <class T, class = void>
struct IsPair : std::false_type {};
template <class T>
struct IsPair<T, std::void_t<decltype(std::declval<const T &>().first), decltype(std::declval<const T &>().second)>>
    : std::true_type {};

// A field of Boost.Beast.
template <class T, class = void>
struct IsField : std::false_type {};
template <class T>
struct IsField<
    T, std::void_t<decltype(std::declval<const T &>().name_string()), decltype(std::declval<const T &>().value())>>
    : std::true_type {};

// Lines that the library may look at; it compares their names again, and exactly.
inline bool is_relevant_header(std::string_view name) noexcept {
    constexpr std::string_view lines[] = {"authorization",  "cookie",           "accept",     "sec-fetch-dest",
                                          "svix-id",        "svix-timestamp",   "webhook-id", "webhook-timestamp",
                                          "svix-signature", "webhook-signature"};
    for (const std::string_view line : lines) {
        std::size_t same = 0;
        if (line.size() != name.size()) continue;
        while (same < line.size() && (name[same] | 0x20) == line[same]) ++same;
        if (same == line.size()) return true;
    }
    return false;
}

template <class Range>
using LineOf = decltype(*std::begin(std::declval<const Range &>()));

template <class Range, class = void>
struct IsLines : std::false_type {};
template <class Range>
struct IsLines<Range, std::void_t<LineOf<Range>>>
    : std::bool_constant<IsPair<std::decay_t<LineOf<Range>>>::value || IsField<std::decay_t<LineOf<Range>>>::value> {};

} // namespace detail

// Header lines: a range of (name, value) pairs such as std::multimap or std::vector, the fields of Boost.Beast, or
// added one by one. All lines may be given, of requests and of webhook deliveries; those that do not matter are passed
// over, and so many of the others that no client in its right mind sends them are refused as a bad token.
class Headers {
public:
    Headers() noexcept {}

    template <class Range, class = std::enable_if_t<detail::IsLines<Range>::value>>
    Headers(const Range &range) {
        for (auto &&line : range) {
            using Line = std::decay_t<decltype(line)>;
            constexpr bool is_lasting = std::is_lvalue_reference_v<detail::LineOf<Range>>;
            if constexpr (detail::IsField<Line>::value) {
                static_assert(is_lasting, "the fields must outlive the call");
                add(detail::view_of(line.name_string()), detail::view_of(line.value()));
            } else {
                static_assert(is_lasting || (detail::IsView<std::decay_t<decltype(line.first)>>::value &&
                                             detail::IsView<std::decay_t<decltype(line.second)>>::value),
                              "the lines must outlive the call: pairs that are made on the way may only hold views");
                add(detail::view_of(line.first), detail::view_of(line.second));
            }
        }
    }

    Headers &&add(std::string_view name, std::string_view value) && { return std::move(add(name, value)); }
    Headers &add(std::string_view name, std::string_view value) & {
        if (!detail::is_relevant_header(name)) return *this;
        const clerk_header line{detail::to_c(name), detail::to_c(value)};
        if (inline_count_ < inline_.size()) {
            inline_[inline_count_++] = line;
        } else if (heap_.size() < most) {
            if (heap_.empty()) heap_.assign(inline_.begin(), inline_.end());
            heap_.push_back(line);
        } else {
            // Two lines of it: neither a request nor, with its first lines gone, a delivery is accepted.
            const std::string_view authorization = "authorization", words = "too many lines";
            heap_[0] = heap_[1] = clerk_header{detail::to_c(authorization), detail::to_c(words)};
        }
        return *this;
    }

    std::size_t size() const noexcept { return heap_.empty() ? inline_count_ : heap_.size(); }
    const clerk_header *data() const noexcept { return heap_.empty() ? inline_.data() : heap_.data(); }

private:
    // A browser that sends its cookies one by one (HTTP/2) stays below it.
    static constexpr std::size_t most = 1024;

    // As many as most requests have; only then memory is asked for. Not zeroed: `inline_count_` says what is there.
    std::array<clerk_header, 8> inline_;
    std::vector<clerk_header> heap_;
    std::size_t inline_count_ = 0;
};

// What is looked at in a request: either all header lines, or just the two that matter.
class Request {
public:
    Request() noexcept = default;

    // The values of the lines `Authorization` and `Cookie`, or empty.
    explicit Request(std::string_view authorization, std::string_view cookie = {},
                     std::string_view method = {}) noexcept
        : authorization_(authorization), cookie_(cookie), method_(method) {}

    Request(const Headers &headers) noexcept : headers_(&headers) {}
    Request(Headers &&headers) noexcept : own_(std::move(headers)) {}

    // For as long as the expression lasts: `client.authenticate(request.headers)`.
    template <class Range, class = std::enable_if_t<detail::IsLines<Range>::value>>
    Request(const Range &range, std::string_view method = {}) : method_(method), own_(std::in_place, range) {}

    // Only the hint `handshake_recommended` depends on it.
    Request &method(std::string_view method) noexcept {
        method_ = method;
        return *this;
    }

    clerk_request native() const noexcept {
        clerk_request request = CLERK_REQUEST_INIT;
        const Headers *headers = own_ ? &*own_ : headers_;
        if (headers != nullptr) {
            request.headers = headers->data();
            request.header_count = headers->size();
        }
        request.authorization = detail::to_c(authorization_);
        request.cookie = detail::to_c(cookie_);
        request.method = detail::to_c(method_);
        return request;
    }

private:
    std::string_view authorization_;
    std::string_view cookie_;
    std::string_view method_;
    const Headers *headers_ = nullptr;
    std::optional<Headers> own_;
};

CLERK_AUTH_NAMESPACE_END

#endif
