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

TEST(Httplib, HandshakeRedirectsAPageAndSendsCookies) {
    sim::reset();
    clerk::Client client(sim::config()
                             .handshake(clerk::Handshake::on)
                             .publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k")
                             .public_origin({"https://app.example.com"}));
    const auto page = [&](const std::string &cookie, const std::string &host = "app.example.com",
                          const std::string &target = "/a?b=c", const std::string &method = "GET") {
        httplib::Request request;
        request.method = method;
        request.target = target;
        request.headers.emplace("Host", host);
        request.headers.emplace("Sec-Fetch-Dest", "document");
        request.headers.emplace("Cookie", cookie);
        httplib::Response response;
        response.status = 200;
        const auto handler = [](const httplib::Request &, httplib::Response &out, const clerk::Result &) { out.body = "in"; };
        clerk::require_auth(client, handler, "https")(request, response);
        return response;
    };
    const httplib::Response away = page("__client_uat=1700000000");
    EXPECT_EQ(away.status, 307);
    EXPECT_EQ(away.get_header_value("Location").rfind("https://clerk.example.com/v1/client/handshake?redirect_url=https%3A%2F%2F"
                                                      "app.example.com%2Fa%3Fb%3Dc&",
                                                      0),
              0U);
    EXPECT_EQ(away.get_header_value("Cache-Control"), "no-store");
    for (const char *host : {"evil.example", "app.example.com@evil.example", "app.example.com:8443", "app.example.com.", ""}) {
        const httplib::Response refused = page("__client_uat=1700000000", host);
        EXPECT_EQ(refused.status, 401) << host;
        EXPECT_FALSE(refused.has_header("Location") || refused.has_header("Set-Cookie")) << host;
    }
    for (const char *target : {"http://evil.example/", "http://app.example.com/", "*", "@evil.example/"})
        EXPECT_FALSE(page("__client_uat=1700000000", "app.example.com", target).has_header("Location")) << target;
    for (const char *method : {"HEAD", "POST"})
        EXPECT_FALSE(page("__client_uat=1700000000", "app.example.com", "/", method).has_header("Location")) << method;
    EXPECT_NE(page("__client_uat=1700000000", "app.example.com", "//evil.example/").get_header_value("Location").find(
                  "?redirect_url=https%3A%2F%2Fapp.example.com%2F%2Fevil.example%2F&"),
              std::string::npos);
    const std::string session = "__session=" + sim::token({{"user", "user_1"}}) + "; Path=/";
    sim::admin("PUT", "/state", {{"nonces", {{"n1", {session, "__client_uat=1; Path=/"}}}}});
    const httplib::Response back = page("__clerk_handshake_nonce=n1");
    EXPECT_EQ(back.body, "in");
    EXPECT_EQ(back.get_header_value_count("Set-Cookie"), 2U);
    EXPECT_EQ(back.headers.find("Set-Cookie")->second, session);
}
