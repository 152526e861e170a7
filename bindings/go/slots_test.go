package clerkauth_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// goroutine is the name of the one that calls.
func goroutine() string {
	var stack [64]byte
	return string(bytes.Fields(stack[:runtime.Stack(stack[:], false)])[1])
}

// strangers take all slots of a client with two, and hold them until they are released.
func strangers(t *testing.T, sim *simtest.Sim, client *clerkauth.Client) (release func()) {
	t.Helper()
	before := sim.Count("/users/{id}")
	sim.Faults(`[{"path": "/users/*", "delay_ms": 30000}]`)
	ctx, cancel := context.WithCancel(background)
	var waiting sync.WaitGroup
	for i := range 2 {
		token := sim.Mint(`{"user": "user_stranger_%d"}`, i)
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			_, err := client.Authenticate(ctx, bearer(token))
			expectIs(t, err, clerkauth.ErrUnavailable)
		}()
	}
	for sim.Count("/users/{id}") < before+2 {
		runtime.Gosched()
	}
	return func() { cancel(); waiting.Wait() }
}

func withTwoSlots(c *clerkauth.Config) {
	c.MaxBlocking, c.MaxBlockingWait, c.TimeoutMs = 2, 100*time.Millisecond, clerkauth.Int(20000)
}

// Who is remembered waits for nobody: the row is looked at without a slot, and on the caller's own goroutine.
func TestAHitTakesNoSlot(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	var mu sync.Mutex
	own, elsewhere := "", 0
	client := newClient(t, sim, withStore(store), withTwoSlots, func(c *clerkauth.Config) {
		c.UserTTLS, c.UserStaleIfErrorS = clerkauth.Int(0), clerkauth.Int(0)
		c.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			if own != "" && own != goroutine() {
				elsewhere++
			}
			return time.Now()
		}
	})
	token := sim.Session("user_ada")
	expect(t, ask(client, token), "in verified 1")
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	mu.Lock()
	own = goroutine()
	mu.Unlock()
	expect(t, said(client.Authenticate(ctx, bearer(token))), "in cache 1")
	mu.Lock()
	expect(t, elsewhere, 0)
	own = ""
	mu.Unlock()

	release := strangers(t, sim, client)
	defer release()
	store.took()
	expect(t, said(client.Authenticate(ctx, bearer(token))), "in cache 1")
	expect(t, store.took(), "by_key")
	store.change("1", func(u *clerkauth.User) { u.IsActive = false })
	expect(t, ask(client, token), "out user-inactive")
	// Her row is gone: now Clerk has to be asked, in turn.
	store.rows = nil
	_, err := client.Authenticate(ctx, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable)
}

// A revocation must not wait for those who wait for Clerk.
func TestADeliveryTakesNoSlot(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withWebhooks, withTwoSlots, func(c *clerkauth.Config) { c.UserMode = "profile" })
	expect(t, client.WarmUp(background), nil)
	release := strangers(t, sim, client)
	defer release()
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_1"}`)
	applied, err := client.HandleWebhook(background, header, body)
	expect(t, applied, true)
	expect(t, err, nil)
}

func TestClosingReachesThoseInLine(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withTwoSlots, func(c *clerkauth.Config) {
		c.UserMode, c.MaxBlockingWait = "profile", 20*time.Second
	})
	expect(t, client.WarmUp(background), nil)
	release := strangers(t, sim, client)
	defer release()
	const many = 5
	before := sim.Count("/users/{id}")
	var inLine atomic.Int32
	ended := make(chan error, many)
	for i := range many {
		request := bearer(sim.Session(numbered(i)))
		go func() {
			inLine.Add(1)
			_, err := client.Authenticate(background, request)
			ended <- err
		}()
	}
	for inLine.Load() < many {
		runtime.Gosched()
	}
	began := time.Now()
	expect(t, client.Close(), nil)
	for range many {
		err := <-ended
		expectIs(t, err, clerkauth.ErrClosed)
		expect(t, errors.Is(err, clerkauth.ErrUnavailable), false)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("after %v", took)
	}
	expect(t, sim.Count("/users/{id}"), before)
}
