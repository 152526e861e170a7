// Webhooks: a delivery is verified and applied; the response.
#include "sim.hpp"

#include "../examples/accounts.hpp"

#include <gtest/gtest.h>

#include <map>

using clerk::Client;
using clerk::WebhookResult;

namespace {

const std::string secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

struct Made {
    std::map<std::string, std::string> headers;
    std::string body;
};

Made made(sim::Json specification) {
    specification["secret"] = secret;
    const sim::Json answer = sim::admin("POST", "/webhook", specification);
    Made delivery;
    for (const auto &[name, value] : answer.at("headers").items()) delivery.headers[name] = value;
    delivery.body = answer.at("body");
    return delivery;
}

} // namespace

TEST(Webhooks, DeliveriesAreVerifiedAndAppliedOnce) {
    sim::reset();
    sim::put_ada();
    const Client client(sim::config().webhook_secrets({secret}).user_mode(clerk::UserMode::profile));
    const std::string token = sim::token({{"user", "user_ada"}, {"sid", "sess_1"}});
    EXPECT_EQ(ask(client, token), "in verified");

    const Made ended =
        made({{"type", "session.ended"}, {"data", {{"id", "sess_1"}, {"user_id", "user_ada"}, {"object", "session"}}}});
    const WebhookResult applied = client.handle_webhook(ended.headers, ended.body);
    EXPECT_EQ(applied.outcome(), WebhookResult::Outcome::applied);
    EXPECT_EQ(applied.http_status(), 200);
    EXPECT_FALSE(applied.error());
    EXPECT_EQ(ask(client, token), "out session-revoked");

    const Client other(sim::config().webhook_secrets({secret}).user_mode(clerk::UserMode::profile));
    EXPECT_EQ(other.replay_webhook(ended.headers, ended.body).outcome(), WebhookResult::Outcome::applied);
    EXPECT_EQ(ask(other, token), "out session-revoked");
    EXPECT_EQ(other.replay_webhook(clerk::Headers(), "").outcome(), WebhookResult::Outcome::rejected);

    const WebhookResult twice = client.handle_webhook(ended.headers, ended.body);
    EXPECT_EQ(twice.outcome(), WebhookResult::Outcome::ignored);
    EXPECT_EQ(twice.http_status(), 200);

    const Made forged = made({{"type", "user.updated"}, {"id", "user_ada"}, {"bad_signature", true}});
    const WebhookResult rejected = client.handle_webhook(forged.headers, forged.body);
    EXPECT_EQ(rejected.outcome(), WebhookResult::Outcome::rejected);
    EXPECT_EQ(rejected.http_status(), 400);
    EXPECT_EQ(rejected.error()->status(), clerk::Status::e_webhook);
    EXPECT_EQ(client.handle_webhook(clerk::Headers(), "").outcome(), WebhookResult::Outcome::rejected);
    clerk::Headers many;
    for (int i = 0; i < 5000; i++) many.add("svix-id", "msg_1");
    EXPECT_EQ(client.handle_webhook(many, "{}").outcome(), WebhookResult::Outcome::rejected);
    Made changed = made({{"type", "user.updated"}, {"id", "user_ada"}});
    changed.body += " ";
    EXPECT_EQ(client.handle_webhook(changed.headers, changed.body).outcome(), WebhookResult::Outcome::rejected);
}

TEST(Webhooks, FailingStoreIsUnavailable) {
    sim::reset();
    sim::put_ada();
    auto accounts = std::make_shared<Accounts>();
    bool is_full = false;
    clerk::Config config = sim::config();
    Accounts::attach(config, accounts);
    config.webhook_secrets({secret}).user_store([&](const clerk::StoreRequest &step, clerk::StoreResponse &response) {
        if (is_full) throw std::runtime_error("disk full");
        accounts->execute(step, response);
    });
    const Client client(config);
    const std::string token = sim::token({{"user", "user_ada"}});
    EXPECT_EQ(ask(client, token), "in verified");
    sim::admin("PATCH", "/users/user_ada", {{"first_name", "Augusta"}});
    const Made updated = made({{"type", "user.updated"}, {"id", "user_ada"}});
    is_full = true;
    const WebhookResult failed = client.handle_webhook(updated.headers, updated.body);
    EXPECT_EQ(failed.outcome(), WebhookResult::Outcome::unavailable);
    EXPECT_EQ(failed.http_status(), 503);
    EXPECT_EQ(failed.error()->message(), "disk full");
    EXPECT_THROW(std::rethrow_exception(failed.error()->cause()), std::runtime_error);
    is_full = false;
    EXPECT_EQ(client.handle_webhook(updated.headers, updated.body).outcome(), WebhookResult::Outcome::applied);
    const std::string line = bearer(token);
    EXPECT_EQ(client.authenticate(clerk::Request(line)).local_user<Account>()->given_name, "Augusta");
}

TEST(Webhooks, WebhookIsDrivenStepByStep) {
    sim::reset();
    sim::put_ada();
    clerk::Config config = sim::config();
    config.webhook_secrets({secret}).user_store(
        [](const clerk::StoreRequest &, clerk::StoreResponse &) { ADD_FAILURE() << "unexpected user store call"; });
    const Client client(config);
    Accounts accounts;
    const auto driven = [&accounts](clerk::PendingWebhook pending) {
        while (!pending.done()) {
            if (pending.next_action() == clerk::StoreRequestKind::fetch_user)
                pending.fetch();
            else
                pending.submit(accounts);
        }
        return pending.finish();
    };
    const Made created = made({{"type", "user.created"}, {"id", "user_ada"}});
    // A table that fails has it delivered again; one that is given up in the middle, too.
    clerk::PendingWebhook failing = client.handle_webhook_begin(created.headers, created.body);
    EXPECT_FALSE(failing.done());
    failing.submit(std::make_exception_ptr(std::runtime_error("disk full")));
    const WebhookResult failed = failing.finish();
    EXPECT_EQ(failed.outcome(), WebhookResult::Outcome::unavailable);
    EXPECT_EQ(failed.error()->message(), "disk full");
    EXPECT_THROW(std::rethrow_exception(failed.error()->cause()), std::runtime_error);
    EXPECT_EQ(failing.try_finish().error().status(), clerk::Status::e_state);
    EXPECT_EQ(client.handle_webhook_begin(created.headers, created.body).finish().outcome(),
              WebhookResult::Outcome::unavailable);
    EXPECT_EQ(driven(client.handle_webhook_begin(created.headers, created.body)).outcome(), WebhookResult::Outcome::applied);

    const std::string line = bearer(sim::token({{"user", "user_ada"}}));
    clerk::PendingAuth pending = client.authenticate_begin(clerk::Request(line));
    EXPECT_EQ(pending.next_action(), clerk::StoreRequestKind::find_by_key); // the webhook cached the row key
    while (!pending.done()) pending.submit(accounts);
    EXPECT_EQ(pending.finish().local_user<Account>()->id, 1);

    // Over before it began.
    EXPECT_EQ(driven(client.handle_webhook_begin(created.headers, created.body)).outcome(), WebhookResult::Outcome::ignored);
    EXPECT_EQ(driven(client.handle_webhook_begin(clerk::Headers(), "")).outcome(), WebhookResult::Outcome::rejected);
}
