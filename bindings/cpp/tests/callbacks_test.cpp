// Event, log and clock callbacks: what they receive, and that their exceptions do not escape.
#include "no_exceptions.hpp"
#include "sim.hpp"

#include "../examples/accounts.hpp"

#include <gtest/gtest.h>

#include <limits>

using clerk::Client;
using clerk::Request;

TEST(Callbacks, EachRequestEmitsOneEvent) {
    sim::reset();
    std::string received;
    clerk::Config config = sim::config();
    config.on_event([&](const clerk::Event &event) {
        received += clerk::name(event.kind());
        if (event.source()) received.append(" ").append(clerk::name(*event.source()));
        if (event.reason()) received.append(" ").append(clerk::name(*event.reason()));
        if (event.clerk_id()) received.append(" ").append(*event.clerk_id());
        if (event.token_hash()) {
            EXPECT_EQ(event.token_hash()->substr(0, 11), "clerk:auth:");
            EXPECT_EQ(event.token_hash()->size(), 11U + 64U);
        }
        EXPECT_FALSE(event.user_key() || event.retry_after());
        received += "|";
    });
    const Client client(config);
    const std::string token = sim::token({{"user", "user_1"}});
    ask(client, token);
    ask(client, token);
    ask(client, sim::token({{"user", "user_1"}, {"spoil", "expired"}}));
    static_cast<void>(client.authenticate(Request()));
    EXPECT_EQ(received, "cache_miss|jwks_refreshed|auth_success verified user_1|"
                     "auth_success cache user_1|"
                     "cache_miss|auth_failed token-expired|");
}

TEST(Callbacks, RateLimitedEventHasRetryAfter) {
    sim::reset();
    sim::admin("PUT", "/faults", {{{"path", "/jwks"}, {"status", 429}, {"headers", {{"Retry-After", "7"}}}}});
    std::optional<clerk::Milliseconds> retry_after;
    clerk::Config config = sim::config();
    config.on_event([&](const clerk::Event &event) {
        if (event.kind() == clerk::EventKind::rate_limited) retry_after = event.retry_after();
    });
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    const clerk::Result result = Client(config).authenticate(Request(line));
    EXPECT_EQ(result.outcome(), clerk::Outcome::unavailable);
    EXPECT_EQ(result.http_status(), 503);
    EXPECT_EQ(retry_after, std::chrono::seconds(7));
    EXPECT_GT(result.retry_after().value(), std::chrono::seconds(6));
    EXPECT_EQ(result.error()->http_status(), 429);
    EXPECT_GT(result.error()->retry_after().value(), std::chrono::seconds(6));
    EXPECT_TRUE(result.error()->trace_id());
}

TEST(Callbacks, LogMessagesAreFilteredByLevel) {
    sim::reset();
    sim::down(true);
    int errors = 0, others = 0;
    clerk::Config config = sim::config();
    const std::string token = sim::token({{"user", "user_1"}});
    config.timeout_ms(std::chrono::milliseconds(200))
        .on_log(clerk::LogLevel::warn, [&](clerk::LogLevel level, std::string_view line) {
            EXPECT_FALSE(line.empty());
            EXPECT_EQ(line.find(token), std::string_view::npos);
            EXPECT_EQ(line.find("sk_test"), std::string_view::npos);
            (level <= clerk::LogLevel::warn ? errors : others)++;
        });
    ask(Client(config), token);
    sim::down(false);
    EXPECT_GT(errors, 0);
    EXPECT_EQ(others, 0);
}

TEST(Callbacks, ExceptionOfListenerIsReturnedByResult) {
    sim::reset();
    clerk::Config config = sim::config();
    struct EventError : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    int count = 0;
    config.on_event([&](const clerk::Event &event) {
        count++;
        throw EventError(std::string(clerk::name(event.kind())));
    });
    config.on_log(clerk::LogLevel::debug, [](clerk::LogLevel, std::string_view) { throw 42; });
    const Client client(config);
    const std::string line = bearer(sim::token({{"user", "user_1"}}));
    const clerk::Result first = client.authenticate(Request(line));
    EXPECT_EQ(words(first), "in verified");
    EXPECT_NE(first.listener_exception(), nullptr);
    EXPECT_FALSE(first.error());
    const auto second = client.authenticate_cached(Request(line));
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(words(*second), "in cache");
    EXPECT_THROW(std::rethrow_exception(second->listener_exception()), EventError);
    EXPECT_GE(count, 3);
    const Client quiet(sim::config());
    EXPECT_EQ(quiet.authenticate(Request(line)).listener_exception(), nullptr);
}

TEST(Callbacks, ThrowingClockFailsTheCall) {
    sim::reset();
    clerk::Config config = sim::config();
    bool is_stopped = false;
    struct Stopped : std::runtime_error {
        Stopped() : std::runtime_error("the clock has stopped") {}
    };
    config.webhook_secrets({"whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}).on_clock([&] {
        if (is_stopped) throw Stopped();
        return std::chrono::system_clock::now();
    });
    const Client client(config);
    const std::string token = sim::token({{"user", "user_1"}}), other = sim::token({{"user", "user_2"}});
    const std::string line = bearer(token), unknown = bearer(other);
    EXPECT_EQ(ask(client, token), "in verified");
    is_stopped = true;
    const auto is_refused = [](const auto &expected) {
        if (expected.has_value() || expected.error().cause() == nullptr) return false;
        EXPECT_THROW(std::rethrow_exception(expected.error().cause()), Stopped);
        return expected.error().status() == clerk::Status::e_state &&
               expected.error().message() == "the clock callback threw";
    };
    EXPECT_TRUE(is_refused(client.try_authenticate(Request(line))));
    EXPECT_TRUE(is_refused(client.try_authenticate_cached(Request(line))));
    EXPECT_TRUE(is_refused(client.try_authenticate(Request(unknown))));
    EXPECT_TRUE(is_refused(client.try_authenticate_begin(Request(unknown))));
    EXPECT_TRUE(is_refused(client.try_verify_token(other)));
    clerk::Headers delivery;
    delivery.add("svix-id", "msg_1").add("svix-timestamp", "1").add("svix-signature", "v1,x");
    EXPECT_TRUE(is_refused(client.try_handle_webhook(delivery, "{}")));
    is_stopped = false;
    EXPECT_EQ(ask(client, other), "in verified"); // nothing was cached
}

TEST(Callbacks, ClockCallbackSetsTheTime) {
    sim::reset();
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
    clerk::Config config = sim::config();
    config.on_clock([&] { return now; });
    const Client client(config);
    const std::string token = sim::token({{"user", "user_1"}});
    EXPECT_EQ(ask(client, token), "in verified");
    now += std::chrono::minutes(5);
    EXPECT_EQ(ask(client, token), "out token-expired");
}

TEST(Callbacks, CallbacksAreDestroyedOnce) {
    const auto watched = std::make_shared<int>(0);
    {
        clerk::Config config = sim::config();
        config.on_event([watched](const clerk::Event &) {});
        config.on_event([watched](const clerk::Event &) {});
        config.on_log(clerk::LogLevel::info, [watched](clerk::LogLevel, std::string_view) {});
        config.on_clock([watched] { return std::chrono::system_clock::now(); });
        config.user_store([watched](const clerk::StoreRequest &, clerk::StoreResponse &) {});
        EXPECT_EQ(watched.use_count(), 5);
        const Client client(config);
        EXPECT_FALSE(Client::make(config.timeout_ms(std::chrono::milliseconds(-1))).has_value());
        config.on_event([watched](const clerk::Event &) {}); // after an error nothing is taken any more
        EXPECT_EQ(watched.use_count(), 5);
    }
    EXPECT_EQ(watched.use_count(), 1);
}

TEST(Callbacks, TranslationUnitWithoutExceptionsLinks) {
    sim::reset();
    sim::put_ada();
    // Both parts hand over an object, through the same functions of the header: one's must not stand in for the
    // other's.
    struct Throwing : Accounts {
        void find_by_clerk_id(std::string_view, clerk::StoreResponse &) override { throw std::runtime_error("thrown"); }
    };
    clerk::Config config = sim::config();
    config.user_store(std::make_shared<Throwing>());
    EXPECT_EQ(ask(Client(config), sim::token({{"user", "user_ada"}})), "unavailable store-error");
    EXPECT_EQ(
        story_without_exceptions(sim::url(), sim::token({{"user", "user_ada"}}), sim::token({{"spoil", "expired"}})),
        "timeout_ms|would block|unavailable disk full -28|in 1 event|in cache|out token-expired|none|pending in|"
        "rejected 400|closed|");
    EXPECT_EQ(ask(Client(config), sim::token({{"user", "user_ada"}})), "unavailable store-error");
}
