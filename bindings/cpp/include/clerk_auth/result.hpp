// The result of an authentication.
#ifndef CLERK_AUTH_RESULT_HPP
#define CLERK_AUTH_RESULT_HPP

#include "callbacks.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// Time since each factor was verified; empty for a factor that never was.
struct FactorVerificationAge {
    std::optional<std::chrono::minutes> first;
    std::optional<std::chrono::minutes> second;
};

// An immutable result. Any thread may read it. Its string views are valid while it exists, even after the client is closed.
// Movable; use a std::shared_ptr to share it. A moved-from result is Outcome::unavailable.
class [[nodiscard]] Result {
public:
    Result(Result &&) noexcept = default;
    Result &operator=(Result &&) noexcept = default;

    Outcome outcome() const noexcept {
        switch (clerk_result_status(handle_.get())) {
        case CLERK_OK:
            return Outcome::signed_in;
        case CLERK_SIGNED_OUT:
            return Outcome::signed_out;
        case CLERK_NO_CREDENTIALS:
            return Outcome::no_credentials;
        default:
            return Outcome::unavailable;
        }
    }
    bool signed_in() const noexcept { return clerk_result_status(handle_.get()) == CLERK_OK; }
    template <class Bool, class = detail::EnableIfBool<Bool>>
    explicit operator Bool() const noexcept {
        static_assert(detail::always_false<Bool>, "check signed_in()");
        return false;
    }

    // Returns why the request is not signed in.
    std::optional<Reason> reason() const noexcept {
        const int32_t reason = clerk_result_reason(handle_.get());
        return reason == 0 ? std::nullopt : std::optional<Reason>(static_cast<Reason>(reason));
    }
    // Returns the name of the reason, such as "token-expired", or "" if signed in. Static.
    std::string_view reason_name() const noexcept { return clerk_result_reason_name(handle_.get()); }
    // Returns the name that may be sent to the client: the reason, or only its category for server-side failures.
    std::string_view public_reason() const noexcept {
        return clerk_result_public_reason(handle_.get());
    }
    // Returns the category of the reason.
    std::optional<Category> category() const noexcept {
        const std::optional<Reason> why = reason();
        return why ? std::optional<Category>(category_of(*why)) : std::nullopt;
    }

    // Returns the HTTP status for this result: 200, 401, 403, 500 or 503; 307 with a redirect().
    int http_status() const noexcept { return clerk_result_http_status(handle_.get()); }
    // Returns the time for `Retry-After`, if known.
    std::optional<Milliseconds> retry_after() const noexcept {
        return detail::from_c_ms(clerk_result_retry_after_ms(handle_.get()));
    }
    // Returns the value of `WWW-Authenticate` (RFC 6750 section 3) for a 401 or 403.
    std::optional<std::string> www_authenticate(std::string_view realm = {}) const {
        return copied([&](char *buffer, std::size_t capacity, std::size_t *needed) {
            return clerk_result_www_authenticate(handle_.get(), detail::to_c(realm), buffer, capacity, needed);
        });
    }
    // Returns whether a redirect to Clerk's Frontend API could restore this browser's session (a handshake).
    bool handshake_recommended() const noexcept { return clerk_result_handshake_recommended(handle_.get()) == 1; }
    // Returns whether the request showed no token, so that an application that serves anonymous requests may serve this one;
    // with the setting `handshake` on also where no session cookie was read. Such a request may have a redirect.
    bool is_anonymous() const noexcept { return clerk_result_is_anonymous(handle_.get()) == 1; }

    // Returns the `Location` of a 307, with the setting `handshake` on. To be looked at before the outcome: a signed-in
    // request may be redirected, too. Do not log it.
    std::optional<std::string_view> redirect() const &noexcept {
        clerk_str url{};
        return clerk_result_redirect(handle_.get(), &url) == CLERK_OK ? detail::from_c(url) : std::nullopt;
    }
    std::optional<std::string_view> redirect() const && = delete;
    // Returns the `Set-Cookie` lines of the response, whatever the outcome: add each by itself, in this order.
    std::vector<std::string_view> set_cookies() const & {
        std::vector<std::string_view> lines(clerk_result_set_cookie_count(handle_.get()));
        for (std::size_t i = 0; i < lines.size(); ++i) {
            clerk_str line{};
            if (clerk_result_set_cookie(handle_.get(), i, &line) == CLERK_OK) lines[i] = *detail::from_c(line);
        }
        return lines;
    }
    std::vector<std::string_view> set_cookies() const && = delete;
    // Returns the value of a `Cache-Control` line: "no-store" with a redirect or cookies. Static.
    std::optional<std::string_view> cache_control() const noexcept {
        clerk_str value{};
        return clerk_result_cache_control(handle_.get(), &value) == CLERK_OK ? detail::from_c(value) : std::nullopt;
    }

    // Returns whether the token was verified now or before, if signed in.
    std::optional<Source> source() const noexcept {
        const int32_t source = clerk_result_source(handle_.get());
        return source == 0 ? std::nullopt : std::optional<Source>(static_cast<Source>(source));
    }
    std::optional<TokenKind> token_type() const noexcept {
        const int32_t kind = clerk_result_token_kind(handle_.get());
        return kind == 0 ? std::nullopt : std::optional<TokenKind>(static_cast<TokenKind>(kind));
    }

    // --- attributes: views into this result, which must be a named object -------------------------------------------

    using View = std::optional<std::string_view>;

    // Returns the Clerk user id, `user_…`; empty for machines.
    View user_id() const &noexcept { return detail::from_c(clerk_result_user_id(handle_.get())); }
    View user_id() const && = delete;
    // Returns the application's key of the user's row, in `sync` mode.
    View user_key() const &noexcept { return detail::from_c(clerk_result_user_key(handle_.get())); }
    View user_key() const && = delete;
    // The hash of the token, as events have it. Also if the request is not signed in.
    View token_hash() const &noexcept { return detail::from_c(clerk_result_token_hash(handle_.get())); }
    View token_hash() const && = delete;
    View session_id() const &noexcept { return detail::from_c(clerk_result_session_id(handle_.get())); }
    View session_id() const && = delete;
    // Returns all claims as JSON.
    View session_claims() const &noexcept { return detail::from_c(clerk_result_claims_json(handle_.get())); }
    View session_claims() const && = delete;
    View org_id() const &noexcept { return get(Attribute::org_id); }
    View org_id() const && = delete;
    View org_slug() const &noexcept { return get(Attribute::org_slug); }
    View org_slug() const && = delete;
    // Returns the role with the prefix `org:`.
    View org_role() const &noexcept { return get(Attribute::org_role); }
    View org_role() const && = delete;

    std::vector<std::string_view> org_permissions() const & {
        std::vector<std::string_view> all;
        std::string_view rest = get(Attribute::org_permissions).value_or(std::string_view());
        while (!rest.empty()) {
            const std::size_t comma = rest.find(',');
            all.push_back(rest.substr(0, comma));
            rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
        }
        return all;
    }
    std::vector<std::string_view> org_permissions() const && = delete;

    // Returns an attribute.
    View get(Attribute which) const &noexcept {
        return detail::from_c(clerk_result_get(handle_.get(), detail::number(which)));
    }
    View get(Attribute which) const && = delete;

    // Returns one claim as JSON. `path` is a claim name or a JSON Pointer (RFC 6901) such as `/o/id`.
    std::optional<std::string> claim(std::string_view path) const {
        return copied([&](char *buffer, std::size_t capacity, std::size_t *needed) {
            return clerk_result_claim(handle_.get(), detail::to_c(path), buffer, capacity, needed);
        });
    }

    // Returns when the token expires.
    std::optional<Time> expires_at() const noexcept {
        const int64_t ms = clerk_result_expires_at_ms(handle_.get());
        return ms == 0 ? std::nullopt : std::optional<Time>(Time(Milliseconds(ms)));
    }

    std::optional<FactorVerificationAge> factor_verification_age() const noexcept {
        int64_t first = -1, second = -1;
        if (clerk_result_factor_verification_age(handle_.get(), &first, &second) != 1) return std::nullopt;
        const auto age = [](int64_t minutes) {
            return minutes < 0 ? std::nullopt : std::optional<std::chrono::minutes>(minutes);
        };
        return FactorVerificationAge{age(first), age(second)};
    }

    // Returns whether the session has a role, permission, feature, plan or recent verification. Join several with `&&`.
    bool has(Check dimension, std::string_view value) const noexcept {
        return clerk_result_has(handle_.get(), detail::number(dimension), detail::to_c(value)) == 1;
    }
    bool has_role(std::string_view role) const noexcept { return has(Check::role, role); }
    bool has_permission(std::string_view permission) const noexcept { return has(Check::permission, permission); }
    bool has_feature(std::string_view feature) const noexcept { return has(Check::feature, feature); }
    bool has_plan(std::string_view plan) const noexcept { return has(Check::plan, plan); }

    // --- other outcomes of the call ----------------------------------------------------------------------------------

    // Returns the application's object for the user's row, as the user store returned it during this call; for a cached result,
    // for which the store was not called (`row_check_ttl_s`), as it returned it last. Null if it returned none or one of another
    // type. Cached results share the object: it must not be changed without a lock.
    template <class T>
    std::shared_ptr<T> local_user() const noexcept {
        if (details_ == nullptr || details_->row_type != &detail::type_tag<T>) return nullptr;
        return std::static_pointer_cast<T>(details_->row);
    }

    // Returns the underlying error of Outcome::unavailable; its cause if a callback threw.
    std::optional<Error> error() const noexcept { return details_ != nullptr ? details_->error : std::nullopt; }

    // Returns what an event or log callback threw during the call. It had no other effect.
    std::exception_ptr listener_exception() const noexcept { return details_ != nullptr ? details_->listener : nullptr; }

    const clerk_result *native() const &noexcept { return handle_.get(); }
    const clerk_result *native() const && = delete;

private:
    friend Expected<Result> make_result(int32_t status, clerk_result *result, clerk_error *error, detail::CallState &state);

    struct Free {
        void operator()(clerk_result *result) const noexcept { clerk_result_free(result); }
    };
    // Allocated only when set; a cached result has none.
    struct Details {
        std::optional<Error> error;
        std::exception_ptr listener;
        std::shared_ptr<void> row;
        const void *row_type = nullptr;
    };

    explicit Result(clerk_result *result) noexcept : handle_(result) {}

    static Category category_of(Reason reason) noexcept {
        return static_cast<Category>(clerk_reason_category(detail::number(reason)));
    }

    template <class Copy>
    static std::optional<std::string> copied(Copy &&copy) {
        std::size_t needed = 0;
        if (copy(nullptr, 0, &needed) != CLERK_E_ARGUMENT || needed == 0) return std::nullopt;
        std::string text(needed, '\0');
        // A std::string has room for the terminating NUL.
        if (copy(text.data(), needed + 1, &needed) != CLERK_OK) return std::nullopt;
        return text;
    }

    std::unique_ptr<clerk_result, Free> handle_;
    std::unique_ptr<const Details> details_;
};

// Converts the result of a C function to a Result or an Error. Takes ownership of both.
inline Expected<Result> make_result(int32_t status, clerk_result *given, clerk_error *given_error, detail::CallState &state) {
    Result result(given);
    const bool has_cached_rows = state.cache != nullptr && !state.cache->is_empty();
    if (given != nullptr && given_error == nullptr && state.is_empty() && !(has_cached_rows && result.user_key()))
        return result;
    detail::ErrorHandle error(given_error);
    // The result was computed with a wrong time.
    if (state.clock) return detail::make_error(CLERK_E_STATE, "the clock callback threw", {}, state.clock);
    if (given == nullptr) return detail::take_error(status, error.release(), state.store);

    auto details = std::make_unique<Result::Details>();
    if (error != nullptr) details->error = detail::take_error(status, error.release(), state.store);
    details->listener = state.listener;
    const std::optional<std::string_view> key = result.user_key();
    const detail::RowObject *own = nullptr;
    for (const detail::RowObject &row : state.rows) {
        if (key == row.key) own = &row;
    }
    if (own != nullptr && state.cache != nullptr) state.cache->put(*own);
    const detail::RowObject cached = own == nullptr && key && has_cached_rows ? state.cache->get(*key) : detail::RowObject();
    details->row = own != nullptr ? own->object : cached.object;
    details->row_type = own != nullptr ? own->type : cached.type;
    result.details_ = std::move(details);
    return result;
}

CLERK_AUTH_NAMESPACE_END

#endif
