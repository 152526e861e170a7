// The same table driven step by step, as an asynchronous application does.
#include "sim.hpp"

#include "../examples/accounts.hpp"

#include <gtest/gtest.h>

#include <thread>

using clerk::Client;
using clerk::PendingAuth;
using clerk::Request;
using clerk::StoreRequestKind;

namespace {

Client client_of_steps(clerk::Config config = sim::config()) {
    config.user_store([](const clerk::StoreRequest &, clerk::StoreResponse &) { ADD_FAILURE() << "unexpected user store call"; });
    return Client(config);
}

PendingAuth begun(const Client &client, const std::string &token) {
    const std::string line = bearer(token);
    return client.authenticate_begin(Request(line));
}

clerk::Result driven(PendingAuth pending, clerk::UserStore &store) {
    while (!pending.done()) {
        if (pending.next_action() == StoreRequestKind::fetch_user)
            pending.fetch();
        else
            pending.submit(store);
    }
    return pending.finish();
}

} // namespace

TEST(PendingAuth, UserStoreIsDrivenStepByStep) {
    sim::reset();
    sim::put_ada();
    const Client client = client_of_steps();
    Accounts accounts;
    const std::string token = sim::token({{"user", "user_ada"}});
    const clerk::Result made = driven(begun(client, token), accounts);
    EXPECT_EQ(words(made), "in verified");
    EXPECT_EQ(made.user_key(), "1");
    ASSERT_NE(made.local_user<Account>(), nullptr);
    EXPECT_EQ(made.local_user<Account>()->login, "ada");
    EXPECT_EQ(words(driven(begun(client, token), accounts)), "in cache");
}

TEST(PendingAuth, BeginCachedNeverBlocks) {
    sim::reset();
    sim::put_ada();
    const Client client = client_of_steps();
    Accounts accounts, empty;
    const auto cached = [&](const std::string &token, clerk::UserStore &store) -> std::string {
        const std::string line = bearer(token);
        auto pending = client.authenticate_begin_cached(Request(line));
        return pending.has_value() ? words(driven(std::move(*pending), store)) : "would block";
    };
    const std::string first = sim::token({{"user", "user_ada"}}),
                      second = sim::token({{"user", "user_ada"}, {"sid", "sess_2"}});
    EXPECT_EQ(cached(first, accounts), "would block");
    EXPECT_EQ(words(driven(begun(client, first), accounts)), "in verified");
    sim::down(true);
    // The token or the user is cached: only the row is looked up.
    EXPECT_EQ(cached(first, accounts), "in cache");
    EXPECT_EQ(cached(second, accounts), "in verified");
    EXPECT_EQ(cached(sim::token({{"user", "user_2"}}), accounts), "would block");
    EXPECT_EQ(cached("nonsense", accounts), "out token-invalid");
    const std::string line = bearer(first);
    auto known = client.try_authenticate_begin_cached(Request(line));
    ASSERT_TRUE(known.has_value() && known->has_value());
    PendingAuth pending = std::move(**known);
    EXPECT_EQ(pending.next_action(), StoreRequestKind::find_by_key);
    pending.submit(std::make_exception_ptr(std::runtime_error("no response")));
    const clerk::Result failed = pending.finish();
    EXPECT_EQ(words(failed), "unavailable store-error");
    EXPECT_THROW(std::rethrow_exception(failed.error()->cause()), std::runtime_error);
    sim::down(false);
    // The row was deleted: now a request to Clerk is needed, on a thread that may wait.
    pending = *client.authenticate_begin_cached(Request(line));
    pending.submit(empty);
    if (pending.next_action() == StoreRequestKind::fetch_user) pending.fetch();
    EXPECT_EQ(words(driven(std::move(pending), empty)), "in verified");
}

TEST(PendingAuth, ResultKnownAtBeginNeedsNoAction) {
    sim::reset();
    const Client client = client_of_steps();
    PendingAuth pending = begun(client, sim::token({{"spoil", "expired"}}));
    EXPECT_TRUE(pending.done());
    Accounts accounts;
    EXPECT_EQ(pending.try_submit(accounts).error().status(), clerk::Status::e_state);
    EXPECT_EQ(pending.try_fetch().error().status(), clerk::Status::e_state);
    EXPECT_EQ(words(pending.finish()), "out token-expired");
    EXPECT_EQ(pending.try_finish().error().status(), clerk::Status::e_state);
    EXPECT_EQ(words(client.authenticate_begin(Request()).finish()), "none session-token-missing");
}

TEST(PendingAuth, ExceptionOfTableIsTheCause) {
    sim::reset();
    sim::put_ada();
    const Client client = client_of_steps();
    const std::string token = sim::token({{"user", "user_ada"}});
    struct Timeout : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    struct Broken : Accounts {
        void find_by_clerk_id(std::string_view, clerk::StoreResponse &) override { throw Timeout("no response"); }
    } broken;
    const clerk::Result first = driven(begun(client, token), broken);
    // Saved here, as a callback with an error would pass it.
    PendingAuth pending = begun(client, token);
    pending.submit(std::make_exception_ptr(Timeout("no response")));
    EXPECT_TRUE(pending.done());
    const clerk::Result second = pending.finish();
    for (const clerk::Result *result : {&first, &second}) {
        EXPECT_EQ(words(*result), "unavailable store-error");
        EXPECT_EQ(result->error()->message(), "no response");
        EXPECT_THROW(std::rethrow_exception(result->error()->cause()), Timeout);
    }
    pending = begun(client, token);
    pending.submit(std::exception_ptr());
    EXPECT_EQ(words(pending.finish()), "unavailable store-error");
    EXPECT_EQ(ask_cached(client, token), "would block");
}

TEST(PendingAuth, ResponseIsFilledOnAnotherThread) {
    sim::reset();
    sim::put_ada();
    using clerk::Column;
    clerk::Config config = sim::config();
    config.user_columns({Column::clerk_id, Column::email, Column::username, Column::first_name});
    const Client client = client_of_steps(std::move(config));
    const std::string token = sim::token({{"user", "user_ada"}});
    PendingAuth pending = begun(client, token);
    EXPECT_EQ(pending.next_action(), StoreRequestKind::find_by_clerk_id);
    EXPECT_EQ(pending.request().value(), "user_ada");
    clerk::StoreResponse response = pending.response();
    PendingAuth moved = std::move(pending);
    auto object = std::make_shared<std::string>("the row");
    std::thread([&] {
        response.row("7", object).clerk_id("user_ada").username("ada").email("ada@example.com").first_name("Ada");
        moved.submit(response);
    }).join();
    EXPECT_TRUE(moved.done());
    const clerk::Result result = moved.finish();
    EXPECT_EQ(words(result), "in verified");
    EXPECT_EQ(result.user_key(), "7");
    EXPECT_EQ(result.local_user<std::string>(), object);

    // After a conflict the row is looked up again.
    client.invalidate_all();
    Accounts accounts;
    PendingAuth again = begun(client, token);
    while (again.next_action() != StoreRequestKind::create) again.submit(accounts);
    clerk::StoreResponse conflicting = again.response();
    conflicting.conflict();
    again.submit(conflicting);
    EXPECT_EQ(again.next_action(), StoreRequestKind::find_by_clerk_id);
    EXPECT_EQ(words(driven(std::move(again), accounts)), "in verified");
}

TEST(PendingAuth, OutOfOrderOrAbandonedIsUnavailable) {
    sim::reset();
    sim::put_ada();
    const Client client = client_of_steps();
    const std::string token = sim::token({{"user", "user_ada"}});
    EXPECT_EQ(words(begun(client, token).finish()), "unavailable store-error");
    { const PendingAuth given_up = begun(client, token); }
    PendingAuth pending = begun(client, token);
    EXPECT_EQ(pending.try_fetch().error().status(), clerk::Status::e_state);
    clerk::StoreResponse other_row = pending.response();
    other_row.row("9").clerk_id("user_boss");
    pending.submit(other_row);
    EXPECT_EQ(pending.try_submit(other_row).error().status(), clerk::Status::e_state);
    EXPECT_FALSE(pending.finish().signed_in());
    EXPECT_EQ(client.stats().cached_tokens, 0U);
}

TEST(PendingAuth, MissingRowFetchesTheUser) {
    sim::reset();
    sim::put_ada();
    clerk::Config config = sim::config();
    config.user_ttl_s(std::chrono::seconds(0)).user_stale_if_error_s(std::chrono::seconds(0));
    const Client client = client_of_steps(std::move(config));
    const std::string token = sim::token({{"user", "user_ada"}});
    Accounts first, empty;
    EXPECT_EQ(words(driven(begun(client, token), first)), "in verified");
    PendingAuth pending = begun(client, token);
    EXPECT_EQ(pending.next_action(), StoreRequestKind::find_by_key);
    EXPECT_EQ(pending.request().key(), "1");
    pending.submit(empty);
    EXPECT_EQ(pending.next_action(), StoreRequestKind::fetch_user);
    EXPECT_EQ(words(driven(std::move(pending), empty)), "in verified");
    EXPECT_EQ(sim::count("/users/{id}"), 2);
}

TEST(PendingAuth, PendingKeepsItsClientAlive) {
    sim::reset();
    sim::put_ada();
    std::optional<Client> client(client_of_steps());
    PendingAuth pending = begun(*client, sim::token({{"user", "user_ada"}}));
    client.reset();
    Accounts accounts;
    EXPECT_EQ(words(driven(std::move(pending), accounts)), "in verified");
}
