// An answer: who is calling, or why nobody can be let in.
#ifndef CLERK_AUTH_RESULT_HPP
#define CLERK_AUTH_RESULT_HPP

#include "callbacks.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// How long ago the factors were verified; a factor that never was is not there.
struct FactorVerificationAge {
    std::optional<std::chrono::minutes> first;
    std::optional<std::chrono::minutes> second;
};

// An immutable snapshot that any thread may read. Its views live as long as it does, whatever becomes of the client.
// Movable; to share it, put it into a std::shared_ptr. One that was moved from answers as Outcome::unavailable.
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
    bool is_authenticated() const noexcept { return signed_in(); }
    // `if (result)` lets in whoever is signed in, and nobody else.
    explicit operator bool() const noexcept { return signed_in(); }

    // Why nobody is signed in.
    std::optional<Reason> reason() const noexcept {
        const int32_t reason = clerk_result_reason(handle_.get());
        return reason == 0 ? std::nullopt : std::optional<Reason>(static_cast<Reason>(reason));
    }
    // Static, such as "token-expired"; "" when somebody is signed in.
    std::string_view reason_name() const noexcept { return clerk_result_reason_name(handle_.get()); }
    // What a caller may be told of it: of trouble on the server's side, only what kind it is.
    std::string_view public_reason() const noexcept {
        return http_status() < 500 ? reason_name() : name(category().value_or(Category::unavailable));
    }
    // What kind of trouble the reason is.
    std::optional<Category> category() const noexcept {
        const std::optional<Reason> why = reason();
        return why ? std::optional<Category>(category_of(*why)) : std::nullopt;
    }

    // The HTTP status that fits: 200, 401, 403, 500 or 503.
    int http_status() const noexcept { return clerk_result_http_status(handle_.get()); }
    // For `Retry-After`.
    std::optional<Milliseconds> retry_after() const noexcept {
        return detail::from_c_ms(clerk_result_retry_after_ms(handle_.get()));
    }
    // The value of a `WWW-Authenticate` line, for a 401 or 403.
    std::optional<std::string> www_authenticate(std::string_view realm = {}) const {
        return copied([&](char *buffer, std::size_t capacity, std::size_t *needed) {
            return clerk_result_www_authenticate(handle_.get(), detail::to_c(realm), buffer, capacity, needed);
        });
    }
    // Whether Clerk's own front-end libraries would send this browser to Clerk and back to settle its session.
    bool handshake_recommended() const noexcept { return clerk_result_handshake_recommended(handle_.get()) == 1; }

    // Where the answer came from, when somebody is signed in.
    std::optional<Source> source() const noexcept {
        const int32_t source = clerk_result_source(handle_.get());
        return source == 0 ? std::nullopt : std::optional<Source>(static_cast<Source>(source));
    }
    std::optional<TokenKind> token_type() const noexcept {
        const int32_t kind = clerk_result_token_kind(handle_.get());
        return kind == 0 ? std::nullopt : std::optional<TokenKind>(static_cast<TokenKind>(kind));
    }

    // --- who it is: views into this result, which therefore has to have a name --------------------------------------

    using View = std::optional<std::string_view>;

    // Clerk's id of the user; not there for machines.
    View user_id() const &noexcept { return detail::from_c(clerk_result_user_id(handle_.get())); }
    View user_id() const && = delete;
    // The host's own key of the user's row, in `sync` mode.
    View user_key() const &noexcept { return detail::from_c(clerk_result_user_key(handle_.get())); }
    View user_key() const && = delete;
    View session_id() const &noexcept { return detail::from_c(clerk_result_session_id(handle_.get())); }
    View session_id() const && = delete;
    // All claims as JSON.
    View session_claims() const &noexcept { return detail::from_c(clerk_result_claims_json(handle_.get())); }
    View session_claims() const && = delete;
    View org_id() const &noexcept { return text(Attribute::org_id); }
    View org_id() const && = delete;
    View org_slug() const &noexcept { return text(Attribute::org_slug); }
    View org_slug() const && = delete;
    // With the prefix `org:`.
    View org_role() const &noexcept { return text(Attribute::org_role); }
    View org_role() const && = delete;

    std::vector<std::string_view> org_permissions() const & {
        std::vector<std::string_view> all;
        std::string_view rest = text(Attribute::org_permissions).value_or(std::string_view());
        while (!rest.empty()) {
            const std::size_t comma = rest.find(',');
            all.push_back(rest.substr(0, comma));
            rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
        }
        return all;
    }
    std::vector<std::string_view> org_permissions() const && = delete;

    // Any of the identity's texts.
    View text(Attribute which) const &noexcept {
        return detail::from_c(clerk_result_get(handle_.get(), detail::number(which)));
    }
    View text(Attribute which) const && = delete;

    // One claim as JSON; `path` is a claim's name, or a JSON Pointer (RFC 6901) such as `/o/id`.
    std::optional<std::string> claim(std::string_view path) const {
        return copied([&](char *buffer, std::size_t capacity, std::size_t *needed) {
            return clerk_result_claim(handle_.get(), detail::to_c(path), buffer, capacity, needed);
        });
    }

    // The end of the token.
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

    // Whether the session holds something; several demands are several calls joined by `&&`.
    bool has(Check dimension, std::string_view value) const noexcept {
        return clerk_result_has(handle_.get(), detail::number(dimension), detail::to_c(value)) == 1;
    }
    bool has_role(std::string_view role) const noexcept { return has(Check::role, role); }
    bool has_permission(std::string_view permission) const noexcept { return has(Check::permission, permission); }
    bool has_feature(std::string_view feature) const noexcept { return has(Check::feature, feature); }
    bool has_plan(std::string_view plan) const noexcept { return has(Check::plan, plan); }

    // --- what else came of the call ----------------------------------------------------------------------------------

    // The host's own object for the user's row, as the user store gave it during this call; null if it was not asked
    // (`row_check_ttl_s`) or gave one of another type.
    template <class T>
    std::shared_ptr<T> local_user() const noexcept {
        if (extras_ == nullptr || extras_->row_type != &detail::type_tag<T>) return nullptr;
        return std::static_pointer_cast<T>(extras_->row);
    }

    // What stands behind Outcome::unavailable, with the cause if it was a hook.
    std::optional<Error> error() const noexcept { return extras_ != nullptr ? extras_->error : std::nullopt; }

    // What an event or log hook threw during the call; it changed nothing.
    std::exception_ptr listener_exception() const noexcept { return extras_ != nullptr ? extras_->listener : nullptr; }

    const clerk_result *native() const &noexcept { return handle_.get(); }
    const clerk_result *native() const && = delete;

private:
    friend Expected<Result> make_result(int32_t status, clerk_result *result, clerk_error *error, detail::CallState &notes);

    struct Free {
        void operator()(clerk_result *result) const noexcept { clerk_result_free(result); }
    };
    // What is seldom there; a remembered answer has none and costs no memory.
    struct Extras {
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
        // A string has room for the NUL behind it.
        if (copy(text.data(), needed + 1, &needed) != CLERK_OK) return std::nullopt;
        return text;
    }

    std::unique_ptr<clerk_result, Free> handle_;
    std::unique_ptr<const Extras> extras_;
};

// From what a verb of the C library has given to a result or an error. Takes both over.
inline Expected<Result> make_result(int32_t status, clerk_result *given, clerk_error *given_error, detail::CallState &notes) {
    Result result(given);
    if (given != nullptr && given_error == nullptr && notes.is_empty()) return result;
    detail::ErrorHandle error(given_error);
    // Whatever was answered, it was answered without knowing the time.
    if (notes.clock) return detail::make_error(CLERK_E_STATE, "the clock hook threw", {}, notes.clock);
    if (given == nullptr) return detail::take_error(status, error.release(), notes.store);

    auto extras = std::make_unique<Result::Extras>();
    if (error != nullptr) extras->error = detail::take_error(status, error.release(), notes.store);
    extras->listener = notes.listener;
    const std::optional<std::string_view> key = result.user_key();
    for (detail::RowObject &row : notes.rows) {
        if (key != row.key) continue;
        extras->row = row.object;
        extras->row_type = row.type;
    }
    result.extras_ = std::move(extras);
    return result;
}

CLERK_AUTH_NAMESPACE_END

#endif
