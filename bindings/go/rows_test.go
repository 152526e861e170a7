package clerkauth_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// changing is a table that changes what was written before it says what the row is now.
type changing struct {
	*table
	change func(*clerkauth.User)
}

func (c changing) written(user *clerkauth.User, err error) (*clerkauth.User, error) {
	if err != nil {
		return nil, err
	}
	c.table.change(user.Key, c.change)
	copied := *user
	c.change(&copied)
	return &copied, nil
}

func (c changing) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	return c.written(c.table.Create(ctx, fields))
}

func (c changing) Update(ctx context.Context, key string, fields clerkauth.Fields) (*clerkauth.User, error) {
	return c.written(c.table.Update(ctx, key, fields))
}

// The row that was written is the store's word: who has to wait for approval does not come in, and is not remembered.
func TestTheRowThatWasWrittenCounts(t *testing.T) {
	sim := simtest.Start(t)
	token := sim.Session("user_ada")
	for want, change := range map[string]func(*clerkauth.User){
		"in verified 1":     func(*clerkauth.User) {},
		"out user-inactive": func(u *clerkauth.User) { u.IsActive = false },
		"out link-conflict": func(u *clerkauth.User) { u.ClerkID = "user_eve" },
	} {
		for _, recheck := range []int64{0, 60} {
			sim.User("user_ada", ada)
			made := newClient(t, sim, withStore(changing{&table{}, change}), func(c *clerkauth.Config) { c.RowCheckTTLS = clerkauth.Int(recheck) })
			expect(t, ask(made, token), want)
			if want == "out user-inactive" {
				expect(t, ask(made, token), want)
			}

			store := &table{}
			expect(t, ask(newClient(t, sim, withStore(store)), token), "in verified 1")
			sim.User("user_ada", `{"username": "ada", "first_name": "Augusta"}`)
			changed := newClient(t, sim, withStore(changing{store, change}), func(c *clerkauth.Config) { c.RowCheckTTLS = clerkauth.Int(recheck) })
			expect(t, ask(changed, token), want)
		}
	}
}

// A store that ignores its context signs nobody in when the context has ended.
func TestAStoreThatComesTooLate(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	late := func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
	soon := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(background, 300*time.Millisecond)
	}
	token := sim.Session("user_ada")
	store.does(late)
	ctx, cancel := soon()
	auth, err := client.Authenticate(ctx, bearer(token))
	cancel()
	expect(t, auth == nil, true)
	expectIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	stats, _ := client.Stats()
	expect(t, stats.CachedTokens, 0)

	store.does(nil)
	expect(t, ask(client, token), "in verified 1")
	// The same for the look at the row of a remembered answer.
	store.does(late)
	ctx, cancel = soon()
	_, err = client.Authenticate(ctx, bearer(token))
	cancel()
	expectIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)

	// A delivery comes again, and counts then.
	header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)
	ctx, cancel = soon()
	_, err = client.HandleWebhook(ctx, header, body)
	cancel()
	var failed *clerkauth.Error
	expect(t, errors.As(err, &failed) && failed.Status == 503, true)
	expectIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	store.does(nil)
	applied, err := client.HandleWebhook(background, header, body)
	expect(t, applied, true)
	expect(t, err, nil)
}

// A store may end its goroutine, as t.Fatal in a test does: what was begun is given back.
func TestAStoreThatEndsItsGoroutine(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	token := sim.Session("user_ada")
	gone, used := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(used)
		marker := new([16]byte)
		runtime.SetFinalizer(marker, func(*[16]byte) { close(gone) })
		store := &table{}
		store.does(func(context.Context, string) error { runtime.Goexit(); return nil })
		client, err := clerkauth.New(clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go", Store: store,
			OnEvent: func(clerkauth.Event) { _ = marker[0] }})
		if err != nil {
			t.Error(err)
			return
		}
		ask(client, token)
		t.Error("the goroutine did not end")
	}()
	<-used
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("the client outlives its goroutine")
}
