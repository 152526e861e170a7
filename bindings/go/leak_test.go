package clerkauth_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/clerk-auth/clerk-auth/bindings/go/internal/malloc"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// inUse returns the bytes in use in the C heap after garbage collection.
func inUse() int {
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // for the finalizers
	}
	return malloc.InUse()
}

// Results, errors, pending authentications and webhook deliveries are all freed.
func TestNoCMemoryLeak(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	plain := newClient(t, sim)
	token, header := sim.Session("user_ada"), map[string][]string{"Svix-Id": {strings.Repeat("x", 4096)}}
	const users = 200
	requests, rejected := make([]*http.Request, users), bearerRequest("nonsense")
	for i := range users {
		requests[i] = bearerRequest(sim.Session(userID(i)))
	}
	round := func() {
		_ = plain.InvalidateAll()
		for _, request := range requests {
			_, _ = client.VerifyToken(background, token)                      // a result that is not shared
			_, _ = client.HandleWebhook(background, header, make([]byte, 64)) // an error
			_ = authenticate(client, token)                                   // store requests
			store.takeLog()
			for range 70 {
				_, _ = plain.Authenticate(background, request)  // cache hits
				_, _ = plain.Authenticate(background, rejected) // rejections
			}
		}
	}
	for range 5 {
		round()
	}
	_ = plain.InvalidateAll()
	before := inUse()
	for range 20 {
		round()
	}
	_ = plain.InvalidateAll()
	after := inUse()
	t.Logf("%d bytes after the first rounds, %d bytes after the last", before, after)
	// The bounded tables of the library fill up within this.
	if after > before+512<<10 {
		t.Error("the C heap grew")
	}
}
