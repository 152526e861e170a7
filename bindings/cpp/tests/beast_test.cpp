// The helpers for Boost.Beast, with requests as Beast's parser reads them.
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <clerk_auth/beast.hpp>

#include "sim.hpp"

#include <gtest/gtest.h>

namespace {

namespace http = boost::beast::http;
using BeastRequest = http::request<http::string_body>;
using BeastResponse = http::response<http::string_body>;

constexpr const char *kOwn = "Host: app.example.com\r\n";
constexpr const char *kPage = "Sec-Fetch-Dest: document\r\n";
constexpr const char *kStale = "Cookie: __client_uat=1700000000\r\n";

clerk::Config page_config() {
    return std::move(sim::config()
                         .handshake(clerk::Handshake::on)
                         .publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k")
                         .public_origin({"https://app.example.com"}));
}

// Sends `head` through Beast's parser; the response to a request that it rejects has the status 400.
BeastResponse respond(const clerk::Client &client, const std::string &head) {
    http::request_parser<http::string_body> parser;
    boost::beast::error_code error;
    BeastResponse response;
    response.result(200u);
    parser.put(boost::asio::buffer(head), error);
    if (error) {
        response.result(400u);
        return response;
    }
    const BeastRequest request = parser.release();
    const clerk::Result result = client.authenticate(clerk::page(request, "https"));
    if (!result.signed_in())
        clerk::reject(result, response);
    else if (!clerk::apply(result, response))
        response.body() = std::string(result.user_id().value_or(""));
    return response;
}

std::string get(const std::string &target, const std::string &lines, const std::string &method = "GET") {
    return method + " " + target + " HTTP/1.1\r\n" + lines + "\r\n";
}

bool is_plain(const BeastResponse &response) {
    return response.result_int() >= 400 && response.count(http::field::location) == 0 && response.count(http::field::set_cookie) == 0;
}

} // namespace

TEST(Beast, HandshakeRedirectsAPageAndSendsCookies) {
    sim::reset();
    const clerk::Client client(page_config());
    const BeastResponse away = respond(client, get("/a?b=c%20d", std::string(kOwn) + kPage + kStale));
    EXPECT_EQ(away.result_int(), 307U);
    const std::string location(away[http::field::location]);
    EXPECT_EQ(location.rfind("https://clerk.example.com/v1/client/handshake?redirect_url=https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc%2520d&", 0), 0U)
        << location;
    EXPECT_EQ(away[http::field::cache_control], "no-store");
    EXPECT_EQ(away[http::field::set_cookie], "__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2");

    const std::string session = "__session=" + sim::token({{"user", "user_1"}}) + "; Path=/";
    sim::admin("PUT", "/state", {{"nonces", {{"n1", {session, "evil=1", "__session=a\r\nX: y", "__client_uat=1; Path=/"}}}}});
    const BeastResponse back = respond(client, get("/", std::string(kOwn) + kPage + "Cookie: __clerk_handshake_nonce=n1\r\n"));
    EXPECT_EQ(back.result_int(), 200U);
    EXPECT_EQ(back.body(), "user_1");
    EXPECT_EQ(back.count(http::field::set_cookie), 2U);
    EXPECT_EQ(back[http::field::set_cookie], session);
    EXPECT_TRUE(is_plain(respond(client, get("/", std::string(kOwn) + kPage + "Cookie: __clerk_handshake_nonce=n1; a=b\r\n"))));
}

TEST(Beast, HandshakeRefusesForgedHostsAndTargets) {
    sim::reset();
    const clerk::Client client(page_config());
    for (const char *host : {"evil.example", "app.example.com@evil.example", "a@app.example.com", "app.example.com:8443", "app.example.com.",
                             "[::1]", "app.example.com, evil.example", "evil.example#app.example.com", ""}) {
        const std::string forwarded = "X-Forwarded-Host: app.example.com\r\nForwarded: host=app.example.com\r\n";
        const std::string lines = "Host: " + std::string(host) + "\r\n" + forwarded + kPage + kStale;
        EXPECT_TRUE(is_plain(respond(client, get("/", lines)))) << host;
    }
    const std::string two = std::string(kOwn) + "Host: evil.example\r\n" + kPage + kStale;
    EXPECT_TRUE(is_plain(respond(client, get("/", two))));
    EXPECT_TRUE(is_plain(respond(client, get("/", std::string(kPage) + kStale)))) << "no host";
    const std::string lines = std::string(kOwn) + kPage + kStale;
    for (const char *target : {"http://evil.example/", "http://app.example.com/", "*", "evil.example", "?a", "@evil.example/"})
        EXPECT_TRUE(is_plain(respond(client, get(target, lines)))) << target;
    for (const char *target : {"//evil.example/", "/\\evil.example", "/@evil.example"}) {
        const BeastResponse response = respond(client, get(target, lines));
        const std::string location(response[http::field::location]);
        EXPECT_NE(location.find("?redirect_url=https%3A%2F%2Fapp.example.com%2F"), std::string::npos) << target << " " << location;
    }
    for (const char *host : {"APP.example.com", "app.example.com:443"}) {
        const BeastResponse response = respond(client, get("/", "Host: " + std::string(host) + "\r\n" + kPage + kStale));
        EXPECT_NE(std::string(response[http::field::location]).find("?redirect_url=https%3A%2F%2Fapp.example.com%2F&"), std::string::npos) << host;
    }
}

TEST(Beast, HandshakeRedirectsDocumentsOnly) {
    sim::reset();
    const clerk::Client client(page_config());
    const std::string own = std::string(kOwn) + kStale;
    EXPECT_TRUE(is_plain(respond(client, get("/", own + kPage, "HEAD"))));
    EXPECT_TRUE(is_plain(respond(client, get("/", own + kPage, "POST"))));
    for (const char *line : {"", "Accept: */*\r\n", "Sec-Fetch-Dest: empty\r\nAccept: text/html\r\n", "Sec-Fetch-Dest: image\r\n"})
        EXPECT_TRUE(is_plain(respond(client, get("/", own + line)))) << line;
    EXPECT_EQ(respond(client, get("/", own + "Sec-Fetch-Dest: iframe\r\n")).result_int(), 307U);
    EXPECT_EQ(respond(client, get("/", own + "Accept: text/html\r\n")).result_int(), 307U);
}
