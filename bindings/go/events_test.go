package clerkauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

type eventLog struct {
	mu     sync.Mutex
	events []clerkauth.Event
}

func (l *eventLog) add(event clerkauth.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event)
}

func (l *eventLog) takeLog() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var entries []string
	for _, e := range l.events {
		entries = append(entries, fmt.Sprintf("%v(%s)", e.Kind, strings.Trim(strings.Join(
			[]string{e.UserKey, e.ClerkID, e.Reason.String(), e.Source.String()}, " "), " ")))
	}
	l.events = nil
	return strings.Join(entries, " ")
}

func TestOnEventAndClock(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	var events eventLog
	var mu sync.Mutex
	now := time.Unix(1800000000, 0)
	client := newClient(t, sim, withStore(&memoryStore{}), func(c *clerkauth.Config) {
		c.OnEvent = events.add
		c.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	token := sim.Mint(`{"user": "user_ada", "exp_in": 60, "now": 1800000000}`)
	assertEqual(t, authenticate(client, token), "ok verified 1")
	hash := events.events[0].TokenHash
	assertEqual(t, len(hash) == 75 && strings.HasPrefix(hash, "clerk:auth:"), true)
	assertEqual(t, events.takeLog(), "cache_miss() jwks_refreshed() user_created(1 user_ada) auth_success(1 user_ada  verified)")
	mu.Lock()
	now = now.Add(64999 * time.Millisecond)
	mu.Unlock()
	assertEqual(t, authenticate(client, token), "ok cache 1")
	assertEqual(t, events.takeLog(), "auth_success(1 user_ada  cache)")
	mu.Lock()
	now = now.Add(time.Millisecond)
	mu.Unlock()
	assertEqual(t, authenticate(client, token), "rejected token-expired")
	assertEqual(t, events.takeLog(), "cache_miss() auth_failed(token-expired)")
	authenticate(client, "")
	assertEqual(t, events.takeLog(), "")
}

func TestLoggerReceivesEvents(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	var log bytes.Buffer
	var level slog.LevelVar
	client := newClient(t, sim, withStore(&memoryStore{}), func(c *clerkauth.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))
	})
	token := sim.Session("user_ada")
	assertEqual(t, authenticate(client, token), "ok verified 1")
	assertEqual(t, strings.Contains(log.String(), `level=INFO msg="clerkauth: user_created" user_key=1 clerk_id=user_ada`), true)
	assertEqual(t, strings.Contains(log.String(), "auth_success"), false)
	level.Set(slog.LevelDebug)
	assertEqual(t, authenticate(client, token), "ok cache 1")
	assertEqual(t, strings.Contains(log.String(), `level=DEBUG msg="clerkauth: auth_success"`), true)
	assertEqual(t, strings.Contains(log.String(), "source=cache"), true)
	assertEqual(t, authenticate(client, "nonsense"), "rejected token-invalid")
	assertEqual(t, strings.Contains(log.String(), `level=INFO msg="clerkauth: auth_failed"`), true)
	assertEqual(t, strings.Contains(log.String(), "reason=token-invalid"), true)
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "sk_test") {
		t.Error("the log contains a secret")
	}
	// An application may log events itself.
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "event", clerkauth.Event{Kind: clerkauth.EventRateLimited, RetryAfter: time.Second})
	assertEqual(t, strings.Contains(log.String(), "event.retry_after=1s"), true)
}
