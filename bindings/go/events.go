//go:build cgo

package clerkauth

import (
	"context"
	"log/slog"
	"time"
)

// Event is an event of a [Client]. It contains no token, no secret and no email address.
type Event struct {
	Kind EventKind
	// UserKey is the key of the user's row in the user store; ClerkID is the id of the Clerk user. "" if there is none.
	UserKey, ClerkID string
	// TokenHash is "clerk:auth:" and the SHA-256 of the token in hex; "" if there was no token.
	TokenHash string
	// Reason is why the request was rejected; 0 for other events.
	Reason Reason
	// Source is where the result came from; 0 for other events.
	Source Source
	// RetryAfter is how long Clerk's rate limit lasts; 0 for other events.
	RetryAfter time.Duration
	// HandshakeSource is where Clerk's response to a handshake came from; 0 for other events.
	HandshakeSource HandshakeSource
	// DroppedLines is how many Set-Cookie lines of it were not passed on.
	DroppedLines int
}

// Answer is the result of one authentication, for metrics and traces.
type Answer struct {
	// Auth is the result of a signed-in request; nil if Err is not nil.
	Auth *Auth
	// Err is why the request is not signed in: an [*Error] with a Reason.
	Err error
	// Duration is how long the authentication took.
	Duration time.Duration
}

// Level returns the level at which the event is logged. Events that occur for every request have [slog.LevelDebug].
func (e Event) Level() slog.Level {
	switch e.Kind {
	case EventAuthSuccess, EventCacheMiss:
		return slog.LevelDebug
	case EventLinkConflict, EventRateLimited, EventJWKSFetchLimited, EventStaleUserServed:
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

// LogValue returns a group of the fields that are not empty. It implements [slog.LogValuer].
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.attrs()...) }

func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 6)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("user_key", e.UserKey)
	add("clerk_id", e.ClerkID)
	add("token_hash", e.TokenHash)
	add("reason", e.Reason.String())
	add("source", e.Source.String())
	add("handshake_source", e.HandshakeSource.String())
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
