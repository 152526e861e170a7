// Settings and callbacks of a client.
#ifndef CLERK_AUTH_CONFIG_HPP
#define CLERK_AUTH_CONFIG_HPP

#include "events.hpp"
#include "user_store.hpp"

#include <initializer_list>
#include <iterator>

CLERK_AUTH_NAMESPACE_BEGIN

namespace detail {

inline std::string version_text(uint32_t abi) { return std::to_string(abi >> 16) + "." + std::to_string(abi & 0xffff); }

// Returns an error if the loaded library is older than this header or has another major ABI version.
inline std::optional<Error> check_library_version() {
    constexpr uint32_t wanted = (static_cast<uint32_t>(CLERK_ABI_MAJOR) << 16) | static_cast<uint32_t>(CLERK_ABI_MINOR);
    const uint32_t loaded = clerk_abi_version();
    if (loaded >> 16 == wanted >> 16 && loaded >= wanted) return std::nullopt;
    const std::string header = std::to_string(CLERK_VERSION_MAJOR) + "." + std::to_string(CLERK_VERSION_MINOR) + "." +
                               std::to_string(CLERK_VERSION_PATCH);
    return make_error(CLERK_E_CONFIG, "libclerk_auth " + std::string(clerk_version()) + " (binary interface " +
                                              version_text(loaded) + ") is loaded, but this program was built for " +
                                              header + " (binary interface " + version_text(wanted) + ")");
}

template <class Range, class = void>
struct IsStringRange : std::false_type {};
template <class Range>
struct IsStringRange<Range, std::void_t<decltype(*std::begin(std::declval<const Range &>()))>>
    : std::is_convertible<decltype(*std::begin(std::declval<const Range &>())), std::string_view> {};

struct FreeConfig {
    void operator()(clerk_config *config) const noexcept { clerk_config_free(config); }
};

} // namespace detail

// Items of a list setting: `{"a", "b"}`, or any range of strings that outlives the call.
class List {
public:
    List() = default;
    List(std::initializer_list<std::string_view> items) : items_(items) {}
    template <class Range, class = std::enable_if_t<detail::IsStringRange<Range>::value>>
    List(const Range &range) : items_(std::begin(range), std::end(range)) {}

    std::vector<std::string_view>::const_iterator begin() const noexcept { return items_.begin(); }
    std::vector<std::string_view>::const_iterator end() const noexcept { return items_.end(); }

private:
    std::vector<std::string_view> items_;
};

// Settings to create clients from. A client copies them. Use it from one thread at a time.
//
// Setters do not throw. The first error is stored: `error()` returns it, the constructor of Client throws it, and
// Client::make returns it.
class Config {
public:
    Config() {
        error_ = detail::check_library_version();
        if (error_) return;
        config_.reset(clerk_config_new());
        if (config_ == nullptr) error_ = detail::take_error(CLERK_E_PANIC, nullptr);
    }

    // Sets a setting by its name in the settings table.
    Config &set(std::string_view name, std::string_view value) {
        return setting(name, [&](clerk_error **error) {
            return clerk_config_set(config_.get(), detail::to_c(name), detail::to_c(value), error);
        });
    }
    Config &set_int(std::string_view name, int64_t value) {
        return setting(name, [&](clerk_error **error) {
            return clerk_config_set_int(config_.get(), detail::to_c(name), value, error);
        });
    }
    // Appends one item to a list setting.
    Config &add(std::string_view name, std::string_view item) {
        return setting(name, [&](clerk_error **error) {
            return clerk_config_add(config_.get(), detail::to_c(name), detail::to_c(item), error);
        });
    }
    // Sets every setting whose environment variable is set. Must not run while another thread calls `setenv`.
    Config &from_env() {
        return setting({}, [&](clerk_error **error) { return clerk_config_from_env(config_.get(), error); });
    }

    // Settings. Generated from src/config/settings.rs by `make generate`; do not edit.

    // Clerk's secret key (`sk_live_…`); fetches signing keys and users.
    Config &secret_key(std::string_view value) { return set("secret_key", value); }
    // Publishable key (`pk_live_…`); selects this instance's own suffixed session cookie.
    Config &publishable_key(std::string_view value) { return set("publishable_key", value); }
    // Public key for verification without network: PEM (also with escaped or missing line breaks), bare base64, JWK
    // or JWK set.
    Config &jwt_key(std::string_view value) { return set("jwt_key", value); }
    // Machine secret key; verifies opaque M2M tokens granted to that machine, instead of the secret key.
    Config &machine_secret_key(std::string_view value) { return set("machine_secret_key", value); }
    // JWK set as a JSON string, for a start without network.
    Config &jwks(std::string_view value) { return set("jwks", value); }
    // Public URL of the JWK set (`https://<frontend API>/.well-known/jwks.json`), fetched without the secret key.
    Config &jwks_url(std::string_view value) { return set("jwks_url", value); }
    // Token types that are accepted; machine tokens in the `Authorization` header only.
    Config &accepts_token(std::initializer_list<TokenKind> kinds) { return token_kinds("accepts_token", kinds); }
    // Origins of which `azp` must be one, compared exactly; empty: not checked.
    Config &authorized_parties(const List &items) { return list("authorized_parties", items); }
    // `accept`: a token without `azp` passes `authorized_parties`, as Clerk issues them for navigations without an
    // `Origin` and to servers; a wrong or empty `azp` is rejected all the same.
    Config &authorized_parties_missing(AuthorizedPartiesMissing value) { return set("authorized_parties_missing", name(value)); }
    // Audiences of which `aud` must contain one; empty: not checked.
    Config &audience(const List &items) { return list("audience", items); }
    // Issuers of which `iss` must be one; empty: not checked.
    Config &issuer(const List &items) { return list("issuer", items); }
    // Machine (`mch_…`) that an M2M token must be scoped to.
    Config &expected_machine_id(std::string_view value) { return set("expected_machine_id", value); }
    // Tolerated difference between this clock and Clerk's.
    Config &clock_skew_ms(Milliseconds value) { return set_int("clock_skew_ms", value.count()); }
    // Reject sessions with pending tasks (choosing an organization, setting up MFA).
    Config &treat_pending_as_signed_out(bool value) { return set_int("treat_pending_as_signed_out", value ? 1 : 0); }
    // Accept an `Authorization` value that is a bare token, without `Bearer`.
    Config &allow_bare_token(bool value) { return set_int("allow_bare_token", value ? 1 : 0); }
    // Check the `__client_uat` cookie too, so that signing out takes effect before the token expires.
    Config &check_client_uat(bool value) { return set_int("check_client_uat", value ? 1 : 0); }
    // Read the suffixed session cookie only, not `__session`, which sites on sibling domains may set as well; needs
    // `publishable_key`.
    Config &require_suffixed_cookie(bool value) { return set_int("require_suffixed_cookie", value ? 1 : 0); }
    // `check`: a cookie on a method other than GET, HEAD, OPTIONS and TRACE needs a `Sec-Fetch-Site` or `Origin`
    // that shows the request's own origin or one of `authorized_parties`.
    Config &csrf(Csrf value) { return set("csrf", name(value)); }
    // How long a session check (a request to Clerk whether the session is active) is cached; 0: no session checks.
    Config &session_check_ttl_s(std::chrono::seconds value) { return set_int("session_check_ttl_s", value.count()); }
    // Read tokens from the `Authorization` header only, never from a cookie; not together with `handshake`,
    // `check_client_uat` or `require_suffixed_cookie`, which read cookies.
    Config &ignore_cookies(bool value) { return set_int("ignore_cookies", value ? 1 : 0); }
    // How long a verified token is cached, at most until it expires; 0: not cached.
    Config &cache_ttl_s(std::chrono::seconds value) { return set_int("cache_ttl_s", value.count()); }
    // How many verified tokens, and how many users, are cached.
    Config &cache_capacity(int64_t value) { return set_int("cache_capacity", value); }
    // How long a verified opaque machine token is cached; 0: not cached, so that revoking it takes effect at once.
    Config &machine_cache_ttl_s(std::chrono::seconds value) { return set_int("machine_cache_ttl_s", value.count()); }
    // How long a fetched user is fresh; 0: fetched for each new token.
    Config &user_ttl_s(std::chrono::seconds value) { return set_int("user_ttl_s", value.count()); }
    // How old a fetched user may be when Clerk is unavailable (stale-if-error); 0: stale users are not used.
    Config &user_stale_if_error_s(std::chrono::seconds value) { return set_int("user_stale_if_error_s", value.count()); }
    // How long a row check (the user's row exists and is active) is cached, and so how late a change of the row by
    // the application may take effect; 0: the store is queried for each request, so that `clerk_authenticate_cached`
    // never has a result.
    Config &row_check_ttl_s(std::chrono::seconds value) { return set_int("row_check_ttl_s", value.count()); }
    // URL of the cache that processes share: `redis://`, `rediss://` (TLS), `redis+sentinel://host,host/master` or
    // `redis+cluster://host,host`, with `user:password@` before the host if needed; unset: none.
    Config &shared_cache(std::string_view value) { return set("shared_cache", value); }
    // Secret that the entries of the shared cache are sealed with, at least 32 characters; two while it is rotated,
    // of which the first seals; needs `publishable_key`, which names the instance; unset: `secret_key`.
    Config &shared_cache_secret(const List &items) { return list("shared_cache_secret", items); }
    // Certificates (PEM) to trust for `rediss://` instead of the system's.
    Config &shared_cache_ca_pem(std::string_view value) { return set("shared_cache_ca_pem", value); }
    // Whether requests that need the shared cache, and webhooks that revoke tokens, get 503 without it, and no
    // client is created; `false`: the process goes on with its own caches.
    Config &shared_cache_required(bool value) { return set_int("shared_cache_required", value ? 1 : 0); }
    // How many users a process fetches from Clerk per second where no other process is known not to fetch them as
    // well: without a shared cache, while it cannot be used, or for as long afterwards; 0: not limited.
    Config &clerk_calls_per_s(int64_t value) { return set_int("clerk_calls_per_s", value); }
    // `claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the application's own row; unset: `sync`
    // with a user store, else `claims`.
    Config &user_mode(UserMode value) { return set("user_mode", name(value)); }
    // Ready-made user table, instead of a user store: `sqlite:path`, `postgres://user:password@host/database` or
    // `mysql://user:password@host/database` (MySQL, MariaDB).
    Config &database(std::string_view value) { return set("database", value); }
    // Whether a row without a Clerk id is linked by an address that Clerk has verified.
    Config &link_by_email(LinkByEmail value) { return set("link_by_email", name(value)); }
    // Accept a user's API keys and OAuth tokens without the Clerk user and the row; a deactivated row, or a ban of
    // which no webhook was received, then does not reject them.
    Config &machine_tokens_skip_user(bool value) { return set_int("machine_tokens_skip_user", value ? 1 : 0); }
    // Reject a new Clerk user whose verified address is in a row that the application deactivated.
    Config &block_deactivated_email(bool value) { return set_int("block_deactivated_email", value ? 1 : 0); }
    // Deactivate the row of a user that Clerk has deleted when the webhook `user.deleted` arrives, as the
    // application would: nothing activates it again; needs `user_mode` `sync` and columns for the Clerk id and
    // `is_active`.
    Config &deactivate_deleted_users(bool value) { return set_int("deactivate_deleted_users", value ? 1 : 0); }
    // Base URL of the Backend API, with or without `/v1`, for every call; `http` only on loopback.
    Config &api_url(std::string_view value) { return set("api_url", value); }
    // Time limit of a call to Clerk, with all retries: name lookup, connection, TLS, response.
    Config &timeout_ms(Milliseconds value) { return set_int("timeout_ms", value.count()); }
    // Certificates (PEM) to trust instead of the system's.
    Config &ca_pem(std::string_view value) { return set("ca_pem", value); }
    // HTTP proxy for calls to Clerk; proxy variables of the environment are ignored.
    Config &proxy(std::string_view value) { return set("proxy", value); }
    // `User-Agent` of calls to Clerk; unset: `clerk-auth@<version>`.
    Config &user_agent(std::string_view value) { return set("user_agent", value); }
    // Signing secrets of webhook endpoints (`whsec_…`), several during rotation.
    Config &webhook_secrets(const List &items) { return list("webhook_secrets", items); }
    // Id of the Clerk instance (`ins_…`); webhooks of other instances are ignored.
    Config &instance_id(std::string_view value) { return set("instance_id", value); }
    // How long ended sessions and deleted users are rejected after a webhook; must be at least the lifetime of a
    // session token.
    Config &revocation_ttl_s(std::chrono::seconds value) { return set_int("revocation_ttl_s", value.count()); }
    // `on`: a document request with a stale session cookie is redirected to Clerk and comes back signed in; needs
    // `publishable_key` and `secret_key`.
    Config &handshake(Handshake value) { return set("handshake", name(value)); }
    // With `handshake`: renew an expired session with its refresh cookie, without a redirect.
    Config &refresh(bool value) { return set_int("refresh", value ? 1 : 0); }
    // Origins under which browsers reach the application (`https://app.example.com`), compared exactly; empty:
    // `authorized_parties`. With neither, any host of a request counts.
    Config &public_origin(const List &items) { return list("public_origin", items); }
    // Read the host and the scheme of the public URL from `X-Forwarded-Host` and `X-Forwarded-Proto`; only behind a
    // proxy that sets or removes both.
    Config &trust_forwarded(bool value) { return set_int("trust_forwarded", value ? 1 : 0); }
    // URL of a proxy in front of Clerk's Frontend API, or its path on the application's own origin, such as
    // `/__clerk`.
    Config &proxy_url(std::string_view value) { return set("proxy_url", value); }
    // Domain of this application if it is a satellite, such as `satellite.example.net`.
    Config &domain(std::string_view value) { return set("domain", value); }
    // Whether the application is a satellite: it shares the sessions of a primary application on another domain.
    Config &is_satellite(bool value) { return set_int("is_satellite", value ? 1 : 0); }
    // URL of the primary application's sign-in page; needed by a satellite of a development instance.
    Config &sign_in_url(std::string_view value) { return set("sign_in_url", value); }
    // Whether a satellite asks the primary domain about visitors without cookies at their first request.
    Config &satellite_auto_sync(bool value) { return set_int("satellite_auto_sync", value ? 1 : 0); }
    // Origins of satellites to which the primary application of a development instance passes sessions on.
    Config &satellite_origins(const List &items) { return list("satellite_origins", items); }
    // `development`: production instances read the response of a handshake from cookies only; `always`: from the
    // query too.
    Config &handshake_query(HandshakeQuery value) { return set("handshake_query", name(value)); }
    // Pass the stale session token to Clerk in the redirect, so that it can be renewed even during an outage there.
    Config &handshake_send_session(bool value) { return set_int("handshake_send_session", value ? 1 : 0); }
    // Redirect a visitor who follows a link from another site to Clerk once; only for applications on several
    // domains.
    Config &cross_origin_sync(bool value) { return set_int("cross_origin_sync", value ? 1 : 0); }
    // Paths that belong to an organization, such as `/orgs/:slug` or `/orgs/:slug/(.*)`.
    Config &organization_patterns(const List &items) { return list("organization_patterns", items); }
    // Paths that belong to the personal account, such as `/me` or `/me/(.*)`.
    Config &personal_account_patterns(const List &items) { return list("personal_account_patterns", items); }

    // End of the generated settings.

    // Sets the event callback, `function(const Event &)`. An exception it throws has no effect on the call;
    // Result::listener_exception returns it.
    template <class Function, class = std::enable_if_t<std::is_invocable_v<std::decay_t<Function> &, const Event &>>>
    Config &on_event(Function &&function) {
        if (error_) return *this;
        using Stored = detail::Callback<std::decay_t<Function>>;
        const clerk_event_fn callback = [](void *userdata, const clerk_event *event) noexcept {
            detail::call_listener([&] { Stored::of(userdata)(Event(event)); });
        };
        return set_callback(clerk_config_set_event_callback(config_.get(), callback, detail::make_callback(std::forward<Function>(function)),
                                            Stored::destroy));
    }

    // Sets the log callback, `function(LogLevel, std::string_view)`, for messages at `level` or above.
    template <class Function,
              class = std::enable_if_t<std::is_invocable_v<std::decay_t<Function> &, LogLevel, std::string_view>>>
    Config &on_log(LogLevel level, Function &&function) {
        if (error_) return *this;
        using Stored = detail::Callback<std::decay_t<Function>>;
        const clerk_log_fn callback = [](void *userdata, int32_t message_level, clerk_str message) noexcept {
            const std::string_view line(message.data, message.len);
            detail::call_listener([&] { Stored::of(userdata)(static_cast<LogLevel>(message_level), line); });
        };
        return set_callback(clerk_config_set_log_callback(config_.get(), detail::number(level), callback,
                                          detail::make_callback(std::forward<Function>(function)), Stored::destroy));
    }

    // Sets the clock callback, `function()` returning a std::chrono::system_clock::time_point; for tests. If it throws, the
    // call fails.
    template <class Function,
              class = std::enable_if_t<std::is_convertible_v<std::invoke_result_t<std::decay_t<Function> &>,
                                                             std::chrono::system_clock::time_point>>>
    Config &on_clock(Function &&function) {
        if (error_) return *this;
        using Stored = detail::Callback<std::decay_t<Function>>;
        const clerk_clock_fn callback = [](void *userdata) noexcept {
            return detail::call_clock([&] {
                const std::chrono::system_clock::time_point now = Stored::of(userdata)();
                return int64_t{std::chrono::floor<Milliseconds>(now).time_since_epoch().count()};
            });
        };
        return set_callback(clerk_config_set_clock_callback(config_.get(), callback, detail::make_callback(std::forward<Function>(function)),
                                            Stored::destroy));
    }

    // Sets the user store callback, `function(const StoreRequest &, StoreResponse &)`.
    template <class Function,
              class = std::enable_if_t<std::is_invocable_v<std::decay_t<Function> &, const StoreRequest &, StoreResponse &>>>
    Config &user_store(Function &&function) {
        if (error_) return *this;
        using Stored = detail::Callback<std::decay_t<Function>>;
        const clerk_user_store_fn callback = [](void *userdata, const clerk_store_request *request, clerk_store_response *response) noexcept {
            StoreResponse filled(response, detail::CallScope::current());
            return run_store(Stored::of(userdata), request, filled);
        };
        return set_callback(clerk_config_set_user_store(config_.get(), callback, detail::make_callback(std::forward<Function>(function)),
                                                 Stored::destroy));
    }

    // Sets the user store; the config and its clients share ownership. Null removes it.
    Config &user_store(std::shared_ptr<UserStore> store) {
        if (error_) return *this;
        if (store == nullptr) return set_callback(clerk_config_set_user_store(config_.get(), nullptr, nullptr, nullptr));
        return user_store(
            [store = std::move(store)](const StoreRequest &request, StoreResponse &response) { store->execute(request, response); });
    }

    // Declares which columns the application's table has. Default: all but Column::clerk_updated_at_ms.
    Config &user_columns(std::initializer_list<Column> columns) {
        if (error_) return *this;
        uint32_t bits = 0;
        for (const Column column : columns) bits |= uint32_t{1} << detail::number(column);
        return record_status("user_columns", clerk_config_set_user_columns(config_.get(), bits), nullptr);
    }

    // Sets the maximum length of a string column in characters; 0 means no limit.
    Config &user_column_length(Column column, uint32_t characters) {
        if (error_) return *this;
        const int32_t status = clerk_config_set_user_column_length(config_.get(), detail::number(column), characters);
        return record_status("user_column_length", status, nullptr);
    }

    // Uses the built-in user table in the SQLite file at `path`, creating it if it does not exist.
    Config &sqlite_path(std::string_view path) {
        return setting("sqlite", [&](clerk_error **error) {
            return clerk_config_set_sqlite_path(config_.get(), detail::to_c(path), error);
        });
    }

    // Copies the SQLite database at `path`, which may be in use, into a new file. An Error if there is none, if `destination`
    // exists, or if the copy cannot be written.
    static std::optional<Error> sqlite_backup(std::string_view path, std::string_view destination) {
        clerk_error *error = nullptr;
        const int32_t status = clerk_sqlite_backup(detail::to_c(path), detail::to_c(destination), &error);
        if (status == CLERK_OK) return std::nullopt;
        return detail::take_error(status, error);
    }

    // Returns the first error so far.
    const std::optional<Error> &error() const noexcept { return error_; }

    const clerk_config *native() const noexcept { return config_.get(); }

private:
    template <class Set>
    Config &setting(std::string_view name, Set &&set) {
        clerk_error *error = nullptr;
        if (error_) return *this;
        const int32_t status = set(&error);
        return record_status(name, status, error);
    }

    Config &list(std::string_view name, const List &items) {
        set(name, "");
        for (const std::string_view item : items) add(name, item);
        return *this;
    }

    Config &token_kinds(std::string_view name, std::initializer_list<TokenKind> kinds) {
        std::string message;
        for (const TokenKind kind : kinds) message.append(message.empty() ? "" : ",").append(clerk::name(kind));
        return set(name, message);
    }

    Config &set_callback(int32_t status) { return record_status({}, status, nullptr); }

    Config &record_status(std::string_view name, int32_t status, clerk_error *error) {
        detail::ErrorHandle handle(error);
        if (status == CLERK_OK || error_) return *this;
        if (handle != nullptr && clerk_error_setting(handle.get()).data != nullptr)
            error_ = detail::take_error(status, handle.release());
        else
            error_ = detail::make_error(
                status, std::string(name) + ": " + (handle != nullptr ? clerk_error_message(handle.get()).data : clerk_status_name(status)),
                std::string(name));
        return *this;
    }

    std::unique_ptr<clerk_config, detail::FreeConfig> config_;
    std::optional<Error> error_;
};

CLERK_AUTH_NAMESPACE_END

#endif
