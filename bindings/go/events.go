package clerkauth

import (
	"context"
	"log/slog"
	"time"
)

// Event is something that happened. It holds no token, no secret and no address.
type Event struct {
	Kind EventKind
	// UserKey is the host's own key of the user's row, and ClerkID the Clerk user; "" if there is none.
	UserKey, ClerkID string
	// TokenHash is "clerk:auth:" and the SHA-256 of the token in hex; "" if there was no token.
	TokenHash string
	// Reason is why nobody was signed in; 0 for other events.
	Reason Reason
	// Source is where the answer came from; 0 for other events.
	Source Source
	// RetryAfter is for how long Clerk asks for patience; 0 for other events.
	RetryAfter time.Duration
}

// Level is how grave the event is in a log: what happens on every request is [slog.LevelDebug].
func (e Event) Level() slog.Level {
	switch e.Kind {
	case EventAuthSuccess, EventCacheMiss:
		return slog.LevelDebug
	case EventLinkConflict, EventRateLimited, EventStaleUserServed:
		return slog.LevelWarn
	case EventSecretKeyRejected:
		return slog.LevelError
	case EventAuthFailed:
		if category := e.Reason.Category(); category == CategoryUnavailable || category == CategoryMisconfigured {
			return slog.LevelError
		}
	}
	return slog.LevelInfo
}

// LogValue has the members that are there.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.attrs()...) }

func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 6)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("user_key", e.UserKey)
	text("clerk_id", e.ClerkID)
	text("token_hash", e.TokenHash)
	text("reason", e.Reason.String())
	text("source", e.Source.String())
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	return attrs
}

func (e Event) log(ctx context.Context, logger *slog.Logger) {
	if level := e.Level(); logger.Enabled(ctx, level) {
		logger.LogAttrs(ctx, level, "clerkauth: "+e.Kind.String(), e.attrs()...)
	}
}
