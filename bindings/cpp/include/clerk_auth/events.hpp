// Events, as passed to the event callback.
#ifndef CLERK_AUTH_EVENTS_HPP
#define CLERK_AUTH_EVENTS_HPP

#include "enums.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// An event. It and its string views are valid only during the callback.
class Event {
public:
    explicit Event(const clerk_event *event) noexcept : event_(event) {}

    EventKind kind() const noexcept { return static_cast<EventKind>(clerk_event_get_kind(event_)); }

    // Returns the application's key of the user's row.
    std::optional<std::string_view> user_key() const noexcept { return detail::from_c(clerk_event_user_key(event_)); }
    std::optional<std::string_view> clerk_id() const noexcept { return detail::from_c(clerk_event_clerk_id(event_)); }

    // Returns "clerk:auth:" followed by the SHA-256 of the token in hexadecimal.
    std::optional<std::string_view> token_hash() const noexcept { return detail::from_c(clerk_event_token_hash(event_)); }

    // Returns why the request was not signed in, or a handshake was started or failed.
    std::optional<Reason> reason() const noexcept {
        const int32_t reason = clerk_event_reason(event_);
        return reason == 0 ? std::nullopt : std::optional<Reason>(static_cast<Reason>(reason));
    }

    // Returns whether the token was verified now or before; auth_success only.
    std::optional<Source> source() const noexcept {
        const int32_t source = clerk_event_source(event_);
        return source == 0 ? std::nullopt : std::optional<Source>(static_cast<Source>(source));
    }

    // Returns where Clerk's response to a handshake came from; handshake_resolved only.
    std::optional<HandshakeSource> handshake_source() const noexcept {
        const int32_t source = clerk_event_handshake_source(event_);
        return source == 0 ? std::nullopt : std::optional<HandshakeSource>(static_cast<HandshakeSource>(source));
    }

    // Returns how many `Set-Cookie` lines of Clerk's response were not passed on; handshake_resolved only.
    int64_t dropped_lines() const noexcept { return clerk_event_dropped_lines(event_); }

    // Returns the Retry-After of a rate_limited event.
    std::optional<Milliseconds> retry_after() const noexcept {
        return detail::from_c_ms(clerk_event_retry_after_ms(event_));
    }

private:
    const clerk_event *event_;
};

CLERK_AUTH_NAMESPACE_END

#endif
