package clerkauth_test

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// Each call that waits in C holds a thread that Go never gives back: there must not be one for each goroutine.
func TestThreadsAreBounded(t *testing.T) {
	sim := simtest.Start(t)
	sim.Faults(`[{"path": "/users/*", "delay_ms": 100}]`)
	const slots, callers = 8, 500
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.UserMode, c.MaxBlocking, c.MaxBlockingWait = "profile", slots, 30*time.Second
	})
	expect(t, client.WarmUp(background), nil)
	tokens := make([]string, 40)
	for i := range tokens {
		// Nobody's: each has to be asked for.
		tokens[i] = sim.Mint(`{"user": "user_missing_%d"}`, i)
	}
	before := threads(t)
	var waiting sync.WaitGroup
	var wrong, most atomic.Int64
	for i := range callers {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			if ask(client, tokens[i%len(tokens)]) != "out user-not-found" {
				wrong.Add(1)
			}
			most.Store(max(most.Load(), int64(threads(t))))
		}()
	}
	waiting.Wait()
	expect(t, wrong.Load(), 0)
	// Reading /proc and the runtime itself take a few threads, too.
	if limit := int64(before + slots + 2*runtime.GOMAXPROCS(0) + 16); most.Load() > limit {
		t.Errorf("%d threads, of which %d were there before; %d are the limit", most.Load(), before, limit)
	}
	t.Logf("%d threads before, at most %d with %d goroutines and %d slots", before, most.Load(), callers, slots)
}

func TestTooManyCallsAreUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.Faults(`[{"path": "/jwks", "delay_ms": 600}]`)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.MaxBlocking, c.MaxBlockingWait = 1, 20*time.Millisecond })
	token := sim.Session("user_1")
	first := make(chan string)
	go func() { first <- ask(client, token) }()
	for sim.Count("/jwks") == 0 {
		runtime.Gosched()
	}
	_, err := client.Authenticate(background, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable)
	expect(t, strings.Contains(err.Error(), "MaxBlocking"), true)
	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	_, err = client.Authenticate(ctx, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	expect(t, <-first, "in verified")
	expect(t, ask(client, token), "in cache")
}

func TestClosingWhileCallsAreUnderWay(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	for range 20 {
		store := &table{}
		client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
			c.OnEvent = func(clerkauth.Event) {}
			c.Clock = time.Now
		})
		token := sim.Session("user_ada")
		expect(t, ask(client, token), "in verified 1")
		var running sync.WaitGroup
		for range 8 {
			running.Add(1)
			go func() {
				defer running.Done()
				for {
					_, err := client.Authenticate(background, bearer(token))
					if err != nil {
						// Broken off, or too late.
						expect(t, strings.Contains(said(nil, err), "closed") || strings.HasPrefix(said(nil, err), "unavailable"), true)
						return
					}
				}
			}()
		}
		expect(t, client.Close(), nil)
		running.Wait()
	}
}

// A client goes with the last who holds it, or, when its own hooks hold it, once it is closed.
func TestWhatNobodyHoldsIsFreed(t *testing.T) {
	sim := simtest.Start(t)
	token := sim.Session("user_1")
	for name, use := range map[string]func(config *clerkauth.Config, client **clerkauth.Client) (close bool){
		"not closed": func(*clerkauth.Config, **clerkauth.Client) bool { return false },
		"not closed, held by what it holds": func(config *clerkauth.Config, client **clerkauth.Client) bool {
			config.OnFailure = func(http.ResponseWriter, *http.Request, *clerkauth.Error) { _ = (*client).Close() }
			return false
		},
		"closed, held by a hook": func(config *clerkauth.Config, client **clerkauth.Client) bool {
			config.Clock = func() time.Time { runtime.KeepAlive(*client); return time.Now() }
			return true
		},
	} {
		gone, used := make(chan struct{}), make(chan struct{})
		go func() { // on a stack of its own, which holds nothing when it is over
			defer close(used)
			marker := new([16]byte)
			runtime.SetFinalizer(marker, func(*[16]byte) { close(gone) })
			var client *clerkauth.Client
			// The library gives a hook back when the last of its client is freed.
			config := clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go", OnEvent: func(clerkauth.Event) { _ = marker[0] }}
			isToBeClosed := use(&config, &client)
			var err error
			if client, err = clerkauth.New(config); err != nil {
				t.Error(err)
				return
			}
			expect(t, ask(client, token), "in verified")
			expect(t, ask(client, token), "in cache")
			if isToBeClosed {
				expect(t, client.Close(), nil)
			}
		}()
		<-used
		isGone := false
		for i := 0; i < 100 && !isGone; i++ {
			runtime.GC()
			select {
			case <-gone:
				isGone = true
			case <-time.After(20 * time.Millisecond):
			}
		}
		if !isGone {
			t.Errorf("%s: the event hook outlives its client", name)
		}
	}
}

func TestManyTokensAtOnce(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	expect(t, client.WarmUp(background), nil)
	tokens := make([]string, 50)
	for i := range tokens {
		tokens[i] = sim.Mint(`{"user": "user_%d"}`, i)
	}
	var running sync.WaitGroup
	for worker := range 8 {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := range 2000 {
				which := (i*7 + worker) % len(tokens)
				auth, err := client.Authenticate(background, bearer(tokens[which]))
				if err != nil || auth.UserID() != numbered(which) || auth.SessionClaims().Subject != numbered(which) {
					t.Errorf("%v %v", auth.UserID(), err)
					return
				}
				switch {
				case i%97 == 0:
					runtime.GC()
				case i%31 == 0:
					_ = client.InvalidateUser(numbered(which))
				case i%501 == 0:
					_ = client.InvalidateAll()
				}
			}
		}()
	}
	running.Wait()
}
