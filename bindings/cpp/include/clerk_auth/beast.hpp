// Helpers for Boost.Beast. Include <boost/beast/http.hpp> first.
//
// A Beast request is passed as it is: `client.authenticate_cached(request)`.
#ifndef CLERK_AUTH_BEAST_HPP
#define CLERK_AUTH_BEAST_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// Sets the status, `WWW-Authenticate` and `Retry-After` of a response to a request that is not signed in. The body is
// left to the application; Result::public_reason is safe to send.
template <class Body, class Fields>
void reject(const Result &result, boost::beast::http::response<Body, Fields> &response, std::string_view realm = {}) {
    using boost::beast::http::field;
    // A signed-in user who is rejected here lacks a permission.
    response.result(static_cast<unsigned>(result.signed_in() ? 403 : result.http_status()));
    if (const auto challenge = result.www_authenticate(realm)) response.set(field::www_authenticate, *challenge);
    if (const auto after = result.retry_after())
        response.set(field::retry_after, std::to_string(std::chrono::ceil<std::chrono::seconds>(*after).count()));
}

CLERK_AUTH_NAMESPACE_END

#endif
