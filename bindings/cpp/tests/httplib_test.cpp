// The handler for cpp-httplib: which requests it accepts, and how it responds to the others.
#include "sim.hpp"

#include <gtest/gtest.h>
#include <httplib.h>

#include <clerk_auth/httplib.hpp>

namespace {

httplib::Response respond(const clerk::Client &client, const std::string &token) {
    httplib::Request request;
    request.headers.emplace("Authorization", bearer(token));
    httplib::Response response;
    response.status = 200;
    const auto handler = [](const httplib::Request &, httplib::Response &out, const clerk::Result &result) {
        out.body = "in " + std::string(result.user_id().value_or("?"));
    };
    clerk::require_auth(client, handler)(request, response);
    return response;
}

} // namespace

TEST(Httplib, ServerErrorsAreNotSentToClients) {
    sim::reset();
    const std::string token = sim::token({{"user", "user_1"}});
    clerk::Client client(sim::config().timeout_ms(clerk::Milliseconds(400)));
    EXPECT_EQ(respond(client, "nonsense").status, 401);
    EXPECT_EQ(respond(client, "nonsense").body, "token-invalid\n");

    sim::down(true);
    const httplib::Response unavailable = respond(client, token);
    sim::down(false);
    EXPECT_EQ(unavailable.status, 503);
    EXPECT_EQ(unavailable.body, "unavailable\n");

    EXPECT_EQ(respond(clerk::Client(sim::config()), token).body, "in user_1");
    client.close();
    httplib::Response failed;
    EXPECT_NO_THROW(failed = respond(client, token));
    EXPECT_EQ(failed.status, 500);
    EXPECT_EQ(failed.body, "");
    EXPECT_TRUE(failed.headers.empty());
}
