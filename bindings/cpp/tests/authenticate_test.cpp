// Authentication: the four outcomes, and the contents and lifetime of results.
#include "sim.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using clerk::Client;
using clerk::Outcome;
using clerk::Request;

TEST(Authenticate, FourOutcomes) {
    sim::reset();
    const Client client(sim::config().timeout_ms(clerk::Milliseconds(400)));
    const std::string token = sim::token({{"user", "user_1"}});
    EXPECT_EQ(ask_cached(client, token), "would block");
    EXPECT_EQ(ask(client, token), "in verified");
    EXPECT_EQ(ask(client, token), "in cache");
    EXPECT_EQ(ask_cached(client, token), "in cache");
    EXPECT_EQ(ask(client, "nonsense"), "out token-invalid");
    EXPECT_EQ(ask(client, sim::token({{"spoil", "expired"}})), "out token-expired");
    EXPECT_EQ(words(client.authenticate(Request())), "none session-token-missing");
    EXPECT_EQ(sim::count("/jwks"), 1);

    const Client other(sim::config().timeout_ms(clerk::Milliseconds(400)));
    sim::down(true);
    const std::string line = bearer(token);
    const clerk::Result result = other.authenticate(Request(line));
    sim::down(false);
    EXPECT_EQ(words(result), "unavailable jwk-failed-to-load");
    EXPECT_EQ(result.http_status(), 503);
    EXPECT_EQ(result.category(), clerk::Category::unavailable);
    ASSERT_TRUE(result.error());
    EXPECT_EQ(result.error()->status(), clerk::Status::unavailable);
    EXPECT_FALSE(result.error()->message().empty());
    EXPECT_EQ(result.error()->cause(), nullptr);
    EXPECT_FALSE(result.error()->store_code());
}

TEST(Authenticate, SignedInIsTrueOnlyForTheSignedInOutcome) {
    sim::reset();
    const Client client(sim::config());
    const std::string good = bearer(sim::token({{"user", "user_1"}})),
                      bad = bearer(sim::token({{"spoil", "tampered"}}));
    const clerk::Result in = client.authenticate(Request(good)), out = client.authenticate(Request(bad)),
                        none = client.authenticate(Request());
    EXPECT_TRUE(in.signed_in());
    for (const clerk::Result *result : {&out, &none}) {
        EXPECT_FALSE(result->signed_in());
        EXPECT_FALSE(result->user_id() || result->session_claims() || result->token_type() || result->source());
        EXPECT_FALSE(result->expires_at() || result->factor_verification_age());
        EXPECT_TRUE(result->org_permissions().empty());
        EXPECT_FALSE(result->has_role("org:admin"));
        EXPECT_EQ(result->http_status(), 401);
    }
    EXPECT_EQ(out.reason(), clerk::Reason::token_invalid_signature);
    EXPECT_EQ(out.category(), clerk::Category::invalid_token);
    EXPECT_EQ(out.www_authenticate("app").value_or("").find("Bearer realm=\"app\""), 0U);
    EXPECT_NE(out.www_authenticate()->find("invalid_token"), std::string::npos);
    EXPECT_EQ(none.www_authenticate(), "Bearer");
    EXPECT_FALSE(in.www_authenticate());
    EXPECT_FALSE(in.reason() || in.category() || in.error());
    EXPECT_EQ(in.reason_name(), "");
}

TEST(Authenticate, ResultHasAttributes) {
    sim::reset();
    sim::put_ada();
    const sim::Json specification = {
        {"user", "user_ada"},
        {"sid", "sess_9"},
        {"azp", "https://a.example"},
        {"org",
         {{"id", "org_1"},
          {"slug", "acme"},
          {"role", "org:admin"},
          {"permissions", {"org:invoices:create", "org:invoices:read"}}}},
        {"claims", {{"act", {{"sub", "user_boss"}}}}},
    };
    const std::string line = bearer(sim::token(specification));
    std::optional<Client> client(Client(sim::config().user_mode(clerk::UserMode::profile)));
    const clerk::Result result = client->authenticate(Request(line));
    client.reset(); // the result outlives it
    EXPECT_EQ(result.user_id(), "user_ada");
    EXPECT_EQ(result.session_id(), "sess_9");
    EXPECT_EQ(result.org_id(), "org_1");
    EXPECT_EQ(result.org_slug(), "acme");
    EXPECT_EQ(result.org_role(), "org:admin");
    EXPECT_EQ(result.org_permissions(), (std::vector<std::string_view>{"org:invoices:create", "org:invoices:read"}));
    EXPECT_TRUE(result.has_role("org:admin") && result.has_role("admin") && !result.has_role("org:member"));
    EXPECT_TRUE(result.has_permission("org:invoices:read") && !result.has_permission("org:invoices:delete"));
    EXPECT_TRUE(result.has_feature("org:invoices") && !result.has_feature("user:invoices"));
    EXPECT_TRUE(result.has_plan("free_org") && !result.has_plan("gold"));
    EXPECT_TRUE(result.has(clerk::Check::reverification, "first_factor:10"));
    EXPECT_EQ(result.get(clerk::Attribute::actor), "user_boss");
    EXPECT_EQ(result.get(clerk::Attribute::authorized_party), "https://a.example");
    EXPECT_EQ(result.get(clerk::Attribute::email), "ada@example.com");
    EXPECT_EQ(result.get(clerk::Attribute::last_name), std::nullopt);
    EXPECT_EQ(result.user_key(), std::nullopt);
    EXPECT_EQ(result.local_user<int>(), nullptr);
    EXPECT_EQ(result.token_type(), clerk::TokenKind::session_token);
    EXPECT_EQ(result.source(), clerk::Source::verified);
    EXPECT_EQ(sim::Json::parse(result.session_claims().value()).at("sid"), "sess_9");
    EXPECT_EQ(result.claim("/o/id"), "\"org_1\"");
    EXPECT_EQ(result.claim("/act"), "{\"sub\":\"user_boss\"}");
    EXPECT_EQ(result.claim("none"), std::nullopt);
    const auto age = result.factor_verification_age();
    ASSERT_TRUE(age);
    EXPECT_EQ(age->first, std::chrono::minutes(0));
    EXPECT_EQ(age->second, std::nullopt);
    const auto left = result.expires_at().value() - std::chrono::system_clock::now();
    EXPECT_TRUE(left > std::chrono::seconds(30) && left <= std::chrono::seconds(61));
    EXPECT_FALSE(result.handshake_recommended());
    EXPECT_FALSE(result.retry_after());
}

TEST(Authenticate, ViewOfTemporaryResultDoesNotCompile) {
    using Temporary = const clerk::Result;
    const auto takes = [](auto &&take) { return std::is_invocable_v<decltype(take), Temporary> ? 1 : 0; };
    const auto user_id = [](auto &&result) -> decltype(std::forward<decltype(result)>(result).user_id()) {
        return std::forward<decltype(result)>(result).user_id();
    };
    const auto claims = [](auto &&result) -> decltype(std::forward<decltype(result)>(result).session_claims()) {
        return std::forward<decltype(result)>(result).session_claims();
    };
    const auto outcome = [](auto &&result) -> decltype(std::forward<decltype(result)>(result).outcome()) {
        return std::forward<decltype(result)>(result).outcome();
    };
    EXPECT_EQ(takes(user_id), 0);
    EXPECT_EQ(takes(claims), 0);
    EXPECT_EQ(takes(outcome), 1);
    EXPECT_TRUE((std::is_invocable_v<decltype(user_id), Temporary &>));
}

TEST(Authenticate, ArrowOfTemporaryExpectedDoesNotCompile) {
    const auto arrow = [](auto &&held) -> decltype(std::forward<decltype(held)>(held).operator->()) {
        return std::forward<decltype(held)>(held).operator->();
    };
    using Arrow = decltype(arrow);
    using Answer = clerk::Expected<clerk::Result>;
    using Known = clerk::Cached<clerk::Result>;
    EXPECT_FALSE((std::is_invocable_v<Arrow, Answer> || std::is_invocable_v<Arrow, const Answer>));
    EXPECT_FALSE((std::is_invocable_v<Arrow, Known> || std::is_invocable_v<Arrow, const Known>));
    EXPECT_TRUE((std::is_invocable_v<Arrow, Answer &> && std::is_invocable_v<Arrow, const Known &>));
    // A temporary returns a value, whose lifetime a reference extends.
    sim::reset();
    const Client client(sim::config());
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    const clerk::Result &first = client.try_authenticate(Request(line)).value();
    EXPECT_EQ(first.user_id(), "user_1");
    const clerk::Result &second = *client.authenticate_cached(Request(line));
    EXPECT_EQ(second.user_id(), "user_1");
    const Known nothing;
    EXPECT_FALSE(nothing.has_value());
    EXPECT_THROW(static_cast<void>(nothing->outcome()), std::bad_optional_access);
}

TEST(Authenticate, MovedFromResultIsUnavailable) {
    sim::reset();
    const Client client(sim::config());
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    clerk::Result first = client.authenticate(Request(line));
    const clerk::Result second = std::move(first);
    EXPECT_TRUE(second.signed_in());
    EXPECT_EQ(first.outcome(), Outcome::unavailable); // NOLINT: use after move
    EXPECT_FALSE(first.signed_in() || first.user_id() || first.claim("sub") || first.has_role("x"));
}

TEST(Authenticate, HeadersOfAnyRangeAreAccepted) {
    sim::reset();
    const Client client(sim::config());
    const std::string line = bearer(sim::token({{"user", "user_1"}})),
                      cookie = "a=b; __session=" + sim::token({{"user", "user_2"}});
    const std::multimap<std::string, std::string> map{
        {"accept", "text/html"}, {"authorization", line}, {"cookie", cookie}};
    EXPECT_EQ(words(client.authenticate(map)), "in verified");
    const std::vector<std::pair<std::string_view, std::string_view>> views{{"COOKIE", cookie}};
    EXPECT_EQ(words(client.authenticate(views)), "in verified");
    EXPECT_EQ(words(client.authenticate(Request({}, cookie))), "in cache");
    EXPECT_EQ(words(client.authenticate(clerk::Headers().add("Authorization", line))), "in cache");
    EXPECT_EQ(words(client.authenticate(std::vector<std::pair<std::string, std::string>>())),
              "none session-token-missing");
    // Two lines of it are a smuggling attempt or a broken proxy.
    EXPECT_EQ(words(client.authenticate(clerk::Headers().add("Authorization", line).add("authorization", line))),
              "out token-invalid");
    // More lines than fit beside each other without memory of their own.
    clerk::Headers many;
    for (int i = 0; i < 100; i++) many.add("X-Filler", "x");
    many.add("Authorization", line);
    EXPECT_EQ(many.size(), 1U);
    clerk::Headers crumbs;
    for (int i = 0; i < 100; i++) crumbs.add("cookie", "a=b");
    crumbs.add("cookie", cookie);
    EXPECT_EQ(crumbs.size(), 101U);
    EXPECT_EQ(words(client.authenticate(crumbs)), "in cache");
    EXPECT_EQ(words(client.authenticate(many)), "in cache");
    // Bytes that are not UTF-8, and a NUL, are rejected by the client.
    EXPECT_EQ(words(client.authenticate(Request(std::string_view("Bearer \xff\0x", 10)))), "out token-invalid");
}

TEST(Authenticate, TooManyHeadersAreTokenInvalid) {
    sim::reset();
    const Client client(sim::config());
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    const auto asked = [&](std::string_view name, std::string_view value) {
        clerk::Headers headers;
        for (int i = 0; i < 5000; i++) headers.add(name, value);
        headers.add("Authorization", line);
        const auto result = client.try_authenticate(headers);
        return result.has_value() ? words(*result) : result.error().what();
    };
    EXPECT_EQ(asked("X-Filler", "x"), "in verified");
    EXPECT_EQ(asked("Cookie", "a"), "out token-invalid");
    EXPECT_EQ(asked("accept", "text/html"), "out token-invalid");
    EXPECT_EQ(asked("AUTHORIZATION", line), "out token-invalid");
    EXPECT_EQ(asked("svix-id", "msg_1"), "out token-invalid");
}

TEST(Authenticate, RequestOwnsTemporaryHeaders) {
    sim::reset();
    const Client client(sim::config());
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    const Request request(clerk::Headers().add("accept", "*/*").add("authorization", line));
    EXPECT_EQ(words(client.authenticate(request)), "in verified");
    clerk::Headers named;
    named.add("authorization", line);
    const Request moved(std::move(named));
    EXPECT_EQ(words(client.authenticate(moved)), "in cache");
}

TEST(Authenticate, DanglingViewsDoNotCompile) {
    EXPECT_TRUE((std::is_constructible_v<Request, std::multimap<std::string, std::string>>));
    EXPECT_FALSE((std::is_constructible_v<Request, std::vector<std::string>>));
    EXPECT_FALSE((std::is_convertible_v<std::string, Request>));
    EXPECT_FALSE((std::is_copy_constructible_v<clerk::Result>));
}

TEST(Authenticate, VerifyTokenNeedsNoRequest) {
    sim::reset();
    const Client client(sim::config());
    const clerk::Result result = client.verify_token(sim::token({{"user", "user_1"}}));
    EXPECT_EQ(result.user_id(), "user_1");
    EXPECT_EQ(client.stats().cached_tokens, 0U);
    EXPECT_EQ(client.verify_token("nonsense").outcome(), Outcome::signed_out);
}

TEST(Authenticate, InvalidationAndStats) {
    sim::reset();
    const Client client(sim::config());
    const std::string token = sim::token({{"user", "user_1"}, {"sid", "sess_1"}});
    EXPECT_EQ(client.stats().jwks_age, std::nullopt);
    const auto is_cached = [&] { return ask(client, token) == "in verified" && ask(client, token) == "in cache"; };
    EXPECT_TRUE(is_cached());
    client.invalidate_token(token);
    EXPECT_TRUE(is_cached());
    client.invalidate_user("user_1");
    EXPECT_TRUE(is_cached());
    client.invalidate_session("sess_1");
    EXPECT_TRUE(is_cached());
    client.invalidate_all();
    EXPECT_TRUE(is_cached());
    client.clear_cache();
    EXPECT_TRUE(is_cached());
    const clerk::Stats stats = client.stats();
    EXPECT_EQ(stats.cache_hits, 6U);
    EXPECT_EQ(stats.cache_misses, 6U);
    EXPECT_EQ(stats.signed_in, 6U);
    EXPECT_EQ(stats.jwks_fetches, 1U);
    EXPECT_EQ(stats.cached_tokens, 1U);
    EXPECT_TRUE(stats.jwks_age);
    client.shutdown();
    EXPECT_EQ(ask(client, token), "in cache");
}

TEST(Authenticate, WarmedUpClientSendsNoRequest) {
    sim::reset();
    const Client client(sim::config());
    client.warm_up();
    EXPECT_EQ(ask_cached(client, sim::token({{"user", "user_1"}})), "in verified");
    sim::down(true);
    try {
        Client(sim::config().timeout_ms(clerk::Milliseconds(300))).warm_up();
        ADD_FAILURE() << "no exception was thrown";
    } catch (const clerk::Error &error) {
        EXPECT_EQ(error.status(), clerk::Status::e_api);
        EXPECT_STRNE(error.what(), "");
    }
    sim::down(false);
}

TEST(Authenticate, CaPemIsTrusted) {
    sim::reset();
    const std::string token = sim::token({{"user", "user_1"}}), pem = sim::ca();
    EXPECT_EQ(ask(Client(sim::config().api_url(sim::https_url()).ca_pem(pem)), token), "in verified");
    EXPECT_EQ(ask(Client(sim::config().api_url(sim::https_url()).timeout_ms(clerk::Milliseconds(500))), token),
              "unavailable jwk-failed-to-load");
}

TEST(Authenticate, CopiesShareOneClientAndCloseIsSafe) {
    sim::reset();
    Client first(sim::config());
    const std::string token = sim::token({{"user", "user_1"}});
    EXPECT_EQ(ask(first, token), "in verified");
    Client second = first, third = second;
    third = third; // NOLINT: even so
    EXPECT_EQ(ask_cached(third, token), "in cache");
    first.close();
    first.close();
    EXPECT_FALSE(first.is_open());
    EXPECT_EQ(ask(second, token), "in cache");
    const Client copy_of_closed = first;
    const Client moved = std::move(second);
    for (const Client *closed : std::initializer_list<const Client *>{&first, &copy_of_closed, &second}) {
        const auto is_refused = [](const auto &expected) {
            return !expected.has_value() && expected.error().status() == clerk::Status::e_state &&
                   expected.error().message() == "the client is closed";
        };
        EXPECT_TRUE(is_refused(closed->try_authenticate(Request())));
        EXPECT_TRUE(is_refused(closed->try_authenticate_cached(Request())));
        EXPECT_TRUE(is_refused(closed->try_authenticate_begin(Request())));
        EXPECT_TRUE(is_refused(closed->try_authenticate_begin_cached(Request())));
        EXPECT_TRUE(is_refused(closed->try_verify_token("x")));
        EXPECT_TRUE(is_refused(closed->try_handle_webhook(clerk::Headers(), "x")));
        EXPECT_TRUE(is_refused(closed->try_stats()));
        EXPECT_TRUE(is_refused(closed->try_invalidate_all()));
        EXPECT_TRUE(is_refused(closed->try_warm_up()));
        EXPECT_TRUE(is_refused(closed->try_shutdown()));
        EXPECT_THROW(ask(*closed, token), clerk::Error);
    }
}

TEST(Authenticate, ThreadsShareOneClient) {
    sim::reset();
    const Client client(sim::config());
    const std::string good = sim::token({{"user", "user_1"}}), bad = sim::token({{"spoil", "wrong-key"}});
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&, own = client, i] {
            for (int j = 0; j < 200; j++) {
                const std::string outcome = ask(own, (i + j) % 2 != 0 ? good : bad);
                const bool is_right =
                    (i + j) % 2 != 0 ? outcome.substr(0, 3) == "in " : outcome == "out token-invalid-signature";
                wrong += is_right ? 0 : 1;
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(client.stats().cached_tokens, 1U);
}

TEST(Authenticate, ForkedChildNeedsWarmUp) {
    sim::reset();
    const Client client(sim::config());
    const std::string token = sim::token({{"user", "user_1"}}), line = bearer(token),
                      other = bearer(sim::token({{"key", "k2"}}));
    EXPECT_EQ(ask(client, token), "in verified");
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool is_cached = client.authenticate(Request(line)).signed_in();
        const auto asking = client.try_authenticate(Request(other));
        const bool is_rejected = !asking.has_value() && asking.error().status() == clerk::Status::e_forked;
        const bool warmed_up = client.try_warm_up().has_value();
        const auto again = client.try_authenticate(Request(other));
        _exit(is_cached && is_rejected && warmed_up && again.has_value() && again->outcome() == Outcome::signed_out ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(ask(client, token), "in cache");
}

TEST(Authenticate, CsrfCheckReadsMethodHostOriginAndFetchSite) {
    sim::reset();
    const Client client(sim::config().csrf(clerk::Csrf::check).add("authorized_parties", "https://app.example.com"));
    const std::string cookie =
        "__session=" + sim::token({{"user", "user_1"}, {"azp", "https://app.example.com"}});
    const auto request = [&](std::string_view method) { return Request("", cookie, method); };
    EXPECT_EQ(words(client.authenticate(request("POST"))), "out csrf-failed");
    EXPECT_EQ(client.authenticate(request("POST")).http_status(), 403);
    EXPECT_EQ(words(client.authenticate(request("GET"))), "in verified");
    EXPECT_EQ(words(client.authenticate(request("POST").sec_fetch_site("same-origin"))), "in cache");
    EXPECT_EQ(words(client.authenticate(request("POST").origin("https://app.example.com"))), "in cache");
    EXPECT_EQ(words(client.authenticate(request("POST").origin("https://a.example").host("a.example"))), "in cache");
    EXPECT_EQ(words(client.authenticate(request("POST").origin("https://a.example").host("b.example"))),
              "out csrf-failed");

    const std::multimap<std::string, std::string> own = {
        {"Cookie", cookie}, {"Host", "a.example"}, {"ORIGIN", "https://a.example"}};
    EXPECT_EQ(words(client.authenticate({own, "POST"})), "in cache");
    std::multimap<std::string, std::string> lines = own;
    lines.emplace("origin", "https://a.example");
    EXPECT_EQ(words(client.authenticate({lines, "POST"})), "out csrf-failed");
    lines = {{":authority", "a.example"}, {"cookie", cookie}, {"origin", "https://a.example"}};
    EXPECT_EQ(words(client.authenticate({lines, "POST"})), "in cache");
    lines = {{"cookie", cookie}, {"Sec-Fetch-Site", "cross-site"}};
    EXPECT_EQ(words(client.authenticate({lines, "POST"})), "out csrf-failed");
}

TEST(Authenticate, CredentialAndTokenHash) {
    sim::reset();
    const Client client(sim::config());
    EXPECT_EQ(client.credential(Request()).source, clerk::TokenSource::none);
    const std::string cookie = "a=b; __session=tok";
    const clerk::Credential found = client.credential(Request("", cookie));
    EXPECT_EQ(found.source, clerk::TokenSource::cookie);
    EXPECT_EQ(found.token, "tok");
    EXPECT_EQ(found.token.data(), cookie.data() + 15);
    EXPECT_EQ(client.credential(Request("Bearer", cookie)).source, clerk::TokenSource::header);
    const clerk::Result refused = client.authenticate(Request("Bearer abc"));
    EXPECT_EQ(refused.token_hash(), "clerk:auth:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const clerk::Result none = client.authenticate(Request());
    EXPECT_FALSE(none.token_hash());
}

TEST(Authenticate, MarkBelongsToTheRequestAndMovesWithEachFetch) {
    sim::reset();
    sim::put_ada();
    const Client client(sim::config().user_mode(clerk::UserMode::profile));
    const std::string line = bearer(sim::token({{"user", "user_ada"}}));
    const std::uint64_t before = client.mark();
    EXPECT_NE(before, 0u);
    EXPECT_EQ(Request(line).mark(before).native().mark, before);
    EXPECT_EQ(Request(line).native().mark, 0u);
    EXPECT_TRUE(client.authenticate(Request(line).mark(before)).signed_in());
    EXPECT_GT(client.mark(), before);
    EXPECT_EQ(Client(client).mark(), client.mark());
}

TEST(Authenticate, RejectedTokenIsExplained) {
    sim::reset();
    const Client client(sim::config().authorized_parties({"https://a.example"}));
    client.warm_up();
    const std::string token = sim::token({{"user", "user_1"}, {"azp", "https://b.example"}});
    const clerk::Explanation explanation = client.explain(token);
    EXPECT_EQ(ask(client, token), "out token-invalid-authorized-parties");
    EXPECT_NE(explanation.json.find("\"reason\":\"token-invalid-authorized-parties\""), std::string::npos);
    EXPECT_NE(explanation.text.find("azp \"https://b.example\" not in authorized_parties"), std::string::npos);
    EXPECT_EQ(explanation.text.find(token.substr(token.size() - 40)), std::string::npos);
    EXPECT_TRUE(client.try_explain(std::string_view("\0\xff", 2)).has_value());
}

TEST(Authenticate, RevocationsAreExported) {
    sim::reset();
    const Client first(sim::config()), second(sim::config());
    const std::string of_session = sim::token({{"user", "user_1"}, {"sid", "sess_1"}}),
                      of_user = sim::token({{"user", "user_2"}});
    EXPECT_EQ(ask(second, of_session), "in verified");
    EXPECT_EQ(ask(second, of_user), "in verified");
    first.revoke_session("sess_1");
    first.revoke_user("user_2");
    EXPECT_FALSE(first.try_revoke_user("sess_1").has_value());
    EXPECT_FALSE(second.try_import_revocations("{}").has_value());
    second.import_revocations(first.export_revocations());
    EXPECT_EQ(ask(second, of_session), "out session-revoked");
    EXPECT_EQ(ask(second, of_user), "out session-revoked");
}
