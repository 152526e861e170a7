// Helpers for cpp-httplib. Include <httplib.h> first.
//
// A request's headers are passed as they are: `client.authenticate({request.headers, request.method})`.
#ifndef CLERK_AUTH_HTTPLIB_HPP
#define CLERK_AUTH_HTTPLIB_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// A request that may be redirected, with the setting `handshake`. `scheme` is the one that browsers use, "https" or "http"; it
// may be empty with `trust_forwarded`. Valid while the request is.
inline Request page(const ::httplib::Request &request, std::string_view scheme) {
    Request made(request.headers, request.method);
    made.scheme(scheme).target(request.target);
    return made;
}

// Adds the cookies of a handshake to the response, whatever the outcome. Returns true if the response is a redirect now and
// is to be sent as it is.
inline bool apply(const Result &result, ::httplib::Response &response) {
    for (const std::string_view line : result.set_cookies()) response.headers.emplace("Set-Cookie", std::string(line));
    if (const auto value = result.cache_control()) response.set_header("Cache-Control", std::string(*value));
    const auto location = result.redirect();
    if (!location) return false;
    response.status = 307;
    response.set_header("Location", std::string(*location));
    return true;
}

// Sets the status, `WWW-Authenticate`, `Retry-After` and body of a response to a request that is not signed in, or that
// lacks a permission; with a handshake, its redirect and cookies.
inline void reject(const Result &result, ::httplib::Response &response, std::string_view realm = {}) {
    if (apply(result, response)) return;
    // A signed-in user who is rejected here lacks a permission.
    response.status = result.signed_in() ? 403 : result.http_status();
    if (const auto challenge = result.www_authenticate(realm)) response.set_header("WWW-Authenticate", *challenge);
    if (const auto after = result.retry_after())
        response.set_header("Retry-After", std::to_string(std::chrono::ceil<std::chrono::seconds>(*after).count()));
    const std::string_view message = result.signed_in() ? "forbidden" : result.public_reason();
    response.set_content(std::string(message) + "\n", "text/plain");
}

// Wraps a handler so that it runs only for signed-in callers. The response to a failed call is 500 without details; call
// `try_authenticate` in a handler of your own to get the error.
//
// `server.Get("/me", clerk::require_auth(client, [](const auto &request, auto &response, const clerk::Result &who)
// {…}));`
//
// With the setting `handshake`, `scheme` is the one that browsers use: pages are redirected to Clerk and back.
template <class Handler>
auto require_auth(Client client, Handler handler, std::string scheme = {}) {
    return [client = std::move(client), handler = std::move(handler),
            scheme = std::move(scheme)](const ::httplib::Request &request, ::httplib::Response &response) {
        const Expected<Result> result = client.try_authenticate(page(request, scheme));
        if (!result.has_value()) {
            response.status = 500;
            return;
        }
        if (!result->signed_in()) return reject(*result, response);
        if (apply(*result, response)) return;
        handler(request, response, *result);
    };
}

CLERK_AUTH_NAMESPACE_END

#endif
