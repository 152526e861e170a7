package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

const ada = `{"username": "ada", "first_name": "Ada", "last_name": null, "last_active_at": 1700000000123,
	"email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}`

// schemaStore is a store with a schema.
type schemaStore struct {
	*memoryStore
	schema clerkauth.Schema
}

func (s schemaStore) Schema() clerkauth.Schema { return s.schema }

func TestStoreRowLifecycle(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store))
	token := sim.Session("user_ada")
	auth, err := client.Authenticate(background, bearerRequest(token))
	assertEqual(t, outcome(auth, err), "ok verified 1")
	assertEqual(t, store.takeLog(), "by_clerk_id by_email taken create")
	assertEqual(t, *store.rows[0], clerkauth.User{Key: "1", ClerkID: "user_ada", Email: "ada@example.com", Username: "ada",
		FirstName: "Ada", ImageURL: "https://img.clerk.example/default.png", LastActiveAtMs: 1700000000123, IsActive: true})
	assertEqual(t, auth.Email()+" "+auth.Username()+" "+auth.FirstName(), "ada@example.com ada Ada")
	assertEqual(t, auth.LocalUser().Key, "1")

	auth, err = client.Authenticate(background, bearerRequest(token))
	assertEqual(t, outcome(auth, err), "ok cache 1")
	assertEqual(t, store.takeLog(), "by_key")
	assertEqual(t, auth.LocalUser().Row.(*clerkauth.User) == store.rows[0], true)

	sim.User("user_ada", `{"username": "ada", "first_name": "Augusta", "email_addresses": []}`)
	assertEqual(t, client.InvalidateUser("user_ada"), nil)
	auth, err = client.Authenticate(background, bearerRequest(token))
	assertEqual(t, outcome(auth, err), "ok verified 1")
	assertEqual(t, store.takeLog(), "by_clerk_id update")
	assertEqual(t, auth.LocalUser().FirstName, "Augusta")
	assertEqual(t, store.rows[0].FirstName+store.rows[0].Email, "Augusta")

	// An inactive user is rejected.
	store.change("1", func(u *clerkauth.User) { u.IsActive = false })
	assertEqual(t, authenticate(client, token), "rejected user-inactive")
	assertEqual(t, authenticate(client, token), "rejected user-inactive")
	store.change("1", func(u *clerkauth.User) { u.IsActive = true })
	assertEqual(t, authenticate(client, token)[:2], "ok")

	// A deleted row is created again.
	store.rows = nil
	assertEqual(t, authenticate(client, token), "ok verified 1")
	// A row of another user under the same key is not used.
	store.change("1", func(u *clerkauth.User) { u.ClerkID = "user_eve" })
	assertEqual(t, strings.HasPrefix(authenticate(client, token), "ok") && len(store.rows) == 1, false)
}

func TestLinkByEmail(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{rows: []*clerkauth.User{{Key: "7", Email: "ADA@example.com", Username: "boss", IsActive: true}}}
	client := newClient(t, sim, withStore(store))
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 7")
	assertEqual(t, store.rows[0].ClerkID, "user_ada")

	never := &memoryStore{rows: []*clerkauth.User{{Key: "7", Email: "ADA@example.com", Username: "boss", IsActive: true}}}
	client = newClient(t, sim, withStore(never), func(c *clerkauth.Config) { c.LinkByEmail = "never" })
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 2")
	assertEqual(t, never.rows[0].ClerkID, "")
}

func TestSchemaStore(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := schemaStore{&memoryStore{}, clerkauth.Schema{
		Columns: []clerkauth.Column{clerkauth.ColumnClerkID, clerkauth.ColumnFirstName},
		Lengths: map[clerkauth.Column]uint32{clerkauth.ColumnFirstName: 2},
	}}
	var written []string
	client := newClient(t, sim, withStore(recordingStore{store, &written}))
	// A store without the column is_active returns true.
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 1")
	assertEqual(t, strings.Join(written, " "), "clerk_id=user_ada first_name=Ad")
}

// recordingStore records what is written, and makes each row active.
type recordingStore struct {
	schemaStore
	written *[]string
}

func (r recordingStore) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	for _, field := range fields {
		*r.written = append(*r.written, fmt.Sprintf("%v=%v", field.Column, field.Value))
	}
	return r.schemaStore.Create(ctx, append(fields, clerkauth.Field{Column: clerkauth.ColumnIsActive, Value: true}))
}

func TestStoreErrorIsUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	full := errors.New("disk full")
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store))
	token := sim.Session("user_ada")
	for _, where := range []string{"by_clerk_id", "by_email", "taken", "create"} {
		store.intercept(func(_ context.Context, method string) error {
			if method == where {
				return fmt.Errorf("at %s: %w", method, full)
			}
			return nil
		})
		_, err := client.Authenticate(background, bearerRequest(token))
		assertErrorIs(t, err, clerkauth.ErrUnavailable, clerkauth.ReasonStoreError, full)
		stats, _ := client.Stats()
		assertEqual(t, stats.CachedTokens, 0)
	}
	store.intercept(func(context.Context, string) error { panic(full) })
	_, err := client.Authenticate(background, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, clerkauth.ReasonStoreError, full)
	var panicked *clerkauth.StorePanicError
	assertEqual(t, errors.As(err, &panicked) && strings.Contains(string(panicked.Stack), "store_test.go"), true)

	store.intercept(nil)
	assertEqual(t, authenticate(client, token), "ok verified 1")
	// A failed row check of a cached result is unavailable, and the result stays cached.
	store.intercept(func(context.Context, string) error { return full })
	_, err = client.Authenticate(background, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, full)
	store.intercept(nil)
	assertEqual(t, authenticate(client, token), "ok cache 1")
}

// fixedStore returns one row for everything.
type fixedStore struct {
	*memoryStore
	row *clerkauth.User
}

func (f fixedStore) FindByClerkID(context.Context, string) (*clerkauth.User, error) {
	return f.row, nil
}
func (f fixedStore) Create(context.Context, clerkauth.Fields) (*clerkauth.User, error) {
	return f.row, nil
}

func TestInvalidRowIsRejected(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	for want, row := range map[string]*clerkauth.User{
		"unavailable store-error":     {Key: "", ClerkID: "user_ada", IsActive: true},
		"unavailable store-error ":    {Key: "1", ClerkID: "user_ada", Email: "\xff", IsActive: true},
		"unavailable store-error  ":   {Key: "1", ClerkID: "user_ada", FirstName: "a\x00b", IsActive: true},
		"unavailable store-error   ":  {Key: "1", ClerkID: "user_ada", FirstName: strings.Repeat("x", 1<<17)},
		"unavailable store-error    ": nil, // Create returns none
		"rejected link-conflict":      {Key: "1", ClerkID: "user_eve", IsActive: true},
	} {
		client := newClient(t, sim, withStore(fixedStore{&memoryStore{}, row}))
		assertEqual(t, authenticate(client, sim.Session("user_ada")), strings.TrimSpace(want))
	}
}

func TestConflictIsRetried(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	// Another request creates the row between the lookup and the insert.
	store.intercept(func(_ context.Context, method string) error {
		if method == "create" && len(store.rows) == 0 {
			store.rows = append(store.rows, &clerkauth.User{Key: "5", ClerkID: "user_ada", Username: "ada", IsActive: true})
		}
		return nil
	})
	client := newClient(t, sim, withStore(store))
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 5")
	assertEqual(t, len(store.rows), 1)

	// A permanent conflict is unavailable.
	store.rows = nil
	store.intercept(func(_ context.Context, method string) error {
		if method == "create" {
			return fmt.Errorf("insert: %w", clerkauth.ErrConflict)
		}
		return nil
	})
	assertEqual(t, client.InvalidateAll(), nil)
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "unavailable store-error")
	store.intercept(nil)
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 1")

	// A conflict in a lookup is an error.
	store.intercept(func(_ context.Context, method string) error {
		if method == "by_key" {
			return clerkauth.ErrConflict
		}
		return nil
	})
	_, err := client.Authenticate(background, bearerRequest(sim.Session("user_ada")))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, clerkauth.ErrConflict)
}

func TestStoreTakesNoSlot(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
		c.TimeoutMs, c.MaxBlockingCalls, c.QueueTimeout = clerkauth.Int(200), 1, 100*time.Millisecond
	})
	other := sim.Session("user_404")
	entered := false
	store.intercept(func(context.Context, string) error {
		if !entered {
			// The store holds no slot: another call can wait for Clerk.
			entered = true
			assertEqual(t, authenticate(client, other), "rejected user-not-found")
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	})
	assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 1")
}

type contextKey struct{}

func TestStoreGetsRequestContext(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store))
	token, ctx := sim.Session("user_ada"), context.WithValue(background, contextKey{}, "mine")
	ctx, cancel := context.WithCancel(ctx)
	store.intercept(func(ctx context.Context, method string) error {
		assertEqual(t, ctx.Value(contextKey{}).(string), "mine")
		if method == "create" {
			cancel()
			return ctx.Err()
		}
		return nil
	})
	_, err := client.Authenticate(ctx, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.Canceled)
}

func TestCallsFromStoreAreReentrant(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	plain := newClient(t, sim)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
		c.RowCheckTTLS, c.WebhookSecrets = clerkauth.Int(60), []string{simtest.WebhookSecret}
	})
	known := sim.Session("user_ada")
	assertEqual(t, authenticate(client, known), "ok verified 1")
	store.rows = nil
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_x"}`)
	calls := 0
	store.intercept(func(ctx context.Context, _ string) error {
		calls++
		_, err := client.Authenticate(ctx, bearerRequest(sim.Session("user_new")))
		_, errVerify := client.VerifyToken(ctx, known)
		_, errWebhook := client.HandleWebhook(ctx, header, body)
		for _, err := range []error{err, errVerify, errWebhook, client.WarmUp(ctx)} {
			assertErrorIs(t, err, clerkauth.ErrReentrant)
		}
		// Cached results, other clients and invalidation work.
		assertEqual(t, outcome(client.Authenticate(ctx, bearerRequest(known))), "ok cache 1")
		assertEqual(t, outcome(plain.Authenticate(ctx, bearerRequest(known)))[:2], "ok")
		_, err = client.Stats()
		assertEqual(t, err, nil)
		assertEqual(t, client.InvalidateSession("sess_unknown"), nil)
		return nil
	})
	sim.User("user_bob", `{"username": "bob"}`)
	assertEqual(t, authenticate(client, sim.Session("user_bob")), "ok verified 1")
	if calls == 0 {
		t.Error("the store was not called")
	}

	// The same applies during a webhook delivery.
	calls = 0
	header, body = sim.Delivery(`{"type": "session.ended", "id": "sess_y"}`)
	userHeader, userBody := sim.Delivery(`{"type": "user.updated", "id": "user_bob"}`)
	applied, err := client.HandleWebhook(background, userHeader, userBody)
	assertEqual(t, err, nil)
	assertEqual(t, applied, true)
	if calls == 0 {
		t.Error("the store was not called")
	}
}

func TestDatabase(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	url := "sqlite:" + t.TempDir() + "/users.db"
	for range 2 {
		client := newClient(t, sim, func(c *clerkauth.Config) { c.Database = url })
		assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 1")
		assertEqual(t, client.Close(), nil)
	}
	for _, config := range []clerkauth.Config{
		{SecretKey: "sk_test_x", Database: "oracle://app:hidden@h/db"},
		{SecretKey: "sk_test_x", Database: "postgres://app:hidden@127.0.0.1:1/db"},
	} {
		_, err := clerkauth.New(config)
		assertErrorIs(t, err, clerkauth.ErrConfig)
		if strings.Contains(err.Error(), "hidden") {
			t.Error(err)
		}
	}
	_, err := clerkauth.New(clerkauth.Config{SecretKey: "sk_test_x", Database: url, SQLitePath: "users.db"})
	assertErrorIs(t, err, clerkauth.ErrArgument)
}

func TestSQLitePath(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	path := t.TempDir() + "/users.db"
	for range 2 {
		client := newClient(t, sim, func(c *clerkauth.Config) { c.SQLitePath = path })
		assertEqual(t, authenticate(client, sim.Session("user_ada")), "ok verified 1")
		assertEqual(t, client.Close(), nil)
	}
	_, err := clerkauth.New(clerkauth.Config{SecretKey: "sk_test_x", SQLitePath: t.TempDir()})
	assertErrorIs(t, err, clerkauth.ErrConfig)
}
