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

func TestCallbackPanicIsRecovered(t *testing.T) {
	sim := simtest.Start(t)
	var log bytes.Buffer
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.OnEvent = func(clerkauth.Event) { panic("no events today") }
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	token := sim.Session("user_1")
	assertEqual(t, authenticate(client, token), "ok verified")
	assertEqual(t, authenticate(client, token), "ok cache")
	assertEqual(t, strings.Contains(log.String(), "no events today"), true)
}

// A failed clock rejects every token, also one without iat and nbf.
func TestClockPanicIsInternalError(t *testing.T) {
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
	stored := newClient(t, sim, withStore(&memoryStore{}), func(c *clerkauth.Config) { c.Clock = clock })
	expired := sim.Mint(`{"user": "user_ada", "exp_in": -3600, "claims": {"iat": null, "nbf": null}}`)
	good := sim.Session("user_ada")
	assertEqual(t, authenticate(plain, expired), "rejected token-expired")
	assertEqual(t, authenticate(plain, good), "ok verified")
	assertEqual(t, authenticate(stored, good), "ok verified 1")
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_1"}`)
	broken.Store(true)
	for _, client := range []*clerkauth.Client{plain, stored} {
		for _, token := range []string{expired, good, sim.Session("user_ada")} {
			auth, err := client.Authenticate(background, bearerRequest(token))
			assertEqual(t, auth == nil, true)
			assertErrorIs(t, err, clerkauth.ErrInternal)
			assertEqual(t, strings.Contains(err.Error(), "Config.Clock"), true)
		}
		_, err := client.VerifyToken(background, expired)
		assertErrorIs(t, err, clerkauth.ErrInternal)
	}
	_, err := plain.HandleWebhook(background, header, body)
	assertErrorIs(t, err, clerkauth.ErrInternal)
	broken.Store(false)
	assertEqual(t, authenticate(plain, good)[:2], "ok")
	assertEqual(t, authenticate(stored, good)[:2], "ok")
}

// Calls from a callback that may block fail at once, whatever their context, even if no slot is free.
func TestCallsFromCallbackAreReentrant(t *testing.T) {
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
		c.MaxBlockingCalls, c.UserMode = 1, "profile" // an unknown user has to be fetched
		c.OnEvent = func(clerkauth.Event) {
			if depth.Add(1); depth.Load() > 1 {
				t.Error("the callback was called recursively")
				return
			}
			defer depth.Add(-1)
			for _, ctx := range []context.Context{background, ctx} {
				calls.Add(1)
				_, err := client.Authenticate(ctx, bearerRequest(sim.Session("user_2")))
				_, errVerify := client.VerifyToken(ctx, token)
				_, errWebhook := client.HandleWebhook(ctx, header, body)
				for _, err := range []error{err, errVerify, errWebhook, client.WarmUp(ctx)} {
					assertErrorIs(t, err, clerkauth.ErrReentrant)
				}
				assertEqual(t, outcome(other.Authenticate(ctx, bearerRequest(token)))[:2], "ok")
			}
		}
	})
	for _, ctx := range []context.Context{background, ctx} {
		calls.Store(0)
		assertEqual(t, outcome(client.Authenticate(ctx, bearerRequest(token)))[:2], "ok")
		if calls.Load() == 0 {
			t.Error("the callback was not called")
		}
		assertEqual(t, client.InvalidateAll(), nil)
	}
}

// C frames cannot be unwound: the process ends with a message.
func TestCallbackGoexitEndsProcess(t *testing.T) {
	if callback := os.Getenv("GOEXIT_IN"); callback != "" {
		sim := simtest.Start(t)
		client := newClient(t, sim, func(c *clerkauth.Config) {
			if callback == "clock" {
				c.Clock = func() time.Time { runtime.Goexit(); return time.Now() }
			} else {
				c.OnEvent = func(clerkauth.Event) { runtime.Goexit() }
			}
		})
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		_, _ = client.Authenticate(ctx, bearerRequest(sim.Session("user_1")))
		return
	}
	for _, callback := range []string{"event", "clock"} {
		ctx, cancel := context.WithTimeout(background, 20*time.Second)
		command := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestCallbackGoexitEndsProcess$")
		command.Env = append(os.Environ(), "GOEXIT_IN="+callback)
		output, err := command.CombinedOutput()
		assertEqual(t, ctx.Err(), nil)
		cancel()
		if err == nil || !strings.Contains(string(output), "clerkauth: the "+callback+" callback ended its goroutine") {
			t.Errorf("%v\n%s", err, output)
		}
	}
}
