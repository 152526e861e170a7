// The header lines of a request, as views. The owner of the lines keeps them until the call returns.
#ifndef CLERK_AUTH_REQUEST_HPP
#define CLERK_AUTH_REQUEST_HPP

#include "base.hpp"
#include "enums.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>
#include <vector>

CLERK_AUTH_NAMESPACE_BEGIN

namespace detail {

// Converts any string type: std::string, std::string_view, boost::string_view, …
template <class T>
std::string_view view_of(const T &text) noexcept {
    if constexpr (std::is_convertible_v<const T &, std::string_view>)
        return text;
    else
        return std::string_view(text.data(), text.size());
}

template <class T, class = void>
struct IsView : std::is_pointer<T> {};
// A non-owning view: a copy refers to the same bytes.
template <class T>
struct IsView<T, std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_array_v<T>,
                                  std::void_t<decltype(std::declval<const T &>().data())>>> : std::true_type {};

// A temporary that owns its bytes: a view of it would dangle.
template <class T>
inline constexpr bool is_owning_temporary =
    !std::is_lvalue_reference_v<T> && !IsView<std::decay_t<T>>::value && std::is_convertible_v<T, std::string_view>;

template <class... Strings>
using EnableIfDangling =
    std::enable_if_t<(std::is_convertible_v<Strings, std::string_view> && ...) && (is_owning_temporary<Strings> || ...)>;

template <class T, class = void>
struct IsPair : std::false_type {};
template <class T>
struct IsPair<T, std::void_t<decltype(std::declval<const T &>().first), decltype(std::declval<const T &>().second)>>
    : std::true_type {};

// A Boost.Beast field.
template <class T, class = void>
struct IsField : std::false_type {};
template <class T>
struct IsField<
    T, std::void_t<decltype(std::declval<const T &>().name_string()), decltype(std::declval<const T &>().value())>>
    : std::true_type {};

// Returns whether the library reads this header line. A prefilter: the library compares the names again, exactly.
inline bool is_relevant_header(std::string_view name) noexcept {
    constexpr std::string_view lines[] = {"authorization",  "cookie",           "accept",     "sec-fetch-dest",
                                          "host",           ":authority",       "origin",     "sec-fetch-site",
                                          "referer",        "user-agent",       "x-forwarded-for",
                                          "x-forwarded-host", "x-forwarded-proto",
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

// Header lines of a request or a webhook delivery: a range of (name, value) pairs such as std::multimap or std::vector, the
// fields of Boost.Beast, or lines added one by one. Pass all lines; irrelevant ones are skipped. More than 1024 relevant ones
// are rejected as token-invalid.
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

    template <class Name, class Value, class = detail::EnableIfDangling<Name, Value>>
    Headers &add(Name &&, Value &&) = delete;
    Headers &&add(std::string_view name, std::string_view value) && { return std::move(add(name, value)); }
    Headers &add(std::string_view name, std::string_view value) & {
        if (!detail::is_relevant_header(name)) return *this;
        const clerk_header line{detail::to_c(name), detail::to_c(value)};
        if (inline_count_ < inline_.size()) {
            inline_[inline_count_++] = line;
        } else if (heap_.size() < max_headers) {
            if (heap_.empty()) heap_.assign(inline_.begin(), inline_.end());
            heap_.push_back(line);
        } else {
            // Two Authorization lines: neither a request nor a delivery with them is accepted.
            const std::string_view authorization = "authorization", message = "too many lines";
            heap_[0] = heap_[1] = clerk_header{detail::to_c(authorization), detail::to_c(message)};
        }
        return *this;
    }

    std::size_t size() const noexcept { return heap_.empty() ? inline_count_ : heap_.size(); }
    const clerk_header *data() const noexcept { return heap_.empty() ? inline_.data() : heap_.data(); }

private:
    // More than a browser sends, one line per cookie (HTTP/2) included.
    static constexpr std::size_t max_headers = 1024;

    // Enough for most requests without an allocation. Not zeroed: `inline_count_` of them are set.
    std::array<clerk_header, 12> inline_;
    std::vector<clerk_header> heap_;
    std::size_t inline_count_ = 0;
};

// A request: either all header lines, or the values of the lines that the library reads.
class Request {
public:
    Request() noexcept = default;

    // The values of the Authorization and Cookie lines, or empty.
    explicit Request(std::string_view authorization CLERK_AUTH_LIFETIMEBOUND,
                     std::string_view cookie CLERK_AUTH_LIFETIMEBOUND = {},
                     std::string_view method CLERK_AUTH_LIFETIMEBOUND = {}) noexcept
        : authorization_(authorization), cookie_(cookie), method_(method) {}
    // The views would dangle: `clerk::Request request("Bearer " + token)`. Store the string in a variable first.
    template <class... Strings, class = detail::EnableIfDangling<Strings...>>
    explicit Request(Strings &&...) = delete;

    Request(const Headers &headers CLERK_AUTH_LIFETIMEBOUND) noexcept : headers_(&headers) {}
    Request(Headers &&headers) noexcept : own_(std::move(headers)) {}

    // Valid within one expression: `client.authenticate(request.headers)`.
    template <class Range, class = std::enable_if_t<detail::IsLines<Range>::value>>
    Request(const Range &range, std::string_view method = {}) : method_(method), own_(std::in_place, range) {}

    // Used by the setting `csrf` and by `handshake_recommended`.
    Request &method(std::string_view method) noexcept {
        method_ = method;
        return *this;
    }

    // Used by the setting `csrf`. Not to be set if all header lines are given.
    Request &host(std::string_view host) noexcept {
        host_ = host;
        return *this;
    }
    Request &origin(std::string_view origin) noexcept {
        origin_ = origin;
        return *this;
    }
    Request &sec_fetch_site(std::string_view sec_fetch_site) noexcept {
        sec_fetch_site_ = sec_fetch_site;
        return *this;
    }

    // Used by the setting `handshake`, which redirects no request without both: the scheme under which the browser sent the
    // request ("https" or "http"), and the target, path and query exactly as received.
    Request &scheme(std::string_view scheme) noexcept {
        scheme_ = scheme;
        return *this;
    }
    Request &target(std::string_view target) noexcept {
        target_ = target;
        return *this;
    }

    // The value of `Client::mark` when the request began, for a request that another thread authenticates.
    Request &mark(std::uint64_t mark) noexcept {
        mark_ = mark;
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
        request.host = detail::to_c(host_);
        request.origin = detail::to_c(origin_);
        request.sec_fetch_site = detail::to_c(sec_fetch_site_);
        request.scheme = detail::to_c(scheme_);
        request.target = detail::to_c(target_);
        request.mark = mark_;
        return request;
    }

private:
    std::string_view authorization_;
    std::string_view cookie_;
    std::string_view method_;
    std::string_view host_;
    std::string_view origin_;
    std::string_view sec_fetch_site_;
    std::string_view scheme_;
    std::string_view target_;
    std::uint64_t mark_ = 0;
    const Headers *headers_ = nullptr;
    std::optional<Headers> own_;
};

// Where a request has its credential.
struct Credential {
    // A part of the request's own lines. Empty if the credential is malformed.
    std::string_view token;
    TokenSource source = TokenSource::none;
};

CLERK_AUTH_NAMESPACE_END

#endif
