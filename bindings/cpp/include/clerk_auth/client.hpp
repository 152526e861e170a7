// A client: shared by all threads of a server.
#ifndef CLERK_AUTH_CLIENT_HPP
#define CLERK_AUTH_CLIENT_HPP

#include "config.hpp"
#include "pending.hpp"
#include "cached_result.hpp"
#include "request.hpp"
#include "result.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// What a client has done since it was made.
struct Stats {
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t signed_in;
    uint64_t signed_out;
    uint64_t unavailable;
    uint64_t jwks_fetches;
    uint64_t user_fetches;
    uint64_t cached_tokens;
    uint64_t cached_users;
    std::optional<Milliseconds> jwks_age;
};

// Copies are the same client; any number of threads may use one at once (closing it, assigning and moving are for one
// thread, as with a std::shared_ptr). The library goes when the last copy and the last call are gone.
//
// Each verb comes twice: as it is, it throws an Error; with `try_` it throws nothing and returns an Expected.
class Client {
public:
    static Expected<Client> make(const Config &config) noexcept {
        if (config.error()) return *config.error();
        clerk_client *client = nullptr;
        clerk_error *error = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status = clerk_client_new(config.native(), &client, &error);
        if (status != CLERK_OK) return detail::take_error(status, error, notes.clock);
        return Client(client);
    }

#if CLERK_AUTH_EXCEPTIONS
    explicit Client(const Config &config) : Client(make(config).value()) {}
#endif

    Client(const Client &other) noexcept : handle_(clerk_client_retain(other.handle_.get())) {}
    Client(Client &&) noexcept = default;
    Client &operator=(const Client &other) noexcept {
        if (this != &other) handle_.reset(clerk_client_retain(other.handle_.get()));
        return *this;
    }
    Client &operator=(Client &&) noexcept = default;
    ~Client() = default;

    // Gives up this copy. Closing twice is fine; a call after it is an error.
    void close() noexcept { handle_.reset(); }
    bool is_open() const noexcept { return handle_ != nullptr; }

    // Answers, whatever it takes: asks Clerk, within `timeout_ms` in all, and the user store, on this thread.
    Expected<Result> try_authenticate(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_error *error = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status = clerk_authenticate(handle_.get(), &native, &result, &error);
        return make_result(status, result, error, notes);
    }

    // Answers from memory and never waits: for event loops. No result: ask `authenticate` or `authenticate_begin`.
    Expected<Cached<Result>> try_authenticate_cached(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status = clerk_authenticate_cached(handle_.get(), &native, &result);
        if (status == CLERK_WOULD_BLOCK && result == nullptr && !notes.clock) return Cached<Result>();
        Expected<Result> concluded = make_result(status, result, nullptr, notes);
        if (!concluded) return concluded.error();
        return Cached<Result>(*std::move(concluded));
    }

    // Begins an authentication for a host that asks its user table itself. Waits for Clerk; calls no user store.
    Expected<PendingAuth> try_authenticate_begin(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_pending *pending = nullptr;
        clerk_error *error = nullptr;
        auto notes = std::make_unique<detail::CallState>();
        const detail::CallScope scope(*notes);
        const int32_t status = clerk_authenticate_begin(handle_.get(), &native, &result, &pending, &error);
        return begun(status, pending, result, error, std::move(notes));
    }

    // The same without waiting for Clerk: for event loops. There when all that remains is a look at the user's row (its
    // answer may make it want StoreRequestKind::fetch_user, which waits); otherwise ask `authenticate_begin`.
    Expected<Cached<PendingAuth>> try_authenticate_begin_cached(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_pending *pending = nullptr;
        auto notes = std::make_unique<detail::CallState>();
        const detail::CallScope scope(*notes);
        const int32_t status = clerk_authenticate_begin_cached(handle_.get(), &native, &result, &pending);
        if (status == CLERK_WOULD_BLOCK && result == nullptr && !notes->clock) return Cached<PendingAuth>();
        Expected<PendingAuth> pended = begun(status, pending, result, nullptr, std::move(notes));
        if (!pended) return pended.error();
        return Cached<PendingAuth>(*std::move(pended));
    }

    // Verifies one JWT and nothing else: no user, no cache, no event.
    Expected<Result> try_verify_token(std::string_view token) const noexcept {
        if (!is_open()) return closed();
        clerk_result *result = nullptr;
        clerk_error *error = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status = clerk_verify_token(handle_.get(), detail::to_c(token), &result, &error);
        return make_result(status, result, error, notes);
    }

    // Takes a webhook delivery: all its header lines, and its body byte by byte.
    Expected<WebhookResult> try_handle_webhook(const Headers &headers, std::string_view body) const noexcept {
        if (!is_open()) return closed();
        clerk_error *error = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status =
            clerk_webhook_handle(handle_.get(), headers.data(), headers.size(), detail::to_c(body), &error);
        return make_webhook_result(status, error, notes);
    }

    // The same for a host that asks its user table itself. Never waits.
    Expected<PendingWebhook> try_handle_webhook_begin(const Headers &headers, std::string_view body) const noexcept {
        if (!is_open()) return closed();
        clerk_pending *pending = nullptr;
        clerk_error *error = nullptr;
        auto notes = std::make_unique<detail::CallState>();
        const detail::CallScope scope(*notes);
        const int32_t status =
            clerk_webhook_begin(handle_.get(), headers.data(), headers.size(), detail::to_c(body), &pending, &error);
        if (status == CLERK_PENDING && pending != nullptr) return PendingWebhook(pending, std::move(notes));
        Expected<WebhookResult> concluded = make_webhook_result(status, error, *notes);
        if (!concluded) return concluded.error();
        return PendingWebhook(*std::move(concluded));
    }

    // Fetches the key set now. In a child after `fork` it must be called before anything that may reach Clerk.
    Expected<void> try_warm_up() const noexcept {
        return call(
            [](const clerk_client *client, clerk_error **error) { return clerk_client_warm_up(client, error); });
    }

    // Forgets what is remembered. These, `shutdown` and `stats` may be called from hooks.
    Expected<void> try_invalidate_token(std::string_view token) const noexcept {
        return call([&](const clerk_client *client, clerk_error **) {
            return clerk_client_invalidate_token(client, detail::to_c(token));
        });
    }
    Expected<void> try_invalidate_user(std::string_view clerk_id) const noexcept {
        return call([&](const clerk_client *client, clerk_error **) {
            return clerk_client_invalidate_user(client, detail::to_c(clerk_id));
        });
    }
    Expected<void> try_invalidate_session(std::string_view session_id) const noexcept {
        return call([&](const clerk_client *client, clerk_error **) {
            return clerk_client_invalidate_session(client, detail::to_c(session_id));
        });
    }
    Expected<void> try_invalidate_all() const noexcept {
        return call([](const clerk_client *client, clerk_error **) { return clerk_client_invalidate_all(client); });
    }

    // Breaks off calls to Clerk that are under way: before the process ends. The client stays usable.
    Expected<void> try_shutdown() const noexcept {
        return call([](const clerk_client *client, clerk_error **) { return clerk_client_shutdown(client); });
    }

    Expected<Stats> try_stats() const noexcept {
        clerk_stats s = CLERK_STATS_INIT;
        const Expected<void> done =
            call([&](const clerk_client *client, clerk_error **) { return clerk_client_stats(client, &s); });
        if (!done) return done.error();
        return Stats{s.cache_hits,   s.cache_misses, s.signed_in,     s.signed_out,   s.unavailable,
                     s.jwks_fetches, s.user_fetches, s.cached_tokens, s.cached_users, detail::from_c_ms(s.jwks_age_ms)};
    }

#if CLERK_AUTH_EXCEPTIONS
    Result authenticate(const Request &request) const { return try_authenticate(request).value(); }
    Cached<Result> authenticate_cached(const Request &request) const {
        return try_authenticate_cached(request).value();
    }
    PendingAuth authenticate_begin(const Request &request) const { return try_authenticate_begin(request).value(); }
    Cached<PendingAuth> authenticate_begin_cached(const Request &request) const {
        return try_authenticate_begin_cached(request).value();
    }
    Result verify_token(std::string_view token) const { return try_verify_token(token).value(); }
    WebhookResult handle_webhook(const Headers &headers, std::string_view body) const {
        return try_handle_webhook(headers, body).value();
    }
    PendingWebhook handle_webhook_begin(const Headers &headers, std::string_view body) const {
        return try_handle_webhook_begin(headers, body).value();
    }
    void warm_up() const { try_warm_up().value(); }
    void invalidate_token(std::string_view token) const { try_invalidate_token(token).value(); }
    void invalidate_user(std::string_view clerk_id) const { try_invalidate_user(clerk_id).value(); }
    void invalidate_session(std::string_view session_id) const { try_invalidate_session(session_id).value(); }
    void invalidate_all() const { try_invalidate_all().value(); }
    void shutdown() const { try_shutdown().value(); }
    Stats stats() const { return try_stats().value(); }
#endif

    const clerk_client *native() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(clerk_client *client) const noexcept { clerk_client_free(client); }
    };

    explicit Client(clerk_client *client) noexcept : handle_(client) {}

    static Error closed() { return detail::make_error(CLERK_E_STATE, "the client is closed"); }

    static Expected<PendingAuth> begun(int32_t status, clerk_pending *pending, clerk_result *result, clerk_error *error,
                                   std::unique_ptr<detail::CallState> notes) {
        if (status == CLERK_PENDING && pending != nullptr) return PendingAuth(pending, std::move(notes));
        Expected<Result> concluded = make_result(status, result, error, *notes);
        if (!concluded) return concluded.error();
        return PendingAuth(*std::move(concluded));
    }

    template <class Call>
    Expected<void> call(Call &&call) const noexcept {
        if (!is_open()) return closed();
        clerk_error *error = nullptr;
        detail::CallState notes;
        const detail::CallScope scope(notes);
        const int32_t status = call(handle_.get(), &error);
        if (status != CLERK_OK) return detail::take_error(status, error, notes.clock);
        return {};
    }

    std::unique_ptr<clerk_client, Free> handle_;
};

CLERK_AUTH_NAMESPACE_END

#endif
