// The client.
#ifndef CLERK_AUTH_CLIENT_HPP
#define CLERK_AUTH_CLIENT_HPP

#include "config.hpp"
#include "pending.hpp"
#include "cached_result.hpp"
#include "request.hpp"
#include "result.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// Why a token is accepted or rejected, for operators. Not to be sent to clients.
struct Explanation {
    // A JSON object; its members are described at `clerk_explanation_json`.
    std::string json;
    // One line for each check.
    std::string text;
};

// Counters of the cache that processes share.
struct SharedCacheStats {
    SharedCacheState state;
    uint64_t hits;     // users that were found
    uint64_t misses;   // users that were looked for and not found
    uint64_t errors;   // operations that failed
    uint64_t rejected; // entries that were ignored: damaged, of another instance or secret, or replayed
    // How long the last change by another process took to be applied here.
    std::optional<Milliseconds> revocation_lag;
};

// Counters since the client was created.
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
    uint64_t no_credentials;
    uint64_t would_block;  // empty Cached values
    uint64_t store_errors; // also counted in `unavailable`

    // Calls to Clerk, each attempt counted.
    uint64_t calls(Endpoint endpoint, CallStatus status) const noexcept {
        return by_endpoint.calls[detail::number(endpoint)][detail::number(status)];
    }
    // Whether no calls are sent to an endpoint now, after failures or a 429.
    bool is_circuit_open(Endpoint endpoint) const noexcept {
        return by_endpoint.open_circuits[detail::number(endpoint)] != 0;
    }
    bool is_rate_limited(Endpoint endpoint) const noexcept {
        return by_endpoint.rate_limited[detail::number(endpoint)] != 0;
    }
    SharedCacheStats shared_cache() const noexcept {
        const clerk_stats &s = by_endpoint;
        return {static_cast<SharedCacheState>(s.shared_cache_state), s.shared_cache_hits,     s.shared_cache_misses,
                s.shared_cache_errors,                               s.shared_cache_rejected, detail::from_c_ms(s.revocation_lag_ms)};
    }

    clerk_stats by_endpoint;
};

// Verifies requests. Copies share one client, like std::shared_ptr: const member functions may run on any number of
// threads at once; close, assignment and move need exclusive access to that copy. The client is destroyed with its last
// copy, after the last call has returned.
//
// Each function has two forms: the plain one throws Error, `try_…` is noexcept and returns an Expected.
class Client {
public:
    static Expected<Client> make(const Config &config) noexcept {
        if (config.error()) return *config.error();
        clerk_client *client = nullptr;
        clerk_error *error = nullptr;
        detail::CallState state;
        const detail::CallScope scope(state);
        const int32_t status = clerk_client_new(config.native(), &client, &error);
        if (status != CLERK_OK) return detail::take_error(status, error, state.clock);
        return Client(client);
    }

#if CLERK_AUTH_EXCEPTIONS
    explicit Client(const Config &config) : Client(make(config).value()) {}
#endif

    Client(const Client &other) noexcept : handle_(clerk_client_retain(other.handle_.get())), rows_(other.rows_) {}
    Client(Client &&) noexcept = default;
    Client &operator=(const Client &other) noexcept {
        if (this != &other) {
            handle_.reset(clerk_client_retain(other.handle_.get()));
            rows_ = other.rows_;
        }
        return *this;
    }
    Client &operator=(Client &&) noexcept = default;
    ~Client() = default;

    // Releases this copy. May be called twice. Later calls fail with CLERK_E_STATE.
    void close() noexcept { handle_.reset(); }
    bool is_open() const noexcept { return handle_ != nullptr; }

    // Authenticates a request. Fetches keys and the user from Clerk if needed, within `timeout_ms` in total, and calls the
    // user store on this thread.
    Expected<Result> try_authenticate(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_error *error = nullptr;
        detail::CallState state;
        state.cache = rows_;
        const detail::CallScope scope(state);
        const int32_t status = clerk_authenticate(handle_.get(), &native, &result, &error);
        return make_result(status, result, error, state);
    }

    // Authenticates a request from the cache. Never blocks. Returns an empty Cached if that needs Clerk or the user store:
    // call `authenticate` or `authenticate_begin` then.
    Expected<Cached<Result>> try_authenticate_cached(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        detail::CallState state;
        state.cache = rows_;
        const detail::CallScope scope(state);
        const int32_t status = clerk_authenticate_cached(handle_.get(), &native, &result);
        if (status == CLERK_WOULD_BLOCK && result == nullptr && !state.clock) return Cached<Result>();
        Expected<Result> made = make_result(status, result, nullptr, state);
        if (!made.has_value()) return made.error();
        return Cached<Result>(*std::move(made));
    }

    // Begins an authentication whose user store requests the application executes itself. May wait for Clerk; calls no
    // user store.
    Expected<PendingAuth> try_authenticate_begin(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_pending *pending = nullptr;
        clerk_error *error = nullptr;
        auto state = std::make_unique<detail::CallState>();
        state->cache = rows_;
        const detail::CallScope scope(*state);
        const int32_t status = clerk_authenticate_begin(handle_.get(), &native, &result, &pending, &error);
        return begun(status, pending, result, error, std::move(state));
    }

    // Like `authenticate_begin`, but never blocks. Returns an empty Cached if more than a query of the user's row is
    // needed: call `authenticate_begin` then. A deleted row leads to StoreRequestKind::fetch_user, which blocks.
    Expected<Cached<PendingAuth>> try_authenticate_begin_cached(const Request &request) const noexcept {
        if (!is_open()) return closed();
        const clerk_request native = request.native();
        clerk_result *result = nullptr;
        clerk_pending *pending = nullptr;
        auto state = std::make_unique<detail::CallState>();
        state->cache = rows_;
        const detail::CallScope scope(*state);
        const int32_t status = clerk_authenticate_begin_cached(handle_.get(), &native, &result, &pending);
        if (status == CLERK_WOULD_BLOCK && result == nullptr && !state->clock) return Cached<PendingAuth>();
        Expected<PendingAuth> pending_auth = begun(status, pending, result, nullptr, std::move(state));
        if (!pending_auth.has_value()) return pending_auth.error();
        return Cached<PendingAuth>(*std::move(pending_auth));
    }

    // Verifies one JWT. Fetches keys if needed; does not fetch the user, cache the result or emit an event.
    Expected<Result> try_verify_token(std::string_view token) const noexcept {
        if (!is_open()) return closed();
        clerk_result *result = nullptr;
        clerk_error *error = nullptr;
        detail::CallState state;
        const detail::CallScope scope(state);
        const int32_t status = clerk_verify_token(handle_.get(), detail::to_c(token), &result, &error);
        return make_result(status, result, error, state);
    }

    // Verifies and applies a webhook. `body` must be the bytes as received.
    Expected<WebhookResult> try_handle_webhook(const Headers &headers, std::string_view body) const noexcept {
        if (!is_open()) return closed();
        clerk_error *error = nullptr;
        detail::CallState state;
        const detail::CallScope scope(state);
        const int32_t status =
            clerk_webhook_handle(handle_.get(), headers.data(), headers.size(), detail::to_c(body), &error);
        return make_webhook_result(status, error, state);
    }

    // Applies a webhook that another process of this server has received, in memory only. Never blocks.
    Expected<WebhookResult> try_replay_webhook(const Headers &headers, std::string_view body) const noexcept {
        if (!is_open()) return closed();
        clerk_error *error = nullptr;
        detail::CallState state;
        const detail::CallScope scope(state);
        const int32_t status =
            clerk_webhook_replay(handle_.get(), headers.data(), headers.size(), detail::to_c(body), &error);
        return make_webhook_result(status, error, state);
    }

    // Like `handle_webhook`, for an application that executes the user store requests itself. Blocks in a
    // shared cache only, for at most `timeout_ms`.
    Expected<PendingWebhook> try_handle_webhook_begin(const Headers &headers, std::string_view body) const noexcept {
        if (!is_open()) return closed();
        clerk_pending *pending = nullptr;
        clerk_error *error = nullptr;
        auto state = std::make_unique<detail::CallState>();
        const detail::CallScope scope(*state);
        const int32_t status =
            clerk_webhook_begin(handle_.get(), headers.data(), headers.size(), detail::to_c(body), &pending, &error);
        if (status == CLERK_PENDING && pending != nullptr) return PendingWebhook(pending, std::move(state));
        Expected<WebhookResult> made = make_webhook_result(status, error, *state);
        if (!made.has_value()) return made.error();
        return PendingWebhook(*std::move(made));
    }

    // Fetches the JWK set. After `fork`, a child must call it before anything that may reach Clerk.
    Expected<void> try_warm_up() const noexcept {
        return call(
            [](const clerk_client *client, clerk_error **error) { return clerk_client_warm_up(client, error); });
    }

    // Finds the credential of a request, as `authenticate` would; verifies nothing. The request's lines must outlive it.
    Expected<Credential> try_credential(const Request &request) const noexcept {
        const clerk_request native = request.native();
        clerk_str token = {};
        int32_t source = 0;
        const Expected<void> done = call([&](const clerk_client *client, clerk_error **) {
            return clerk_request_credential(client, &native, &token, &source);
        });
        if (!done.has_value()) return done.error();
        return Credential{std::string_view(token.data, token.len), static_cast<TokenSource>(source)};
    }

    // Explains why a token is accepted or rejected, check by check, without trusting it and without a request to Clerk. May
    // be called from callbacks.
    Expected<Explanation> try_explain(std::string_view token) const noexcept {
        clerk_explanation *explanation = nullptr;
        const Expected<void> done = call([&](const clerk_client *client, clerk_error **error) {
            return clerk_explain(client, detail::to_c(token), &explanation, error);
        });
        if (!done.has_value()) return done.error();
        const std::unique_ptr<clerk_explanation, decltype(&clerk_explanation_free)> owner(explanation,
                                                                                          &clerk_explanation_free);
        const auto copy = [](clerk_str string) { return std::string(string.data, string.len); };
        return Explanation{copy(clerk_explanation_json(explanation)), copy(clerk_explanation_text(explanation))};
    }

    // Rejects all tokens of a session or a user from now on. May be called from callbacks, like the next two.
    Expected<void> try_revoke_session(std::string_view session_id) const noexcept {
        return call([&](const clerk_client *client, clerk_error **) {
            return clerk_client_revoke_session(client, detail::to_c(session_id));
        });
    }
    Expected<void> try_revoke_user(std::string_view clerk_id) const noexcept {
        return call([&](const clerk_client *client, clerk_error **) {
            return clerk_client_revoke_user(client, detail::to_c(clerk_id));
        });
    }

    // Returns all revocations as JSON, for `import_revocations` in another process.
    Expected<std::string> try_export_revocations() const { return copied(clerk_client_export_revocations); }
    // Merges the revocations of another process into those of this client; each keeps its expiry.
    Expected<void> try_import_revocations(std::string_view json) const noexcept {
        return call([&](const clerk_client *client, clerk_error **error) {
            return clerk_client_import_revocations(client, detail::to_c(json), error);
        });
    }

    // Removes cached results. May be called from callbacks, like `shutdown` and `stats`.
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

    // Removes what this process has cached; other processes and the shared cache keep theirs.
    Expected<void> try_clear_cache() const noexcept {
        return call([](const clerk_client *client, clerk_error **) { return clerk_client_clear_cache(client); });
    }

    // Applies what other processes have changed in the shared cache, waiting at most `timeout` for the first change. False
    // while the shared cache cannot be used. clerk::Poller calls it on a thread.
    Expected<bool> try_poll(Milliseconds timeout) const noexcept {
        bool is_available = true;
        const Expected<void> done = call([&](const clerk_client *client, clerk_error **) {
            const int32_t status = clerk_client_poll(client, timeout.count());
            is_available = status != CLERK_UNAVAILABLE;
            return is_available ? status : int32_t{CLERK_OK};
        });
        if (!done.has_value()) return done.error();
        return is_available;
    }

    // Aborts calls to Clerk in progress. The client stays usable.
    Expected<void> try_shutdown() const noexcept {
        return call([](const clerk_client *client, clerk_error **) { return clerk_client_shutdown(client); });
    }

    Expected<Stats> try_stats() const noexcept {
        clerk_stats s = CLERK_STATS_INIT;
        const Expected<void> done =
            call([&](const clerk_client *client, clerk_error **) { return clerk_client_stats(client, &s); });
        if (!done.has_value()) return done.error();
        return Stats{s.cache_hits,   s.cache_misses, s.signed_in,     s.signed_out,   s.unavailable,
                     s.jwks_fetches, s.user_fetches, s.cached_tokens, s.cached_users, detail::from_c_ms(s.jwks_age_ms),
                     s.no_credentials, s.would_block, s.store_errors, s};
    }

    // Returns the counters in the text exposition format of Prometheus, `text/plain; version=0.0.4`.
    Expected<std::string> try_metrics_text() const { return copied(clerk_client_metrics_text); }

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
    WebhookResult replay_webhook(const Headers &headers, std::string_view body) const {
        return try_replay_webhook(headers, body).value();
    }
    PendingWebhook handle_webhook_begin(const Headers &headers, std::string_view body) const {
        return try_handle_webhook_begin(headers, body).value();
    }
    void warm_up() const { try_warm_up().value(); }
    void invalidate_token(std::string_view token) const { try_invalidate_token(token).value(); }
    void invalidate_user(std::string_view clerk_id) const { try_invalidate_user(clerk_id).value(); }
    void invalidate_session(std::string_view session_id) const { try_invalidate_session(session_id).value(); }
    void invalidate_all() const { try_invalidate_all().value(); }
    void clear_cache() const { try_clear_cache().value(); }
    Credential credential(const Request &request) const { return try_credential(request).value(); }
    Explanation explain(std::string_view token) const { return try_explain(token).value(); }
    void revoke_session(std::string_view session_id) const { try_revoke_session(session_id).value(); }
    void revoke_user(std::string_view clerk_id) const { try_revoke_user(clerk_id).value(); }
    std::string export_revocations() const { return try_export_revocations().value(); }
    void import_revocations(std::string_view json) const { try_import_revocations(json).value(); }
    bool poll(Milliseconds timeout) const { return try_poll(timeout).value(); }
    void shutdown() const { try_shutdown().value(); }
    Stats stats() const { return try_stats().value(); }
    std::string metrics_text() const { return try_metrics_text().value(); }
#endif

    // Returns a mark of this moment, for `Request::mark`: a user that Clerk returns after it counts as fetched for that request,
    // so that requests which begin together share one fetch.
    std::uint64_t mark() const noexcept { return clerk_client_mark(handle_.get()); }

    const clerk_client *native() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(clerk_client *client) const noexcept { clerk_client_free(client); }
    };

    explicit Client(clerk_client *client) noexcept : handle_(client) {}

    // Returns what a function copies into a buffer.
    template <class Copy>
    Expected<std::string> copied(Copy copy) const {
        std::string made;
        for (;;) {
            std::size_t needed = 0;
            const std::size_t capacity = made.size();
            const Expected<void> done = call([&](const clerk_client *client, clerk_error **) {
                const int32_t status = copy(client, made.data(), capacity, &needed);
                return status == CLERK_E_ARGUMENT && capacity <= needed ? int32_t{CLERK_OK} : status;
            });
            if (!done.has_value()) return done.error();
            const bool is_complete = needed < capacity;
            made.resize(is_complete ? needed : needed + 1);
            if (is_complete) return made;
        }
    }

    static Error closed() { return detail::make_error(CLERK_E_STATE, "the client is closed"); }

    static Expected<PendingAuth> begun(int32_t status, clerk_pending *pending, clerk_result *result, clerk_error *error,
                                   std::unique_ptr<detail::CallState> state) {
        if (status == CLERK_PENDING && pending != nullptr) return PendingAuth(pending, std::move(state));
        Expected<Result> made = make_result(status, result, error, *state);
        if (!made.has_value()) return made.error();
        return PendingAuth(*std::move(made));
    }

    template <class Call>
    Expected<void> call(Call &&call) const noexcept {
        if (!is_open()) return closed();
        clerk_error *error = nullptr;
        detail::CallState state;
        const detail::CallScope scope(state);
        const int32_t status = call(handle_.get(), &error);
        if (status != CLERK_OK) return detail::take_error(status, error, state.clock);
        return {};
    }

    std::unique_ptr<clerk_client, Free> handle_;
    std::shared_ptr<detail::RowCache> rows_ = std::make_shared<detail::RowCache>(); // shared by copies
};

CLERK_AUTH_NAMESPACE_END

#endif
