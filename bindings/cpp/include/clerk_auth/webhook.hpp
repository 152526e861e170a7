// The result of a webhook delivery.
#ifndef CLERK_AUTH_WEBHOOK_HPP
#define CLERK_AUTH_WEBHOOK_HPP

#include "callbacks.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

class [[nodiscard]] WebhookResult {
public:
    enum class Outcome : int32_t {
        applied = CLERK_OK,
        ignored = CLERK_WEBHOOK_IGNORED,
        rejected = CLERK_E_WEBHOOK,      // not signed by Clerk, too old, or not an event
        unavailable = CLERK_UNAVAILABLE, // the user store failed; Clerk retries
    };

    Outcome outcome() const noexcept { return outcome_; }
    // Returns the HTTP status to respond with.
    int http_status() const noexcept {
        return outcome_ == Outcome::rejected ? 400 : outcome_ == Outcome::unavailable ? 503 : 200;
    }
    // Returns the underlying error of `rejected` and `unavailable`.
    const std::optional<Error> &error() const noexcept { return error_; }

private:
    friend Expected<WebhookResult> make_webhook_result(int32_t status, clerk_error *error, const detail::CallState &state);
    explicit WebhookResult(int32_t status, std::optional<Error> error = std::nullopt)
        : outcome_(static_cast<Outcome>(status)), error_(error) {}

    Outcome outcome_;
    std::optional<Error> error_;
};

// Converts the result of a C function to a WebhookResult or an Error. Takes ownership of the error.
inline Expected<WebhookResult> make_webhook_result(int32_t status, clerk_error *given, const detail::CallState &state) {
    detail::ErrorHandle error(given);
    if (state.clock) return detail::make_error(CLERK_E_STATE, "the clock callback threw", {}, state.clock);
    switch (status) {
    case CLERK_OK:
    case CLERK_WEBHOOK_IGNORED:
        return WebhookResult(status);
    case CLERK_E_WEBHOOK:
    case CLERK_UNAVAILABLE:
        return WebhookResult(status, detail::take_error(status, error.release(), state.store));
    default:
        return detail::take_error(status, error.release(), state.store);
    }
}

CLERK_AUTH_NAMESPACE_END

#endif
