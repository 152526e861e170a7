// For servers on Boost.Beast. Include <boost/beast/http.hpp> first.
//
// A request's fields are given as they are: `client.authenticate_cached(request)`.
#ifndef CLERK_AUTH_BEAST_HPP
#define CLERK_AUTH_BEAST_HPP

#include "../clerk_auth.hpp"

#include <string>

CLERK_AUTH_NAMESPACE_BEGIN

// The answer to a caller who is not signed in: status, `WWW-Authenticate`, `Retry-After`. The body is yours:
// Result::public_reason says what the caller may know.
template <class Body, class Fields>
void refuse(const Result &result, boost::beast::http::response<Body, Fields> &response, std::string_view realm = {}) {
    using boost::beast::http::field;
    // Nobody is refused with a 200, whatever came before.
    response.result(static_cast<unsigned>(result.signed_in() ? 403 : result.http_status()));
    if (const auto challenge = result.www_authenticate(realm)) response.set(field::www_authenticate, *challenge);
    if (const auto after = result.retry_after())
        response.set(field::retry_after, std::to_string(std::chrono::ceil<std::chrono::seconds>(*after).count()));
}

CLERK_AUTH_NAMESPACE_END

#endif
