package clerkauth_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func TestHooksThatPanicHarmNobody(t *testing.T) {
	sim := simtest.Start(t)
	var log bytes.Buffer
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.OnEvent = func(clerkauth.Event) { panic("no events today") }
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	token := sim.Session("user_1")
	expect(t, ask(client, token), "in verified")
	expect(t, ask(client, token), "in cache")
	expect(t, strings.Contains(log.String(), "no events today"), true)
}

// A clock that panics lets nobody in, not even with a token for which it is never too early.
func TestAClockThatPanics(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	var broken atomic.Bool
	clock := func() time.Time {
		if broken.Load() {
			panic("no time")
		}
		return time.Now()
	}
	plain := newClient(t, sim, withWebhooks, func(c *clerkauth.Config) { c.Clock = clock })
	kept := newClient(t, sim, withStore(&table{}), func(c *clerkauth.Config) { c.Clock = clock })
	expired := sim.Mint(`{"user": "user_ada", "exp_in": -3600, "claims": {"iat": null, "nbf": null}}`)
	good := sim.Session("user_ada")
	expect(t, ask(plain, expired), "out token-expired")
	expect(t, ask(plain, good), "in verified")
	expect(t, ask(kept, good), "in verified 1")
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_1"}`)
	broken.Store(true)
	for _, client := range []*clerkauth.Client{plain, kept} {
		for _, token := range []string{expired, good, sim.Session("user_ada")} {
			auth, err := client.Authenticate(background, bearer(token))
			expect(t, auth == nil, true)
			expectIs(t, err, clerkauth.ErrInternal)
			expect(t, strings.Contains(err.Error(), "Config.Clock"), true)
		}
		_, err := client.VerifyToken(background, expired)
		expectIs(t, err, clerkauth.ErrInternal)
	}
	_, err := plain.HandleWebhook(background, header, body)
	expectIs(t, err, clerkauth.ErrInternal)
	broken.Store(false)
	expect(t, ask(plain, good)[:2], "in")
	expect(t, ask(kept, good)[:2], "in")
}

// Calls from inside a hook that may wait are refused at once, whatever their context is: also when no slot is free.
func TestCallsFromInsideAHook(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_1", `{}`)
	other := newClient(t, sim)
	var client *clerkauth.Client
	var calls, depth atomic.Int32
	token := sim.Session("user_1")
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_x"}`)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	client = newClient(t, sim, withWebhooks, func(c *clerkauth.Config) {
		c.MaxBlocking, c.UserMode = 1, "profile" // a user who is not known has to be asked for
		c.OnEvent = func(clerkauth.Event) {
			if depth.Add(1); depth.Load() > 1 {
				t.Error("a hook inside of a hook")
				return
			}
			defer depth.Add(-1)
			for _, ctx := range []context.Context{background, ctx} {
				calls.Add(1)
				_, err := client.Authenticate(ctx, bearer(sim.Session("user_2")))
				_, errVerify := client.VerifyToken(ctx, token)
				_, errWebhook := client.HandleWebhook(ctx, header, body)
				for _, err := range []error{err, errVerify, errWebhook, client.WarmUp(ctx)} {
					expectIs(t, err, clerkauth.ErrReentrant)
				}
				expect(t, said(other.Authenticate(ctx, bearer(token)))[:2], "in")
			}
		}
	})
	for _, ctx := range []context.Context{background, ctx} {
		calls.Store(0)
		expect(t, said(client.Authenticate(ctx, bearer(token)))[:2], "in")
		if calls.Load() == 0 {
			t.Error("the hook was not called")
		}
		expect(t, client.InvalidateAll(), nil)
	}
}

// Nothing but a return can leave a hook: the process says what is wrong, and ends.
func TestAHookThatEndsItsGoroutine(t *testing.T) {
	if hook := os.Getenv("GOEXIT_IN"); hook != "" {
		sim := simtest.Start(t)
		client := newClient(t, sim, func(c *clerkauth.Config) {
			if hook == "clock" {
				c.Clock = func() time.Time { runtime.Goexit(); return time.Now() }
			} else {
				c.OnEvent = func(clerkauth.Event) { runtime.Goexit() }
			}
		})
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		_, _ = client.Authenticate(ctx, bearer(sim.Session("user_1")))
		return
	}
	for _, hook := range []string{"event", "clock"} {
		ctx, cancel := context.WithTimeout(background, 20*time.Second)
		command := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestAHookThatEndsItsGoroutine$")
		command.Env = append(os.Environ(), "GOEXIT_IN="+hook)
		text, err := command.CombinedOutput()
		expect(t, ctx.Err(), nil)
		cancel()
		if err == nil || !strings.Contains(string(text), "clerkauth: the hook "+hook+" ended its goroutine") {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
