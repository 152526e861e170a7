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

// short is a table that has a schema of its own.
type short struct {
	*table
	schema clerkauth.Schema
}

func (s short) Schema() clerkauth.Schema { return s.schema }

func TestARowIsMadeKeptUpToDateAndLookedAtAgain(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store))
	token := sim.Session("user_ada")
	auth, err := client.Authenticate(background, bearer(token))
	expect(t, said(auth, err), "in verified 1")
	expect(t, store.took(), "by_clerk_id by_email taken create")
	expect(t, *store.rows[0], clerkauth.User{Key: "1", ClerkID: "user_ada", Email: "ada@example.com", Username: "ada",
		FirstName: "Ada", ImageURL: "https://img.clerk.example/default.png", LastActiveAtMs: 1700000000123, IsActive: true})
	expect(t, auth.Email()+" "+auth.Username()+" "+auth.FirstName(), "ada@example.com ada Ada")
	expect(t, auth.LocalUser().Key, "1")

	auth, err = client.Authenticate(background, bearer(token))
	expect(t, said(auth, err), "in cache 1")
	expect(t, store.took(), "by_key")
	expect(t, auth.LocalUser().Row.(*clerkauth.User) == store.rows[0], true)

	sim.User("user_ada", `{"username": "ada", "first_name": "Augusta", "email_addresses": []}`)
	expect(t, client.InvalidateUser("user_ada"), nil)
	auth, err = client.Authenticate(background, bearer(token))
	expect(t, said(auth, err), "in verified 1")
	expect(t, store.took(), "by_clerk_id update")
	expect(t, auth.LocalUser().FirstName, "Augusta")
	expect(t, store.rows[0].FirstName+store.rows[0].Email, "Augusta")

	// The host keeps her out.
	store.change("1", func(u *clerkauth.User) { u.IsActive = false })
	expect(t, ask(client, token), "out user-inactive")
	expect(t, ask(client, token), "out user-inactive")
	store.change("1", func(u *clerkauth.User) { u.IsActive = true })
	expect(t, ask(client, token)[:2], "in")

	// Her row is gone: she is looked at anew.
	store.rows = nil
	expect(t, ask(client, token), "in verified 1")
	// Somebody else's row under her key is not hers.
	store.change("1", func(u *clerkauth.User) { u.ClerkID = "user_eve" })
	expect(t, strings.HasPrefix(ask(client, token), "in") && len(store.rows) == 1, false)
}

func TestRowsAreLinkedByVerifiedAddresses(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{rows: []*clerkauth.User{{Key: "7", Email: "ADA@example.com", Username: "boss", IsActive: true}}}
	client := newClient(t, sim, withStore(store))
	expect(t, ask(client, sim.Session("user_ada")), "in verified 7")
	expect(t, store.rows[0].ClerkID, "user_ada")

	never := &table{rows: []*clerkauth.User{{Key: "7", Email: "ADA@example.com", Username: "boss", IsActive: true}}}
	client = newClient(t, sim, withStore(never), func(c *clerkauth.Config) { c.LinkByEmail = "never" })
	expect(t, ask(client, sim.Session("user_ada")), "in verified 2")
	expect(t, never.rows[0].ClerkID, "")
}

func TestStoresWithoutAllColumns(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := short{&table{}, clerkauth.Schema{
		Columns: []clerkauth.Column{clerkauth.ColumnClerkID, clerkauth.ColumnFirstName},
		Lengths: map[clerkauth.Column]uint32{clerkauth.ColumnFirstName: 2},
	}}
	var written []string
	client := newClient(t, sim, withStore(recording{store, &written}))
	// A table without is_active always says yes.
	expect(t, ask(client, sim.Session("user_ada")), "in verified 1")
	expect(t, strings.Join(written, " "), "clerk_id=user_ada first_name=Ad")
}

// recording notes what is written, and makes each row active.
type recording struct {
	short
	written *[]string
}

func (r recording) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	for _, field := range fields {
		*r.written = append(*r.written, fmt.Sprintf("%v=%v", field.Column, field.Value))
	}
	return r.short.Create(ctx, append(fields, clerkauth.Field{Column: clerkauth.ColumnIsActive, Value: true}))
}

func TestAStoreThatFails(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	full := errors.New("disk full")
	store := &table{}
	client := newClient(t, sim, withStore(store))
	token := sim.Session("user_ada")
	for _, where := range []string{"by_clerk_id", "by_email", "taken", "create"} {
		store.does(func(_ context.Context, step string) error {
			if step == where {
				return fmt.Errorf("at %s: %w", step, full)
			}
			return nil
		})
		_, err := client.Authenticate(background, bearer(token))
		expectIs(t, err, clerkauth.ErrUnavailable, clerkauth.ReasonStoreError, full)
		stats, _ := client.Stats()
		expect(t, stats.CachedTokens, 0)
	}
	store.does(func(context.Context, string) error { panic(full) })
	_, err := client.Authenticate(background, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable, clerkauth.ReasonStoreError, full)
	var panicked *clerkauth.StorePanic
	expect(t, errors.As(err, &panicked) && strings.Contains(string(panicked.Stack), "store_test.go"), true)

	store.does(nil)
	expect(t, ask(client, token), "in verified 1")
	// A failure while looking at the row of a remembered answer signs nobody in, and the answer stays.
	store.does(func(context.Context, string) error { return full })
	_, err = client.Authenticate(background, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable, full)
	store.does(nil)
	expect(t, ask(client, token), "in cache 1")
}

// odd answers with rows that no sound table has.
type odd struct {
	*table
	row *clerkauth.User
}

func (o odd) FindByClerkID(context.Context, string) (*clerkauth.User, error) { return o.row, nil }
func (o odd) Create(context.Context, clerkauth.Fields) (*clerkauth.User, error) {
	return o.row, nil
}

func TestRowsThatNoSoundTableHas(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	for want, row := range map[string]*clerkauth.User{
		"unavailable store-error":     {Key: "", ClerkID: "user_ada", IsActive: true},
		"unavailable store-error ":    {Key: "1", ClerkID: "user_ada", Email: "\xff", IsActive: true},
		"unavailable store-error  ":   {Key: "1", ClerkID: "user_ada", FirstName: "a\x00b", IsActive: true},
		"unavailable store-error   ":  {Key: "1", ClerkID: "user_ada", FirstName: strings.Repeat("x", 1<<17)},
		"unavailable store-error    ": nil, // Create gives none
		"out link-conflict":           {Key: "1", ClerkID: "user_eve", IsActive: true},
	} {
		client := newClient(t, sim, withStore(odd{&table{}, row}))
		expect(t, ask(client, sim.Session("user_ada")), strings.TrimSpace(want))
	}
}

func TestAConflictIsLookedAtAgain(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	// Another request makes the row between the look and the writing.
	store.does(func(_ context.Context, step string) error {
		if step == "create" && len(store.rows) == 0 {
			store.rows = append(store.rows, &clerkauth.User{Key: "5", ClerkID: "user_ada", Username: "ada", IsActive: true})
		}
		return nil
	})
	client := newClient(t, sim, withStore(store))
	expect(t, ask(client, sim.Session("user_ada")), "in verified 5")
	expect(t, len(store.rows), 1)

	// One that never ends lets nobody in.
	store.rows = nil
	store.does(func(_ context.Context, step string) error {
		if step == "create" {
			return fmt.Errorf("again and again: %w", clerkauth.ErrConflict)
		}
		return nil
	})
	expect(t, client.InvalidateAll(), nil)
	expect(t, ask(client, sim.Session("user_ada")), "out link-conflict")
	store.does(nil)
	expect(t, ask(client, sim.Session("user_ada")), "in verified 1")

	// A conflict where there can be none is a failure.
	store.does(func(_ context.Context, step string) error {
		if step == "by_key" {
			return clerkauth.ErrConflict
		}
		return nil
	})
	_, err := client.Authenticate(background, bearer(sim.Session("user_ada")))
	expectIs(t, err, clerkauth.ErrUnavailable, clerkauth.ErrConflict)
}

func TestTheStoresTimeIsItsOwn(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
		c.TimeoutMs, c.MaxBlocking, c.MaxBlockingWait = clerkauth.Int(200), 1, 100*time.Millisecond
	})
	other := sim.Session("user_404")
	entered := false
	store.does(func(context.Context, string) error {
		if !entered {
			// While a store is at work no slot is taken: another call can wait for Clerk.
			entered = true
			expect(t, ask(client, other), "out user-not-found")
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	})
	expect(t, ask(client, sim.Session("user_ada")), "in verified 1")
}

type contextKey struct{}

func TestTheStoreIsGivenTheRequestsContext(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store))
	token, ctx := sim.Session("user_ada"), context.WithValue(background, contextKey{}, "mine")
	ctx, cancel := context.WithCancel(ctx)
	store.does(func(ctx context.Context, step string) error {
		expect(t, ctx.Value(contextKey{}).(string), "mine")
		if step == "create" {
			cancel()
			return ctx.Err()
		}
		return nil
	})
	_, err := client.Authenticate(ctx, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable, context.Canceled)
}

func TestCallsFromInsideTheStore(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	plain := newClient(t, sim)
	store := &table{}
	client := newClient(t, sim, withStore(store), func(c *clerkauth.Config) {
		c.RowCheckTTLS, c.WebhookSecrets = clerkauth.Int(60), []string{simtest.WebhookSecret}
	})
	known := sim.Session("user_ada")
	expect(t, ask(client, known), "in verified 1")
	store.rows = nil
	header, body := sim.Delivery(`{"type": "session.ended", "id": "sess_x"}`)
	calls := 0
	store.does(func(ctx context.Context, _ string) error {
		calls++
		_, err := client.Authenticate(ctx, bearer(sim.Session("user_new")))
		_, errVerify := client.VerifyToken(ctx, known)
		_, errWebhook := client.HandleWebhook(ctx, header, body)
		for _, err := range []error{err, errVerify, errWebhook, client.WarmUp(ctx)} {
			expectIs(t, err, clerkauth.ErrReentrant)
		}
		// What memory can tell, another client, and what forgets may be asked.
		expect(t, said(client.Authenticate(ctx, bearer(known))), "in cache 1")
		expect(t, said(plain.Authenticate(ctx, bearer(known)))[:2], "in")
		_, err = client.Stats()
		expect(t, err, nil)
		expect(t, client.InvalidateSession("sess_nobody"), nil)
		return nil
	})
	sim.User("user_bob", `{"username": "bob"}`)
	expect(t, ask(client, sim.Session("user_bob")), "in verified 1")
	if calls == 0 {
		t.Error("the store was not asked")
	}

	// The same during a delivery.
	calls = 0
	header, body = sim.Delivery(`{"type": "session.ended", "id": "sess_y"}`)
	userHeader, userBody := sim.Delivery(`{"type": "user.updated", "id": "user_bob"}`)
	applied, err := client.HandleWebhook(background, userHeader, userBody)
	expect(t, err, nil)
	expect(t, applied, true)
	if calls == 0 {
		t.Error("the store was not asked")
	}
}

func TestUsersInSQLite(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	path := t.TempDir() + "/users.db"
	for range 2 {
		client := newClient(t, sim, func(c *clerkauth.Config) { c.SQLitePath = path })
		expect(t, ask(client, sim.Session("user_ada")), "in verified 1")
		expect(t, client.Close(), nil)
	}
	_, err := clerkauth.New(clerkauth.Config{SecretKey: "sk_test_x", SQLitePath: t.TempDir()})
	expectIs(t, err, clerkauth.ErrConfig)
}
