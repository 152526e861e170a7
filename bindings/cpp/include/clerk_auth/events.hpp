// Something that happened, as an event hook is told of it.
#ifndef CLERK_AUTH_EVENTS_HPP
#define CLERK_AUTH_EVENTS_HPP

#include "words.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// Lives only during the hook's call, and so do its views.
class Event {
public:
    explicit Event(const clerk_event *event) noexcept : event_(event) {}

    EventKind kind() const noexcept { return static_cast<EventKind>(clerk_event_get_kind(event_)); }

    // The host's key of the user's row.
    std::optional<std::string_view> user_key() const noexcept { return detail::from_c(clerk_event_user_key(event_)); }
    std::optional<std::string_view> clerk_id() const noexcept { return detail::from_c(clerk_event_clerk_id(event_)); }

    // "clerk:auth:" and the SHA-256 of the token in hex.
    std::optional<std::string_view> token_hash() const noexcept { return detail::from_c(clerk_event_token_hash(event_)); }

    // Why nobody was signed in.
    std::optional<Reason> reason() const noexcept {
        const int32_t reason = clerk_event_reason(event_);
        return reason == 0 ? std::nullopt : std::optional<Reason>(static_cast<Reason>(reason));
    }

    // Where the answer came from.
    std::optional<Source> source() const noexcept {
        const int32_t source = clerk_event_source(event_);
        return source == 0 ? std::nullopt : std::optional<Source>(static_cast<Source>(source));
    }

    // For how long Clerk asks for patience.
    std::optional<Milliseconds> retry_after() const noexcept {
        return detail::from_c_ms(clerk_event_retry_after_ms(event_));
    }

private:
    const clerk_event *event_;
};

CLERK_AUTH_NAMESPACE_END

#endif
