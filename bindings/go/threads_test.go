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

// A blocked C call holds a thread, and the runtime never returns threads: there must not be one for each goroutine.
func TestThreadsAreBounded(t *testing.T) {
	sim := simtest.Start(t)
	sim.Faults(`[{"path": "/users/*", "delay_ms": 100}]`)
	const slots, callers = 8, 500
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.UserMode, c.MaxBlockingCalls, c.QueueTimeout = "profile", slots, 30*time.Second
	})
	assertEqual(t, client.WarmUp(background), nil)
	tokens := make([]string, 40)
	for i := range tokens {
		// Unknown users: each has to be fetched.
		tokens[i] = sim.Mint(`{"user": "user_missing_%d"}`, i)
	}
	before := threads(t)
	var waiting sync.WaitGroup
	var wrong, most atomic.Int64
	for i := range callers {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			if authenticate(client, tokens[i%len(tokens)]) != "rejected user-not-found" {
				wrong.Add(1)
			}
			most.Store(max(most.Load(), int64(threads(t))))
		}()
	}
	waiting.Wait()
	assertEqual(t, wrong.Load(), 0)
	// Reading /proc and the runtime itself need some threads, too.
	if limit := int64(before + slots + 2*runtime.GOMAXPROCS(0) + 16); most.Load() > limit {
		t.Errorf("%d threads, %d before; limit %d", most.Load(), before, limit)
	}
	t.Logf("%d threads before, at most %d with %d goroutines and %d slots", before, most.Load(), callers, slots)
}

func TestQueueTimeoutIsUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.Faults(`[{"path": "/jwks", "delay_ms": 600}]`)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.MaxBlockingCalls, c.QueueTimeout = 1, 20*time.Millisecond })
	token := sim.Session("user_1")
	first := make(chan string)
	go func() { first <- authenticate(client, token) }()
	for sim.Count("/jwks") == 0 {
		runtime.Gosched()
	}
	_, err := client.Authenticate(background, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable)
	assertEqual(t, strings.Contains(err.Error(), "MaxBlockingCalls"), true)
	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	_, err = client.Authenticate(ctx, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	assertEqual(t, <-first, "ok verified")
	assertEqual(t, authenticate(client, token), "ok cache")
}

func TestCloseDuringCalls(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	for range 20 {
		store := &memoryStore{}
		client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
			c.OnEvent = func(clerkauth.Event) {}
			c.Clock = time.Now
		})
		token := sim.Session("user_ada")
		assertEqual(t, authenticate(client, token), "ok verified 1")
		var running sync.WaitGroup
		for range 8 {
			running.Add(1)
			go func() {
				defer running.Done()
				for {
					_, err := client.Authenticate(background, bearerRequest(token))
					if err != nil {
						// Aborted, or after Close.
						assertEqual(t, strings.Contains(outcome(nil, err), "closed") || strings.HasPrefix(outcome(nil, err), "unavailable"), true)
						return
					}
				}
			}()
		}
		assertEqual(t, client.Close(), nil)
		running.Wait()
	}
}

// A client is freed when it is unreachable, or, if its own callbacks refer to it, when it is closed.
func TestUnreachableClientIsFreed(t *testing.T) {
	sim := simtest.Start(t)
	token := sim.Session("user_1")
	for name, use := range map[string]func(config *clerkauth.Config, client **clerkauth.Client) (mustClose bool){
		"not closed": func(*clerkauth.Config, **clerkauth.Client) bool { return false },
		"not closed, in a reference cycle": func(config *clerkauth.Config, client **clerkauth.Client) bool {
			config.ErrorHandler = func(http.ResponseWriter, *http.Request, *clerkauth.Error) { _ = (*client).Close() }
			return false
		},
		"closed, referred to by a callback": func(config *clerkauth.Config, client **clerkauth.Client) bool {
			config.Clock = func() time.Time { runtime.KeepAlive(*client); return time.Now() }
			return true
		},
	} {
		gone, used := make(chan struct{}), make(chan struct{})
		go func() { // on a stack of its own, so that no reference remains
			defer close(used)
			marker := new([16]byte)
			runtime.SetFinalizer(marker, func(*[16]byte) { close(gone) })
			var client *clerkauth.Client
			// The library releases the callback when the client is freed.
			config := clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go", OnEvent: func(clerkauth.Event) { _ = marker[0] }}
			mustClose := use(&config, &client)
			var err error
			if client, err = clerkauth.New(config); err != nil {
				t.Error(err)
				return
			}
			assertEqual(t, authenticate(client, token), "ok verified")
			assertEqual(t, authenticate(client, token), "ok cache")
			if mustClose {
				assertEqual(t, client.Close(), nil)
			}
		}()
		<-used
		freed := false
		for i := 0; i < 100 && !freed; i++ {
			runtime.GC()
			select {
			case <-gone:
				freed = true
			case <-time.After(20 * time.Millisecond):
			}
		}
		if !freed {
			t.Errorf("%s: the client was not freed", name)
		}
	}
}

func TestConcurrentTokens(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	assertEqual(t, client.WarmUp(background), nil)
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
				auth, err := client.Authenticate(background, bearerRequest(tokens[which]))
				if err != nil || auth.UserID() != userID(which) || auth.SessionClaims().Subject != userID(which) {
					t.Errorf("%v %v", auth.UserID(), err)
					return
				}
				switch {
				case i%97 == 0:
					runtime.GC()
				case i%31 == 0:
					_ = client.InvalidateUser(userID(which))
				case i%501 == 0:
					_ = client.InvalidateAll()
				}
			}
		}()
	}
	running.Wait()
}
