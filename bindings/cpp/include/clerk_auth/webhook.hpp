// What became of a webhook delivery.
#ifndef CLERK_AUTH_WEBHOOK_HPP
#define CLERK_AUTH_WEBHOOK_HPP

#include "callbacks.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

class [[nodiscard]] WebhookResult {
public:
    enum class Outcome : int32_t {
        applied = CLERK_OK,
        ignored = CLERK_WEBHOOK_IGNORED,
        rejected = CLERK_E_WEBHOOK,      // not Clerk's
        unavailable = CLERK_UNAVAILABLE, // the user store failed; Clerk delivers again
    };

    Outcome outcome() const noexcept { return outcome_; }
    // What to answer it with.
    int http_status() const noexcept {
        return outcome_ == Outcome::rejected ? 400 : outcome_ == Outcome::unavailable ? 503 : 200;
    }
    // What stands behind `rejected` and `unavailable`.
    const std::optional<Error> &error() const noexcept { return error_; }

private:
    friend Expected<WebhookResult> make_webhook_result(int32_t status, clerk_error *error, const detail::CallState &notes);
    explicit WebhookResult(int32_t status, std::optional<Error> error = std::nullopt)
        : outcome_(static_cast<Outcome>(status)), error_(error) {}

    Outcome outcome_;
    std::optional<Error> error_;
};

// From what the C library has given to a delivery or an error. Takes the error over.
inline Expected<WebhookResult> make_webhook_result(int32_t status, clerk_error *given, const detail::CallState &notes) {
    detail::ErrorHandle error(given);
    if (notes.clock) return detail::make_error(CLERK_E_STATE, "the clock hook threw", {}, notes.clock);
    switch (status) {
    case CLERK_OK:
    case CLERK_WEBHOOK_IGNORED:
        return WebhookResult(status);
    case CLERK_E_WEBHOOK:
    case CLERK_UNAVAILABLE:
        return WebhookResult(status, detail::take_error(status, error.release(), notes.store));
    default:
        return detail::take_error(status, error.release(), notes.store);
    }
}

CLERK_AUTH_NAMESPACE_END

#endif
