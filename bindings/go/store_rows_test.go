package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// changingStore modifies every written row before it returns it, as a database trigger does.
type changingStore struct {
	*memoryStore
	change func(*clerkauth.User)
}

func (c changingStore) written(user *clerkauth.User, err error) (*clerkauth.User, error) {
	if err != nil {
		return nil, err
	}
	c.memoryStore.change(user.Key, c.change)
	copied := *user
	c.change(&copied)
	return &copied, nil
}

func (c changingStore) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	return c.written(c.memoryStore.Create(ctx, fields))
}

func (c changingStore) Update(ctx context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	return c.written(c.memoryStore.Update(ctx, key, fields, condition))
}

// The row that Create or Update returns decides: a user who awaits approval is rejected, and the result is not cached.
func TestWrittenRowIsAuthoritative(t *testing.T) {
	sim := simtest.Start(t)
	token := sim.Session("user_ada")
	for want, change := range map[string]func(*clerkauth.User){
		"ok verified 1":          func(*clerkauth.User) {},
		"rejected user-inactive": func(u *clerkauth.User) { u.IsActive = false },
		"rejected link-conflict": func(u *clerkauth.User) { u.ClerkID = "user_eve" },
	} {
		for _, ttl := range []int64{0, 60} {
			sim.User("user_ada", ada)
			made := newClient(t, sim, withStore(changingStore{&memoryStore{}, change}), func(c *clerkauth.Config) { c.RowCheckTTLS = clerkauth.Int(ttl) })
			assertEqual(t, authenticate(made, token), want)
			if want == "rejected user-inactive" {
				assertEqual(t, authenticate(made, token), want)
			}

			store := &memoryStore{}
			assertEqual(t, authenticate(newClient(t, sim, withStore(store)), token), "ok verified 1")
			sim.User("user_ada", `{"username": "ada", "first_name": "Augusta"}`)
			changed := newClient(t, sim, withStore(changingStore{store, change}), func(c *clerkauth.Config) { c.RowCheckTTLS = clerkauth.Int(ttl) })
			assertEqual(t, authenticate(changed, token), want)
		}
	}
}

// A row that a store returns after its context is done is ignored.
func TestStoreAfterDeadlineIsUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	late := func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
	soon := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(background, 300*time.Millisecond)
	}
	token := sim.Session("user_ada")
	store.intercept(late)
	ctx, cancel := soon()
	auth, err := client.Authenticate(ctx, bearerRequest(token))
	cancel()
	assertEqual(t, auth == nil, true)
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	stats, _ := client.Stats()
	assertEqual(t, stats.CachedTokens, 0)

	store.intercept(nil)
	assertEqual(t, authenticate(client, token), "ok verified 1")
	// The same applies to the row check of a cached result.
	store.intercept(late)
	ctx, cancel = soon()
	_, err = client.Authenticate(ctx, bearerRequest(token))
	cancel()
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)

	// A delivery is retried, and is processed then.
	header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)
	ctx, cancel = soon()
	_, err = client.HandleWebhook(ctx, header, body)
	cancel()
	var authErr *clerkauth.Error
	assertEqual(t, errors.As(err, &authErr) && authErr.Status == 503, true)
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	store.intercept(nil)
	applied, err := client.HandleWebhook(background, header, body)
	assertEqual(t, applied, true)
	assertEqual(t, err, nil)
}

// A store may end its goroutine, as t.Fatal in a test does: the pending authentication is freed.
func TestStoreGoexitFreesPending(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	token := sim.Session("user_ada")
	gone, used := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(used)
		marker := new([16]byte)
		runtime.SetFinalizer(marker, func(*[16]byte) { close(gone) })
		store := &memoryStore{}
		store.intercept(func(context.Context, string) error { runtime.Goexit(); return nil })
		client, err := clerkauth.New(clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go", Store: store,
			OnEvent: func(clerkauth.Event) { _ = marker[0] }})
		if err != nil {
			t.Error(err)
			return
		}
		authenticate(client, token)
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
	t.Error("the client was not freed")
}

// A row that the application has deactivated blocks its address, however many other rows have it.
func TestDeactivatedRowAmongManyBlocksItsAddress(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	for i := range 17 {
		name := fmt.Sprint("holder", i)
		store.rows = append(store.rows, &clerkauth.User{Key: name, ClerkID: "user_" + name, Username: name, Email: "ada@example.com", IsActive: i < 16})
	}
	assertEqual(t, authenticate(newClient(t, sim, withStore(store)), sim.Session("user_ada")), "rejected user-inactive")
}
