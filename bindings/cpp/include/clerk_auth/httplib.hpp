// Helpers for cpp-httplib. Include <httplib.h> first.
//
// A request's headers are passed as they are: `client.authenticate({request.headers, request.method})`.
#ifndef CLERK_AUTH_HTTPLIB_HPP
#define CLERK_AUTH_HTTPLIB_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// Sets the status, `WWW-Authenticate`, `Retry-After` and body of a response to a request that is not signed in, or that
// lacks a permission.
inline void reject(const Result &result, ::httplib::Response &response, std::string_view realm = {}) {
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
template <class Handler>
auto require_auth(Client client, Handler handler) {
    return [client = std::move(client), handler = std::move(handler)](const ::httplib::Request &request,
                                                                      ::httplib::Response &response) {
        const Expected<Result> result = client.try_authenticate({request.headers, request.method});
        if (!result.has_value()) {
            response.status = 500;
            return;
        }
        if (!result->signed_in()) return reject(*result, response);
        handler(request, response, *result);
    };
}

CLERK_AUTH_NAMESPACE_END

#endif
