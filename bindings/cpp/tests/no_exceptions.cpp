#include "no_exceptions.hpp"

#include <clerk_auth.hpp>

#if CLERK_AUTH_EXCEPTIONS
#error "to be built with -fno-exceptions"
#endif

namespace {

// A table of one row, which fails at first.
class OneRow : public clerk::UserStore {
public:
    bool is_full = true;

    void find_by_key(std::string_view, clerk::StoreResponse &response) override { show(response); }
    void find_by_clerk_id(std::string_view, clerk::StoreResponse &response) override {
        if (is_full) return response.fail(-28, "disk full");
        show(response);
    }
    void find_by_email(std::string_view, clerk::StoreResponse &) override {}
    void username_taken(std::string_view, std::optional<std::string_view>, clerk::StoreResponse &response) override {
        response.taken(false);
    }
    void create(const clerk::RowChanges &columns, clerk::StoreResponse &response) override {
        clerk_id_ = columns.clerk_id().value_or("");
        response.created("1");
    }
    void update(std::string_view, const clerk::RowChanges &, const clerk::UpdateCondition &, clerk::StoreResponse &) override {}

private:
    void show(clerk::StoreResponse &response) {
        if (!clerk_id_.empty())
            response.row("1").clerk_id(clerk_id_).username("ada").email("ada@example.com").first_name("Ada");
    }

    std::string clerk_id_;
};

} // namespace

std::string story_without_exceptions(const std::string &api_url, const std::string &token, const std::string &expired) {
    std::string story;
    const auto say = [&story](std::string_view words) { story.append(words).append("|"); };

    clerk::Config wrong;
    const auto none = clerk::Client::make(wrong.timeout_ms(std::chrono::milliseconds(0)));
    say(none.error().setting().value_or("?"));

    auto store = std::make_shared<OneRow>();
    int events = 0;
    clerk::Config config;
    config.api_url(api_url)
        .secret_key("sk_test_simulated")
        .user_store(store)
        .on_event([&](const clerk::Event &event) {
            if (event.kind() == clerk::EventKind::user_created) events++;
        });
    auto client = clerk::Client::make(config);
    if (!client.has_value()) return client.error().what();

    const std::string line = "Bearer " + token, expired_line = "Bearer " + expired;
    const clerk::Request request(line);
    const auto cached = client->try_authenticate_cached(request);
    say(cached.has_value() && !cached->has_value() ? "would block" : "?");
    const auto failed = client->try_authenticate(request);
    const auto error = failed->error();
    say("unavailable " + std::string(error->what()) + " " + std::to_string(error->store_code().value_or(0)));
    store->is_full = false;
    const auto in = client->try_authenticate(request);
    say(std::string(in->signed_in() ? "in " : "? ") + std::to_string(events) + " event");
    const auto again = client->try_authenticate(request);
    say(again->source() == clerk::Source::cache ? "in cache" : "?");
    say("out " + std::string((*client->try_authenticate(clerk::Request(expired_line))).reason_name()));
    say((*client->try_authenticate(clerk::Request())).outcome() == clerk::Outcome::no_credentials ? "none" : "?");

    auto pending = client->try_authenticate_begin(request);
    while (pending.has_value() && !pending->done())
        if (!pending->try_submit(*store).has_value()) return story + "stuck";
    const auto finished = pending->try_finish();
    say(finished.has_value() && finished->signed_in() ? "pending in" : "?");

    const auto delivery = client->try_handle_webhook(clerk::Headers(), "{}");
    if (delivery.has_value())
        say("rejected " + std::to_string(delivery->http_status()));
    else
        say(delivery.error().what());
    client->close();
    say(client->try_stats().has_value() ? "?" : "closed");
    return story;
}
