// The examples, as the programs that they are; the first of the README is one of them.
#include "process.hpp"
#include "sim.hpp"

#include <gtest/gtest.h>
#include <httplib.h>

#include <fstream>
#include <sstream>
#include <thread>

namespace {

const std::string secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

std::string text_of(const std::string &path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

Process::Variables environment() {
    return {{"CLERK_API_URL", sim::url()},
            {"CLERK_SECRET_KEY", "sk_test_simulated"},
            {"CLERK_WEBHOOK_SIGNING_SECRET", secret},
            {"CLERK_TIMEOUT_MS", "500"},
            {"CLERK_LOG", "off"}}; // the tests read what the programs print
}

std::string program(const std::string &name) { return std::string(EXAMPLES) + "/" + name; }

httplib::Headers authorization(const std::string &token) { return {{"Authorization", bearer(token)}}; }

std::string get(httplib::Client &server, const std::string &path, const httplib::Headers &headers = {}) {
    const httplib::Result answer = server.Get(path, headers);
    if (!answer) return httplib::to_string(answer.error());
    return std::to_string(answer->status) + " " + answer->body;
}

} // namespace

TEST(Examples, ReadmeQuickStartIsTheExample) {
    const std::string readme = text_of(std::string(SOURCE) + "/README.md"), fence = "```cpp\n";
    const auto begin = readme.find(fence);
    ASSERT_NE(begin, std::string::npos);
    const auto end = readme.find("```", begin + fence.size());
    EXPECT_EQ(readme.substr(begin + fence.size(), end - begin - fence.size()),
              text_of(std::string(SOURCE) + "/examples/who.cpp"));
}

TEST(Examples, Who) {
    sim::reset();
    const auto said = [](const std::string &line, int code) {
        Process who({program("who"), line}, environment());
        const std::string words = who.rest();
        EXPECT_EQ(who.end(), code) << words;
        return words;
    };
    EXPECT_EQ(said(bearer(sim::token({{"user", "user_1"}})), 0), "user_1\n");
    EXPECT_EQ(said(bearer(sim::token({{"spoil", "expired"}})), 1), "not signed in: token-expired\n");
    EXPECT_EQ(said("", 1), "not signed in: session-token-missing\n");
}

TEST(Examples, HttplibServer) {
    sim::reset();
    sim::put_ada();
    Process process({program("httplib_server")}, environment());
    httplib::Client server(process.line());
    const sim::Json organization = {{"id", "org_1"}, {"role", "org:admin"}, {"permissions", {"org:invoices:read"}}};
    const auto plain = authorization(sim::token({{"user", "user_ada"}}));
    const auto clerk_of_org = authorization(sim::token({{"user", "user_ada"}, {"org", organization}}));
    EXPECT_EQ(get(server, "/"), "200 Hello, anonymous\n");
    EXPECT_EQ(get(server, "/me"), "401 session-token-missing\n");
    EXPECT_EQ(get(server, "/", plain), "200 Hello, user_ada\n");
    EXPECT_EQ(get(server, "/me", plain), "200 account 1: ada, free\n");
    EXPECT_EQ(get(server, "/me", authorization(sim::token({{"spoil", "expired"}}))), "401 token-expired\n");
    EXPECT_EQ(get(server, "/invoices", plain), "403 forbidden\n");
    EXPECT_EQ(get(server, "/invoices", clerk_of_org), "200 the invoices of org_1\n");
    const auto refused = server.Get("/me");
    EXPECT_EQ(refused->get_header_value("WWW-Authenticate"), "Bearer");

    const sim::Json deleted = {{"type", "user.deleted"}, {"id", "user_ada"}, {"secret", secret}};
    const sim::Json delivery = sim::admin("POST", "/webhook", deleted);
    httplib::Headers headers;
    for (const auto &[name, value] : delivery.at("headers").items()) headers.emplace(name, value.get<std::string>());
    const std::string body = delivery.at("body");
    EXPECT_EQ(server.Post("/webhooks", headers, body + " ", "application/json")->status, 400);
    EXPECT_EQ(server.Post("/webhooks", headers, body, "application/json")->status, 200);
    EXPECT_EQ(get(server, "/me", plain).substr(0, 3), "401");

    sim::down(true);
    const httplib::Result away = server.Get("/me", authorization(sim::token({{"user", "user_2"}})));
    sim::down(false);
    ASSERT_TRUE(away);
    EXPECT_EQ(away->status, 503);
    EXPECT_EQ(away->body, "unavailable\n"); // clients receive no details of server errors
    EXPECT_FALSE(away->has_header("WWW-Authenticate"));
    EXPECT_EQ(process.end(), 0);
}

TEST(Examples, BeastServer) {
    sim::reset();
    Process process({program("beast_server")}, environment());
    const std::string url = process.line();
    httplib::Client server(url);
    server.set_keep_alive(true);
    const auto good = authorization(sim::token({{"user", "user_1"}}));
    EXPECT_EQ(get(server, "/", good), "200 Hello, user_1\n");
    EXPECT_EQ(get(server, "/", good), "200 Hello, user_1\n");
    EXPECT_EQ(get(server, "/stats", good), "200 2 cached, 1 verified\n");
    EXPECT_EQ(get(server, "/"), "401 session-token-missing\n");
    EXPECT_EQ(get(server, "/", authorization("nonsense")), "401 token-invalid\n");

    // A request that waits for Clerk does not delay others.
    sim::admin("PUT", "/faults", {{{"path", "/jwks"}, {"delay_ms", 300}}});
    const auto unknown = authorization(sim::token({{"user", "user_2"}, {"key", "k2"}}));
    sim::admin("DELETE", "/counts");
    std::atomic<bool> is_answered{false};
    std::thread waiting([&] {
        httplib::Client other(url);
        EXPECT_EQ(get(other, "/", unknown), "401 jwk-kid-mismatch\n");
        is_answered = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (sim::count("/jwks") == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_EQ(get(server, "/", good), "200 Hello, user_1\n");
    EXPECT_FALSE(is_answered);
    waiting.join();
    sim::admin("DELETE", "/faults");
    EXPECT_EQ(process.end(), 0);

    Process second({program("beast_server")}, environment());
    httplib::Client lonely(second.line());
    sim::down(true);
    EXPECT_EQ(get(lonely, "/", good), "503 unavailable\n");
    sim::down(false);
    EXPECT_EQ(second.end(), 0);
}
