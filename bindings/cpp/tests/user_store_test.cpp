// The user store: the contract of every binding, and C++ features.
#include "sim.hpp"

#include "../examples/accounts.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

using clerk::Client;
using clerk::StoreResponse;
using clerk::Request;
using clerk::StoreRequest;
using clerk::StoreRequestKind;

namespace {

// The accounts of the examples, with a list of the requests and failures on demand.
struct Table {
    std::shared_ptr<Accounts> accounts = std::make_shared<Accounts>();
    std::vector<StoreRequestKind> requests;
    std::function<void(const StoreRequest &, StoreResponse &)> before = [](const StoreRequest &, StoreResponse &) {};

    clerk::Config config() {
        clerk::Config config = sim::config();
        Accounts::attach(config, accounts);
        config.user_store([this](const StoreRequest &request, StoreResponse &response) {
            requests.push_back(request.kind());
            before(request, response);
            if (response.status() == CLERK_STORE_OK) accounts->execute(request, response);
        });
        return config;
    }
};

struct DiskFull : std::runtime_error {
    DiskFull() : std::runtime_error("Platte voll: /var/db, 100 %") {}
};

clerk::Result authenticate(const Client &client, const std::string &token) {
    const std::string line = bearer(token);
    return client.authenticate(Request(line));
}

std::string fresh() { return sim::token({{"user", "user_ada"}}); }

} // namespace

TEST(UserStore, RowIsCreatedFoundUpdatedAndRejected) {
    sim::reset();
    sim::put_ada();
    auto accounts = std::make_shared<Accounts>();
    clerk::Config config = sim::config();
    Accounts::attach(config, accounts);
    const Client client(config);
    const std::string token = fresh();
    const clerk::Result made = authenticate(client, token);
    EXPECT_EQ(words(made), "in verified");
    EXPECT_EQ(made.user_key(), "1");
    const auto account = made.local_user<Account>();
    ASSERT_NE(account, nullptr);
    EXPECT_EQ(account->clerk_id, "user_ada");
    EXPECT_EQ(account->email, "ada@example.com");
    EXPECT_EQ(account->login, "ada");
    EXPECT_EQ(account->given_name, "Ada");
    EXPECT_EQ(account->family_name, "");
    EXPECT_EQ(account->plan, "free");
    EXPECT_EQ(made.local_user<int>(), nullptr);

    const clerk::Result again = authenticate(client, token);
    EXPECT_EQ(words(again), "in cache");
    EXPECT_EQ(again.local_user<Account>(), account);
    EXPECT_EQ(ask_cached(client, token), "would block");

    sim::admin("PATCH", "/users/user_ada", {{"first_name", "Augusta"}, {"email_addresses", sim::Json::array()}});
    client.invalidate_user("user_ada");
    EXPECT_EQ(words(authenticate(client, token)), "in verified");
    const auto updated = authenticate(client, token).local_user<Account>();
    EXPECT_EQ(updated->given_name, "Augusta");
    EXPECT_EQ(account->given_name, "Ada"); // rows of an earlier request do not change

    updated->is_active = false;
    const clerk::Result refused = authenticate(client, token);
    EXPECT_EQ(words(refused), "out user-inactive");
    EXPECT_EQ(refused.http_status(), 403);
    EXPECT_EQ(refused.local_user<Account>(), nullptr);
    EXPECT_FALSE(refused.error());
}

TEST(UserStore, LocalUserIsThereOnCachedResults) {
    sim::reset();
    sim::put_ada();
    auto accounts = std::make_shared<Accounts>();
    clerk::Config config = sim::config();
    config.row_check_ttl_s(std::chrono::minutes(1));
    Accounts::attach(config, accounts);
    const Client client(config);
    const std::string token = fresh();
    const auto account = authenticate(client, token).local_user<Account>();
    ASSERT_NE(account, nullptr);
    const std::string line = bearer(token);
    const auto check = [&](const clerk::Result &cached) {
        EXPECT_EQ(words(cached), "in cache");
        EXPECT_EQ(cached.local_user<Account>(), account);
        EXPECT_EQ(cached.local_user<int>(), nullptr);
    };
    const Client copy(client);
    check(client.authenticate(Request(line)));
    check(copy.authenticate(Request(line)));
    const auto without_blocking = client.authenticate_cached(Request(line));
    ASSERT_TRUE(without_blocking.has_value());
    check(*without_blocking);
    // Another token of the same user, without a call of the store.
    const std::string next = fresh();
    EXPECT_EQ(authenticate(client, next).local_user<Account>(), account);
    sim::admin("PATCH", "/users/user_ada", {{"first_name", "Augusta"}});
    client.invalidate_user("user_ada");
    EXPECT_EQ(authenticate(client, token).local_user<Account>()->given_name, "Augusta");
    EXPECT_EQ(authenticate(client, token).local_user<Account>()->given_name, "Augusta");
}

TEST(UserStore, CachedRowNeedsNoTable) {
    sim::reset();
    sim::put_ada();
    Table table;
    const Client client(table.config().row_check_ttl_s(std::chrono::minutes(1)));
    const std::string token = fresh();
    EXPECT_EQ(ask(client, token), "in verified");
    table.requests.clear();
    const clerk::Result cached = authenticate(client, token);
    EXPECT_EQ(words(cached), "in cache");
    EXPECT_EQ(cached.user_key(), "1");
    EXPECT_NE(cached.local_user<Account>(), nullptr);
    EXPECT_TRUE(table.requests.empty());
    EXPECT_EQ(ask_cached(client, token), "in cache");
}

TEST(UserStore, ExceptionIsTheCauseOfUnavailable) {
    sim::reset();
    sim::put_ada();
    for (const StoreRequestKind failing : {StoreRequestKind::find_by_clerk_id, StoreRequestKind::find_by_email, StoreRequestKind::username_taken,
                                   StoreRequestKind::begin, StoreRequestKind::create, StoreRequestKind::commit}) {
        Table table;
        table.before = [&](const StoreRequest &request, StoreResponse &) {
            if (request.kind() == failing) throw DiskFull();
            if (request.kind() == StoreRequestKind::rollback) throw std::logic_error("a consequence");
        };
        const Client client(table.config());
        const std::string token = fresh();
        const clerk::Result result = authenticate(client, token);
        EXPECT_EQ(words(result), "unavailable store-error");
        EXPECT_EQ(result.http_status(), 503);
        EXPECT_FALSE(result.signed_in() || result.user_id() || result.user_key());
        ASSERT_TRUE(result.error());
        EXPECT_EQ(result.error()->message(), "Platte voll: /var/db, 100 %");
        EXPECT_EQ(result.error()->store_code(), -1);
        ASSERT_NE(result.error()->cause(), nullptr);
        EXPECT_THROW(std::rethrow_exception(result.error()->cause()), DiskFull);
        EXPECT_EQ(client.stats().cached_tokens, 0U);
        table.before = [](const StoreRequest &, StoreResponse &) {};
        if (failing != StoreRequestKind::commit) {
            EXPECT_EQ(ask(client, token), "in verified");
        }
    }
}

TEST(UserStore, FailureIsKeptInMovedResponse) {
    static_assert(!std::is_copy_constructible_v<StoreResponse> && !std::is_copy_assignable_v<StoreResponse>);
    static_assert(std::is_nothrow_move_constructible_v<StoreResponse>);
    sim::reset();
    sim::put_ada();
    for (const bool failing : {true, false}) {
        Table table;
        table.before = [&](const StoreRequest &request, StoreResponse &response) {
            if (request.kind() != StoreRequestKind::find_by_clerk_id) return;
            // A response that was moved away does not reach the library: the request is not signed in.
            StoreResponse moved = std::move(response);
            if (failing) moved.fail(-1, "the database is down");
        };
        const clerk::Result result = authenticate(Client(table.config()), fresh());
        EXPECT_EQ(words(result), "unavailable store-error");
        ASSERT_TRUE(result.error());
        EXPECT_EQ(result.error()->store_code(), -1);
        if (failing) {
            EXPECT_EQ(result.error()->message(), "the database is down");
        }
    }
}

TEST(UserStore, InactiveCreatedRowRejectsItsUser) {
    sim::reset();
    sim::put_ada();
    struct Approving : Accounts {
        bool is_open = false;
        std::string_view owner = "user_ada";
        void create(const clerk::RowChanges &columns, StoreResponse &response) override {
            EXPECT_EQ(columns.is_active(), true);
            auto row = std::make_shared<int>(7);
            response.row("7", row).clerk_id(owner).is_active(is_open);
        }
    };
    const auto made = [](const std::shared_ptr<Approving> &store) {
        clerk::Config config = sim::config();
        Accounts::attach(config, store);
        return authenticate(Client(config), fresh());
    };
    auto store = std::make_shared<Approving>();
    EXPECT_EQ(words(made(store)), "out user-inactive");
    store->is_open = true;
    const clerk::Result in = made(store);
    EXPECT_EQ(words(in), "in verified");
    EXPECT_EQ(in.user_key(), "7");
    ASSERT_NE(in.local_user<int>(), nullptr);
    EXPECT_EQ(*in.local_user<int>(), 7);
    store->owner = "user_boss";
    EXPECT_EQ(words(made(store)), "out link-conflict");
}

TEST(UserStore, UpdateConditionAllowsUnlinkedAndOlderRows) {
    clerk::UpdateCondition condition;
    EXPECT_TRUE(condition.allows(true, 9));
    condition.only_if_unlinked = true;
    EXPECT_TRUE(condition.allows(false, 9));
    EXPECT_FALSE(condition.allows(true, std::nullopt));
    condition.max_version = 5;
    EXPECT_TRUE(condition.allows(false, 5) && condition.allows(false, std::nullopt));
    EXPECT_FALSE(condition.allows(false, 6));
}

TEST(UserStore, UpdateConditionAllowsActiveOrBannedRows) {
    const auto allowed = [](const clerk::UpdateCondition &condition) {
        std::string states;
        for (const bool is_active : {true, false})
            for (const bool banned : {true, false}) states += condition.allows(true, 9, is_active, banned) ? '1' : '0';
        return states;
    };
    clerk::UpdateCondition condition;
    EXPECT_EQ(allowed(condition), "1111");
    condition.only_if_active = true;
    EXPECT_EQ(allowed(condition), "1100");
    condition.only_if_active = false;
    condition.only_if_banned = true;
    EXPECT_EQ(allowed(condition), "0010");
    EXPECT_TRUE(condition.allows(true, 9));
}

// Another process has written the row from a newer user: the older one is not written.
TEST(UserStore, OlderUserIsNotWritten) {
    sim::reset();
    sim::put_ada();
    auto accounts = std::make_shared<Accounts>();
    clerk::Config config = sim::config();
    Accounts::attach(config, accounts);
    std::vector<clerk::UpdateCondition> conditions;
    config.user_store([&](const StoreRequest &request, StoreResponse &response) {
        if (request.kind() == StoreRequestKind::update) conditions.push_back(request.condition());
        accounts->execute(request, response);
    });
    const Client client(config);
    EXPECT_EQ(words(authenticate(client, fresh())), "in verified");
    sim::admin("PATCH", "/users/user_ada", {{"first_name", "Newer"}, {"updated_at", 1800000000000}});
    client.invalidate_user("user_ada");
    const clerk::Result newer = authenticate(client, fresh());
    EXPECT_EQ(newer.local_user<Account>()->clerk_updated_at, 1800000000000);
    sim::admin("PATCH", "/users/user_ada", {{"first_name", "Older"}, {"updated_at", 1700000000001}});
    client.invalidate_user("user_ada");
    const clerk::Result older = authenticate(client, fresh());
    EXPECT_EQ(words(older), "in verified");
    EXPECT_EQ(older.local_user<Account>()->given_name, "Newer");
    ASSERT_EQ(conditions.size(), 1u);
    EXPECT_EQ(conditions[0].max_version, 1800000000000);
    EXPECT_FALSE(conditions[0].only_if_unlinked);
}

TEST(UserStore, UpdateMayReturnTheRow) {
    sim::reset();
    sim::put_ada();
    struct Closing : Accounts {
        void update(std::string_view key, const clerk::RowChanges &columns, const clerk::UpdateCondition &condition,
                    StoreResponse &response) override {
            rows_.begin()->second->is_active = false;
            Accounts::update(key, columns, condition, response);
        }
    };
    for (const bool closing : {false, true}) {
        std::shared_ptr<Accounts> store = closing ? std::make_shared<Closing>() : std::make_shared<Accounts>();
        clerk::Config config = sim::config();
        Accounts::attach(config, store);
        const Client client(config);
        EXPECT_EQ(words(authenticate(client, fresh())), "in verified");
        sim::admin("PATCH", "/users/user_ada", {{"first_name", closing ? "Augusta" : "Byron"}});
        client.invalidate_user("user_ada");
        const clerk::Result result = authenticate(client, fresh());
        EXPECT_EQ(words(result), closing ? "out user-inactive" : "in verified");
        // The object is the row as it is now.
        if (!closing) {
            EXPECT_EQ(result.local_user<Account>()->given_name, "Byron");
        }
    }
}

TEST(UserStore, AnyObjectMayBeThrown) {
    sim::reset();
    sim::put_ada();
    const std::vector<std::tuple<std::function<void()>, int32_t, std::string>> throwing{
        {[] { throw clerk::StoreError(-77, "no connection"); }, -77, "no connection"},
        {[] { throw clerk::StoreError(11, "database is malformed"); }, -11, "database is malformed"},
        {[] { throw clerk::StoreError(0, "nothing"); }, -1, "nothing"},
        {[] { throw clerk::Conflict(); }, -1, "unique constraint violated, or the row has changed"},
        {[] { throw 42; }, -1, "the user store threw an object that is not a std::exception"},
        {[] { throw std::runtime_error(std::string(5000, 'x')); }, -1, std::string(1024, 'x')},
        {[] { throw std::runtime_error("\xff"); }, -1, "\xef\xbf\xbd"},
    };
    for (const auto &[thrower, code, message] : throwing) {
        Table table;
        table.before = [throws = thrower](const StoreRequest &request, StoreResponse &) {
            if (request.kind() == StoreRequestKind::find_by_clerk_id) throws();
        };
        const clerk::Result result = authenticate(Client(table.config()), fresh());
        EXPECT_EQ(words(result), "unavailable store-error");
        ASSERT_TRUE(result.error());
        EXPECT_EQ(result.error()->store_code(), code);
        EXPECT_EQ(result.error()->message(), message);
        EXPECT_NE(result.error()->cause(), nullptr);
    }
}

TEST(UserStore, CachedResultNeedsAWorkingTable) {
    sim::reset();
    sim::put_ada();
    Table table;
    const Client client(table.config());
    const std::string token = fresh();
    EXPECT_EQ(ask(client, token), "in verified");
    table.before = [](const StoreRequest &, StoreResponse &) { throw DiskFull(); };
    const clerk::Result result = authenticate(client, token);
    EXPECT_EQ(words(result), "unavailable store-error");
    EXPECT_THROW(std::rethrow_exception(result.error()->cause()), DiskFull);
    table.before = [](const StoreRequest &, StoreResponse &) {};
    EXPECT_EQ(ask(client, token), "in cache");
}

TEST(UserStore, ConflictLooksUpTheRowAgain) {
    sim::reset();
    sim::put_ada();
    for (const bool thrown : {true, false}) {
        Table table;
        int times = 0;
        table.before = [&](const StoreRequest &request, StoreResponse &response) {
            if (request.kind() != StoreRequestKind::create || times++ > 0) return;
            if (thrown) throw clerk::Conflict();
            response.conflict();
        };
        const clerk::Result result = authenticate(Client(table.config()), fresh());
        EXPECT_EQ(words(result), "in verified");
        EXPECT_FALSE(result.error());
        EXPECT_EQ(times, 2);
        EXPECT_EQ(std::count(table.requests.begin(), table.requests.end(), StoreRequestKind::rollback), 1);
    }
    Table table;
    table.before = [&](const StoreRequest &request, StoreResponse &) {
        if (request.kind() == StoreRequestKind::create) throw clerk::Conflict();
    };
    EXPECT_EQ(words(authenticate(Client(table.config()), fresh())), "unavailable store-error");
    EXPECT_LT(table.requests.size(), 40U);
}

TEST(UserStore, SlowStoreBlocksTheCaller) {
    sim::reset();
    sim::put_ada();
    Table table;
    const auto caller = std::this_thread::get_id();
    table.before = [&](const StoreRequest &, StoreResponse &) {
        EXPECT_EQ(std::this_thread::get_id(), caller);
        std::this_thread::sleep_for(std::chrono::milliseconds(60)); // the slowness itself
    };
    const Client client(table.config().timeout_ms(std::chrono::milliseconds(50)));
    const auto begun = std::chrono::steady_clock::now();
    const clerk::Result result = authenticate(client, fresh());
    const auto took = std::chrono::steady_clock::now() - begun;
    // The deadline limits requests to Clerk only; a late response of the table is used.
    EXPECT_EQ(words(result), "in verified");
    EXPECT_GE(took, std::chrono::milliseconds(60) * static_cast<int>(table.requests.size()));
}

TEST(UserStore, ReentrantBlockingCallsAreRejected) {
    sim::reset();
    sim::put_ada();
    Table table;
    std::optional<Client> own;
    const Client other(sim::config());
    const std::string token = fresh(), line = bearer(token);
    table.before = [&](const StoreRequest &request, StoreResponse &) {
        if (request.kind() != StoreRequestKind::find_by_clerk_id) return;
        const auto refused = [](const auto &expected) {
            return !expected.has_value() && expected.error().status() == clerk::Status::e_reentrant;
        };
        EXPECT_TRUE(refused(own->try_authenticate(Request(line))));
        EXPECT_TRUE(refused(own->try_authenticate_begin(Request(line))));
        EXPECT_TRUE(refused(own->try_verify_token(token)));
        EXPECT_TRUE(refused(own->try_warm_up()));
        EXPECT_TRUE(refused(own->try_handle_webhook(clerk::Headers(), "{}")));
        // Calls that do not block, and other clients, may be called; their state is separate.
        EXPECT_FALSE(own->authenticate_cached(Request(line)).has_value());
        EXPECT_EQ(own->stats().cached_tokens, 0U);
        own->invalidate_all();
        EXPECT_EQ(ask(other, token), "in verified");
        own->authenticate(Request(line)).signed_in(); // throws; the exception is the cause
    };
    own.emplace(table.config());
    const clerk::Result result = authenticate(*own, token);
    EXPECT_EQ(words(result), "unavailable store-error");
    try {
        std::rethrow_exception(result.error()->cause());
    } catch (const clerk::Error &error) {
        EXPECT_EQ(error.status(), clerk::Status::e_reentrant);
    }
    // Closed inside its own callback: the call completes.
    table.before = [&](const StoreRequest &, StoreResponse &) { own->close(); };
    const Client copy = *own;
    EXPECT_EQ(words(copy.authenticate(Request(line))), "in verified");
    EXPECT_FALSE(own->is_open());
}

TEST(UserStore, InvalidResponsesAreFailures) {
    sim::reset();
    sim::put_ada();
    const std::vector<std::function<void(StoreResponse &)>> bad{
        [](StoreResponse &response) { response.row(""); },
        [](StoreResponse &response) { response.row("1").email("\xff"); },
        [](StoreResponse &response) { response.row("1").email(std::string_view("a\0b", 3)); },
        [](StoreResponse &response) { response.row("1").text(clerk::Column::is_active, "1"); },
        [](StoreResponse &response) { response.row("1").number(clerk::Column::email, 1); },
        [](StoreResponse &response) { response.row("1").text(static_cast<clerk::Column>(99), "x"); },
        [](StoreResponse &response) { response.row("1").username(std::string(70000, 'x')).clerk_id("user_ada"); },
        [](StoreResponse &response) {
            for (int i = 0; i < 17; i++) response.row("1").clerk_id("user_ada");
        },
    };
    for (const auto &fill : bad) {
        clerk::Config config = sim::config();
        config.user_store([&](const StoreRequest &request, StoreResponse &response) {
            EXPECT_EQ(request.kind(), StoreRequestKind::find_by_clerk_id);
            EXPECT_EQ(request.value(), "user_ada");
            EXPECT_EQ(request.key(), std::nullopt);
            fill(response);
        });
        const clerk::Result result = authenticate(Client(config), fresh());
        EXPECT_EQ(words(result), "unavailable store-error");
        EXPECT_EQ(result.error()->message().find("the user store's response"), 0U) << result.error()->message();
        EXPECT_LE(result.error()->store_code(), -101);
    }
    // Another user's row is rejected, even if the table returns it.
    clerk::Config config = sim::config();
    config.user_store(
        [&](const StoreRequest &, StoreResponse &response) { response.row("9", std::make_shared<int>(9)).clerk_id("user_boss"); });
    const clerk::Result result = authenticate(Client(config), fresh());
    EXPECT_FALSE(result.signed_in() || result.local_user<int>());
}

TEST(UserStore, EveryColumnIsReadAndWritten) {
    sim::reset();
    sim::put_ada();
    std::optional<clerk::Time> last_active;
    bool null_image = false;
    Table table;
    table.before = [&](const StoreRequest &request, StoreResponse &) {
        const clerk::RowChanges columns = request.columns();
        if (request.kind() == StoreRequestKind::create) {
            EXPECT_EQ(columns.clerk_id(), "user_ada");
            EXPECT_EQ(columns.is_active(), true);
            EXPECT_EQ(columns.banned_by_clerk(), false);
            EXPECT_EQ(columns.last_name(), "");
            EXPECT_TRUE(columns.last_active_at());
            last_active = columns.last_active_at().value();
            EXPECT_EQ(columns.text(clerk::Column::is_active), std::nullopt);
            EXPECT_EQ(columns.number(clerk::Column::email), std::nullopt);
        }
        if (request.kind() == StoreRequestKind::update) {
            EXPECT_EQ(columns.clerk_id(), std::nullopt);
            null_image = columns.image_url() && !*columns.image_url();
            EXPECT_TRUE(columns.last_active_at() && !*columns.last_active_at());
        }
    };
    clerk::Config config = table.config();
    config.user_columns({clerk::Column::clerk_id, clerk::Column::email, clerk::Column::username,
                         clerk::Column::first_name, clerk::Column::last_name, clerk::Column::image_url,
                         clerk::Column::last_active_at_ms, clerk::Column::is_active, clerk::Column::banned_by_clerk});
    // A table that has every column receives every column.
    config.user_store([&](const StoreRequest &request, StoreResponse &response) {
        table.before(request, response);
        if (request.kind() == StoreRequestKind::find_by_clerk_id && last_active) {
            response.row("1")
                .clerk_id("user_ada")
                .username("ada")
                .email("ada@example.com")
                .first_name("Ada")
                .last_name("")
                .image_url("https://img.example/ada.png")
                .last_active_at(last_active)
                .is_active(true)
                .banned_by_clerk(false);
            return;
        }
        table.accounts->execute(request, response);
    });
    const Client client(config);
    const std::string token = fresh();
    EXPECT_EQ(ask(client, token), "in verified");
    EXPECT_EQ(last_active, clerk::Time(clerk::Milliseconds(1700000000123)));
    sim::admin("PATCH", "/users/user_ada", {{"image_url", nullptr}, {"last_active_at", nullptr}});
    client.invalidate_user("user_ada");
    EXPECT_EQ(ask(client, token), "in verified");
    EXPECT_TRUE(null_image);
}

TEST(UserStore, StoreLivesAsLongAsItsLastClient) {
    auto accounts = std::make_shared<Accounts>();
    const std::weak_ptr<Accounts> watched = accounts;
    std::optional<clerk::Config> config(sim::config());
    Accounts::attach(*config, std::move(accounts));
    std::optional<Client> first(*config), second(first);
    config.reset();
    first.reset();
    EXPECT_FALSE(watched.expired());
    second.reset();
    EXPECT_TRUE(watched.expired());

    clerk::Config replaced = sim::config();
    auto gone = std::make_shared<Accounts>();
    const std::weak_ptr<Accounts> watching = gone;
    replaced.user_store(std::move(gone)).user_store(nullptr);
    EXPECT_TRUE(watching.expired());
    EXPECT_FALSE(Client::make(replaced.user_mode(clerk::UserMode::sync)).has_value());
}

TEST(UserStore, SqliteStoreIsReadyMade) {
    sim::reset();
    sim::put_ada();
    clerk::Config config = sim::config();
    const std::string path = from_test_sh("CLERK_TMP") + "/users-" + std::to_string(getpid()) + ".db";
    const clerk::Result result = authenticate(Client(config.sqlite_path(path)), fresh());
    EXPECT_EQ(words(result), "in verified");
    EXPECT_EQ(result.user_key(), "1");
    std::remove(path.c_str());
}
