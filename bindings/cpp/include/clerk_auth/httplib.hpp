// For servers on cpp-httplib: a handler behind which nobody gets who is not signed in. Include <httplib.h> first.
//
// A request's headers are given as they are: `client.authenticate({request.headers, request.method})`.
#ifndef CLERK_AUTH_HTTPLIB_HPP
#define CLERK_AUTH_HTTPLIB_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// The answer to a caller who is not signed in: status, `WWW-Authenticate`, `Retry-After`, and what it may know.
inline void refuse(const Result &result, ::httplib::Response &response, std::string_view realm = {}) {
    // Nobody is refused with a 200, whatever came before.
    response.status = result.signed_in() ? 403 : result.http_status();
    if (const auto challenge = result.www_authenticate(realm)) response.set_header("WWW-Authenticate", *challenge);
    if (const auto after = result.retry_after())
        response.set_header("Retry-After", std::to_string(std::chrono::ceil<std::chrono::seconds>(*after).count()));
    const std::string_view words = result.signed_in() ? "forbidden" : result.public_reason();
    response.set_content(std::string(words) + "\n", "text/plain");
}

// A call that fails is answered with 500 and no word of why; to hear of it, call `try_authenticate` in a handler of
// your own.
//
// `server.Get("/me", clerk::require_auth(client, [](const auto &request, auto &response, const clerk::Result &who)
// {…}));`
template <class Handler>
auto require_auth(Client client, Handler handler) {
    return [client = std::move(client), handler = std::move(handler)](const ::httplib::Request &request,
                                                                      ::httplib::Response &response) {
        const Expected<Result> result = client.try_authenticate({request.headers, request.method});
        if (!result) {
            response.status = 500;
            return;
        }
        if (!*result) return refuse(*result, response);
        handler(request, response, *result);
    };
}

CLERK_AUTH_NAMESPACE_END

#endif
