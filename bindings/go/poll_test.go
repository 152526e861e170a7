package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// startRedis starts a redis-server on a port of loopback and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	command := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	waitFor(t, 10*time.Second, "redis-server", func() bool {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return "redis://" + address
}

// waitFor returns how long it took until the condition was met.
func waitFor(t *testing.T, limit time.Duration, what string, isMet func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !isMet() {
		if time.Since(begun) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun)
}

func TestRevocationInOneProcessIsAppliedByAnother(t *testing.T) {
	sim, redis := simtest.Start(t), startRedis(t)
	environment := []string{"CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL=" + sim.URL, "CLERK_SHARED_CACHE=" + redis}
	one, other := startProgram(t, "fleet", environment...), startProgram(t, "fleet", environment...)
	for round := range 3 {
		token := sim.Session(fmt.Sprintf("user_%d", round))
		for _, url := range []string{one, other, other} {
			if status, _ := fetch(t, "GET", url, token); status != 200 {
				t.Fatalf("%d before the sign-out", status)
			}
		}
		if status, _ := fetch(t, "POST", one+"/sign-out", token); status != 200 {
			t.Fatalf("sign-out: %d", status)
		}
		took := waitFor(t, time.Second, "the revocation", func() bool {
			status, _ := fetch(t, "GET", other, token)
			return status == 401
		})
		t.Logf("applied after %v", took)
	}
}

func TestStatsHaveTheSharedCache(t *testing.T) {
	sim, redis := simtest.Start(t), startRedis(t)
	shared := func(config *clerkauth.Config) { config.SharedCache, config.UserMode = redis, "profile" }
	one, other := newClient(t, sim, shared), newClient(t, sim, shared)
	stats := func(client *clerkauth.Client) clerkauth.SharedCacheStats {
		stats, err := client.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return stats.SharedCache
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = other.Poll(ctx) }()
	defer func() { cancel(); <-ended }()
	sim.User("user_1", ada)
	token := sim.Session("user_1")
	for _, client := range []*clerkauth.Client{one, other} {
		if _, err := client.Authenticate(ctx, bearerRequest(token)); err != nil {
			t.Fatal(err)
		}
	}
	assertEqual(t, stats(one), clerkauth.SharedCacheStats{State: clerkauth.SharedCacheAvailable, Misses: 1, RevocationLag: -time.Millisecond})
	assertEqual(t, stats(other).Hits, 1)
	// Again, because Poll may have begun to read after the first.
	waitFor(t, 2*time.Second, "the revocation", func() bool {
		return one.RevokeUser("user_1") == nil && stats(other).RevocationLag >= 0
	})
}

func TestCloseKeepsTheCachesOfOtherProcesses(t *testing.T) {
	sim, redis := simtest.Start(t), startRedis(t)
	shared := func(config *clerkauth.Config) { config.SharedCache, config.UserMode = redis, "profile" }
	one, other := newClient(t, sim, shared), newClient(t, sim, shared)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = other.Poll(ctx) }()
	defer func() { cancel(); <-ended }()
	sim.User("user_1", ada)
	authenticate := func(session string) {
		if _, err := other.Authenticate(ctx, bearerRequest(session)); err != nil {
			t.Fatal(err)
		}
	}
	stats := func() clerkauth.Stats {
		stats, err := other.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return stats
	}
	// Once it has applied a change, it reads the stream.
	waitFor(t, 2*time.Second, "the revocation", func() bool {
		return one.RevokeUser("user_2") == nil && stats().SharedCache.RevocationLag >= 0
	})
	authenticate(sim.Session("user_1"))
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	assertEqual(t, stats().CachedTokens, 1)
}

func TestPollEndsWithItsContextAndWithClose(t *testing.T) {
	sim, redis := simtest.Start(t), startRedis(t)
	shared := func(config *clerkauth.Config) { config.SharedCache = redis }
	for _, end := range []struct {
		name string
		want error
		do   func(cancel func(), client *clerkauth.Client)
	}{
		{"context", context.Canceled, func(cancel func(), _ *clerkauth.Client) { cancel() }},
		{"close", clerkauth.ErrClosed, func(_ func(), client *clerkauth.Client) { _ = client.Close() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			client := newClient(t, sim, shared)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			polled := make(chan error, 1)
			go func() { polled <- client.Poll(ctx) }()
			time.Sleep(100 * time.Millisecond)
			// The client can be used meanwhile.
			if _, err := client.Authenticate(ctx, httptest.NewRequest("GET", "/", nil)); !errors.Is(err, clerkauth.ReasonSessionTokenMissing) {
				t.Errorf("%v", err)
			}
			end.do(cancel, client)
			select {
			case err := <-polled:
				if !errors.Is(err, end.want) {
					t.Errorf("%v instead of %v", err, end.want)
				}
			case <-time.After(time.Second):
				t.Error("Poll has not returned within a second")
			}
		})
	}
}

func TestPollGoesOnAfterAClockThatPanics(t *testing.T) {
	sim, redis := simtest.Start(t), startRedis(t)
	var panics atomic.Int64
	shared := func(config *clerkauth.Config) { config.SharedCache = redis }
	one := newClient(t, sim, shared)
	other := newClient(t, sim, shared, func(config *clerkauth.Config) {
		config.Clock = func() time.Time {
			if panics.Load() > 0 && panics.Add(-1) >= 0 {
				panic("no clock")
			}
			return time.Now()
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	polled := make(chan error, 1)
	go func() { polled <- other.Poll(ctx) }()
	request := bearerRequest(sim.Session("user_clock"))
	if _, err := other.Authenticate(ctx, request); err != nil {
		t.Fatal(err)
	}
	panics.Store(1)
	waitFor(t, 5*time.Second, "the panic", func() bool { return panics.Load() <= 0 })
	if err := one.RevokeUser("user_clock"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 2*time.Second, "the revocation", func() bool {
		select {
		case err := <-polled:
			t.Fatalf("Poll ended: %v", err)
		default:
		}
		_, err := other.Authenticate(ctx, request)
		return errors.Is(err, clerkauth.ErrSignedOut)
	})
}

func TestPollWithoutSharedCacheIsConfigError(t *testing.T) {
	client := newClient(t, simtest.Start(t))
	if err := client.Poll(context.Background()); !errors.Is(err, clerkauth.ErrConfig) {
		t.Errorf("%v", err)
	}
}
