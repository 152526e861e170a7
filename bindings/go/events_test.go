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

type seen struct {
	mu     sync.Mutex
	events []clerkauth.Event
}

func (s *seen) note(event clerkauth.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *seen) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, e := range s.events {
		words = append(words, fmt.Sprintf("%v(%s)", e.Kind, strings.Trim(strings.Join(
			[]string{e.UserKey, e.ClerkID, e.Reason.String(), e.Source.String()}, " "), " ")))
	}
	s.events = nil
	return strings.Join(words, " ")
}

func TestEventsAndTheClockAreTheHosts(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	var events seen
	var mu sync.Mutex
	now := time.Unix(1800000000, 0)
	client := newClient(t, sim, withStore(&table{}), func(c *clerkauth.Config) {
		c.OnEvent = events.note
		c.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	token := sim.Mint(`{"user": "user_ada", "exp_in": 60, "now": 1800000000}`)
	expect(t, ask(client, token), "in verified 1")
	hash := events.events[0].TokenHash
	expect(t, len(hash) == 75 && strings.HasPrefix(hash, "clerk:auth:"), true)
	expect(t, events.took(), "cache_miss() jwks_refreshed() user_created(1 user_ada) auth_success(1 user_ada  api)")
	mu.Lock()
	now = now.Add(64999 * time.Millisecond)
	mu.Unlock()
	expect(t, ask(client, token), "in cache 1")
	expect(t, events.took(), "auth_success(1 user_ada  cache)")
	mu.Lock()
	now = now.Add(time.Millisecond)
	mu.Unlock()
	expect(t, ask(client, token), "out token-expired")
	expect(t, events.took(), "cache_miss() auth_failed(token-expired)")
	ask(client, "")
	expect(t, events.took(), "")
}

func TestEventsInTheLog(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	var log bytes.Buffer
	var level slog.LevelVar
	client := newClient(t, sim, withStore(&table{}), func(c *clerkauth.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))
	})
	token := sim.Session("user_ada")
	expect(t, ask(client, token), "in verified 1")
	expect(t, strings.Contains(log.String(), `level=INFO msg="clerkauth: user_created" user_key=1 clerk_id=user_ada`), true)
	expect(t, strings.Contains(log.String(), "auth_success"), false)
	level.Set(slog.LevelDebug)
	expect(t, ask(client, token), "in cache 1")
	expect(t, strings.Contains(log.String(), `level=DEBUG msg="clerkauth: auth_success"`), true)
	expect(t, strings.Contains(log.String(), "source=cache"), true)
	expect(t, ask(client, "nonsense"), "out token-invalid")
	expect(t, strings.Contains(log.String(), `level=INFO msg="clerkauth: auth_failed"`), true)
	expect(t, strings.Contains(log.String(), "reason=token-invalid"), true)
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "sk_test") {
		t.Error("a secret in the log")
	}
	// An event can be logged by whoever is told of it, too.
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "event", clerkauth.Event{Kind: clerkauth.EventRateLimited, RetryAfter: time.Second})
	expect(t, strings.Contains(log.String(), "event.retry_after=1s"), true)
}
