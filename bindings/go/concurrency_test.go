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

// goroutine returns the id of the calling goroutine.
func goroutine() string {
	var stack [64]byte
	return string(bytes.Fields(stack[:runtime.Stack(stack[:], false)])[1])
}

// occupySlots takes both slots of a client with two, until release is called.
func occupySlots(t *testing.T, sim *simtest.Sim, client *clerkauth.Client) (release func()) {
	t.Helper()
	before := sim.Count("/users/{id}")
	sim.Faults(`[{"path": "/users/*", "delay_ms": 30000}]`)
	ctx, cancel := context.WithCancel(background)
	var waiting sync.WaitGroup
	for i := range 2 {
		token := sim.Mint(`{"user": "user_slow_%d"}`, i)
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			_, err := client.Authenticate(ctx, bearerRequest(token))
			if !errors.Is(err, clerkauth.ErrUnavailable) && !errors.Is(err, clerkauth.ErrClosed) {
				t.Error(err)
			}
		}()
	}
	for sim.Count("/users/{id}") < before+2 {
		runtime.Gosched()
	}
	return func() { cancel(); waiting.Wait() }
}

func withTwoSlots(c *clerkauth.Config) {
	c.MaxBlockingCalls, c.QueueTimeout, c.TimeoutMs = 2, 100*time.Millisecond, clerkauth.Int(20000)
}

// A cached result needs no slot: its row is checked on the goroutine of the caller.
func TestCacheHitTakesNoSlot(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
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
	assertEqual(t, authenticate(client, token), "ok verified 1")
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	mu.Lock()
	own = goroutine()
	mu.Unlock()
	assertEqual(t, outcome(client.Authenticate(ctx, bearerRequest(token))), "ok cache 1")
	mu.Lock()
	assertEqual(t, elsewhere, 0)
	own = ""
	mu.Unlock()

	release := occupySlots(t, sim, client)
	defer release()
	store.takeLog()
	assertEqual(t, outcome(client.Authenticate(ctx, bearerRequest(token))), "ok cache 1")
	assertEqual(t, store.takeLog(), "by_key")
	store.change("1", func(u *clerkauth.User) { u.IsActive = false })
	assertEqual(t, authenticate(client, token), "rejected user-inactive")
	// Without a row the user has to be fetched, which takes a slot.
	store.rows = nil
	_, err := client.Authenticate(ctx, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable)
}

// A revocation must not queue behind calls that wait for Clerk.
func TestWebhookTakesNoSlot(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withWebhooks, withTwoSlots, func(c *clerkauth.Config) { c.UserMode = "profile" })
	assertEqual(t, client.WarmUp(background), nil)
	release := occupySlots(t, sim, client)
	defer release()
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_1"}`)
	applied, err := client.HandleWebhook(background, header, body)
	assertEqual(t, applied, true)
	assertEqual(t, err, nil)
}

func TestCloseFailsQueuedCalls(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withTwoSlots, func(c *clerkauth.Config) {
		c.UserMode, c.QueueTimeout = "profile", 20*time.Second
	})
	assertEqual(t, client.WarmUp(background), nil)
	release := occupySlots(t, sim, client)
	defer release()
	const many = 5
	before := sim.Count("/users/{id}")
	var queued atomic.Int32
	ended := make(chan error, many)
	for i := range many {
		request := bearerRequest(sim.Session(userID(i)))
		go func() {
			queued.Add(1)
			_, err := client.Authenticate(background, request)
			ended <- err
		}()
	}
	for queued.Load() < many {
		runtime.Gosched()
	}
	start := time.Now()
	assertEqual(t, client.Close(), nil)
	for range many {
		err := <-ended
		assertErrorIs(t, err, clerkauth.ErrClosed)
		assertEqual(t, errors.Is(err, clerkauth.ErrUnavailable), false)
	}
	if elapsed := time.Since(start); elapsed > 5*time.Second {
		t.Errorf("returned after %v", elapsed)
	}
	assertEqual(t, sim.Count("/users/{id}"), before)
}
