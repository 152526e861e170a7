// Helpers for Boost.Beast. Include <boost/beast/http.hpp> first.
//
// A Beast request is passed as it is: `client.authenticate_cached(request)`.
#ifndef CLERK_AUTH_BEAST_HPP
#define CLERK_AUTH_BEAST_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// A request that may be redirected, with the setting `handshake`. `scheme` is the one that browsers use, "https" or "http"; it
// may be empty with `trust_forwarded`. Valid while the request is.
template <class Body, class Fields>
Request page(const boost::beast::http::request<Body, Fields> &request, std::string_view scheme) {
    Request made(request, detail::view_of(request.method_string()));
    made.scheme(scheme).target(detail::view_of(request.target()));
    return made;
}

// Adds the cookies of a handshake to the response, whatever the outcome. Returns true if the response is a redirect now and
// is to be sent as it is.
template <class Body, class Fields>
bool apply(const Result &result, boost::beast::http::response<Body, Fields> &response) {
    using boost::beast::http::field;
    for (const std::string_view line : result.set_cookies()) response.insert(field::set_cookie, std::string(line));
    if (const auto value = result.cache_control()) response.set(field::cache_control, std::string(*value));
    const auto location = result.redirect();
    if (!location) return false;
    response.result(307u);
    response.set(field::location, std::string(*location));
    return true;
}

// Sets the status, `WWW-Authenticate` and `Retry-After` of a response to a request that is not signed in; with a handshake,
// its redirect and cookies. The body is left to the application; Result::public_reason is safe to send.
template <class Body, class Fields>
void reject(const Result &result, boost::beast::http::response<Body, Fields> &response, std::string_view realm = {}) {
    using boost::beast::http::field;
    if (apply(result, response)) return;
    // A signed-in user who is rejected here lacks a permission.
    response.result(static_cast<unsigned>(result.signed_in() ? 403 : result.http_status()));
    if (const auto challenge = result.www_authenticate(realm)) response.set(field::www_authenticate, *challenge);
    if (const auto after = result.retry_after())
        response.set(field::retry_after, std::to_string(std::chrono::ceil<std::chrono::seconds>(*after).count()));
}

CLERK_AUTH_NAMESPACE_END

#endif
