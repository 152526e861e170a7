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

// inUse is what C holds when Go has given back what nobody holds any more.
func inUse() int {
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // finalizers run when they like
	}
	return malloc.InUse()
}

// Whatever is done again and again needs no more memory in the end than after a while: results, errors, pending
// authentications and deliveries are all given back.
func TestNothingIsLeftBehind(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	plain := newClient(t, sim)
	token, header := sim.Session("user_ada"), map[string][]string{"Svix-Id": {strings.Repeat("x", 4096)}}
	const users = 200
	requests, refused := make([]*http.Request, users), bearer("nonsense")
	for i := range users {
		requests[i] = bearer(sim.Session(numbered(i)))
	}
	round := func() {
		_ = plain.InvalidateAll()
		for _, request := range requests {
			_, _ = client.VerifyToken(background, token)                      // a result that is nobody else's
			_, _ = client.HandleWebhook(background, header, make([]byte, 64)) // an error
			_ = ask(client, token)                                            // a step of the store
			store.took()
			for range 70 {
				_, _ = plain.Authenticate(background, request) // hits
				_, _ = plain.Authenticate(background, refused) // refusals
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
	t.Logf("%d bytes after a while, %d bytes in the end", before, after)
	// The library notes the last few tokens of each user: that is bounded, and less.
	if after > before+512<<10 {
		t.Error("something is")
	}
}
