//go:build cgo

package clerkauth

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// throttle is the handler of a client without a Logger: it passes warnings on to [slog.Default], each message once a minute at
// most.
type throttle struct {
	mu    sync.Mutex
	times map[string]time.Time
}

const (
	throttleInterval = time.Minute
	maxThrottled     = 100
)

func (t *throttle) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && slog.Default().Enabled(ctx, level)
}

func (t *throttle) Handle(ctx context.Context, record slog.Record) error {
	if t.isRepeated(record.Message) {
		return nil
	}
	return slog.Default().Handler().Handle(ctx, record)
}

// addresses are in the errors of databases that quote the values of a statement.
var addresses = regexp.MustCompile(`[^\s'"(=]+@[^\s'")]+`)

// varying is what differs where the message is the same: numbers and trace ids.
var varying = regexp.MustCompile(`trace \S+|\d+`)

func (t *throttle) isRepeated(message string) bool {
	message = varying.ReplaceAllString(message, "")
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if last, ok := t.times[message]; ok && now.Sub(last) < throttleInterval {
		return true
	}
	if t.times == nil || len(t.times) >= maxThrottled {
		t.times = map[string]time.Time{}
	}
	t.times[message] = now
	return false
}

// The attributes of a record are those of its own call: handlers with attributes of their own are not needed.
func (t *throttle) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t *throttle) WithGroup(string) slog.Handler      { return t }

// warn logs a result that says something about this server, with the context of its request: the library itself logs failed calls
// to Clerk only.
func (c *Client) warn(ctx context.Context, err error) {
	var failed *Error
	if ctx == nil || ctx.Err() != nil || !errors.As(err, &failed) {
		return
	}
	set := c.callbacks.set.Load()
	if set == nil || set.logger == nil {
		return
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		attrs := []any{slog.String("reason", failed.Reason.String())}
		if cause := failed.Unwrap(); cause != nil {
			attrs = append(attrs, slog.String("cause", addresses.ReplaceAllString(cause.Error(), "[address]")))
		}
		set.logger.WarnContext(ctx, "clerkauth: requests cannot be authenticated: "+failed.Reason.String(), attrs...)
	case failed.Reason == ReasonTokenNotActiveYet || failed.Reason == ReasonTokenIatInTheFuture:
		set.logger.WarnContext(ctx, "clerkauth: tokens are rejected: the clock of this machine may be behind that of Clerk",
			slog.String("reason", failed.Reason.String()))
	}
}
