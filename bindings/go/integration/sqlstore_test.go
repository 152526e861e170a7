// Package integration tests clerkauth with a database driver and with common routers.
package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
	"github.com/clerk-auth/clerk-auth/bindings/go/sqlstore"
	"github.com/clerk-auth/clerk-auth/bindings/go/storetest"
)

var background = context.Background()

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+t.TempDir()+"/app.db?_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func request(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func clientOf(t *testing.T, sim *simtest.Sim, store clerkauth.UserStore) *clerkauth.Client {
	t.Helper()
	client := must[*clerkauth.Client](t)(clerkauth.New(clerkauth.Config{
		APIURL: sim.URL, SecretKey: "sk_test_go", Store: store, WebhookSecrets: []string{simtest.WebhookSecret}}))
	t.Cleanup(func() { _ = client.Close() })
	return client
}

const ada = `{"username": "ada", "first_name": "Ada", "last_active_at": 1700000000123,
	"email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}`

func TestTableIsSynchronized(t *testing.T) {
	for name, options := range map[string]sqlstore.Options{
		"last key":  {},
		"returning": {Dialect: &sqlstore.Dialect{DollarPlaceholders: true, Quote: `"`, Returning: true, Identity: sqlstore.SQLite.Identity}},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simtest.Start(t)
			sim.User("user_ada", ada)
			db := open(t)
			store := must[*sqlstore.Store](t)(sqlstore.New(db, options))
			if err := errors.Join(store.CreateTable(background), store.CreateTable(background)); err != nil {
				t.Fatal(err)
			}
			client := clientOf(t, sim, store)
			token := sim.Session("user_ada")
			auth := must[*clerkauth.Auth](t)(client.Authenticate(background, request(token)))
			want := clerkauth.User{Key: "1", ClerkID: "user_ada", Email: "ada@example.com", Username: "ada", FirstName: "Ada",
				ImageURL: "https://img.clerk.example/default.png", LastActiveAtMs: 1700000000123, IsActive: true,
				ClerkUpdatedAtMs: 1700000000000}
			if auth.UserKey() != "1" || *auth.LocalUser() != want {
				t.Errorf("%s %+v", auth.UserKey(), *auth.LocalUser())
			}
			sim.Admin("PATCH", "/users/user_ada", `{"first_name": "Augusta", "banned": true, "updated_at": 1800000000000}`, nil)
			header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)
			if applied, err := client.HandleWebhook(background, header, body); err != nil || !applied {
				t.Error(applied, err)
			}
			row := must[*clerkauth.User](t)(store.FindByClerkID(background, "user_ada"))
			if row.FirstName != "Augusta" || row.IsActive || !row.BannedByClerk {
				t.Errorf("%+v", row)
			}
			if _, err := client.Authenticate(background, request(token)); !errors.Is(err, clerkauth.ReasonUserInactive) {
				t.Error(err)
			}
		})
	}
}

func TestUpdateObeysItsCondition(t *testing.T) {
	store := must[*sqlstore.Store](t)(sqlstore.New(open(t), sqlstore.Options{}))
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	must[*clerkauth.User](t)(store.Create(background, clerkauth.Fields{{Column: clerkauth.ColumnUsername, Value: "ada"}}))
	update := func(name string, version int64, onlyIfUnlinked bool) error {
		_, err := store.Update(background, "1", clerkauth.Fields{{Column: clerkauth.ColumnClerkID, Value: "user_ada"},
			{Column: clerkauth.ColumnFirstName, Value: name}, {Column: clerkauth.ColumnClerkUpdatedAtMs, Value: version}},
			clerkauth.UpdateCondition{OnlyIfUnlinked: onlyIfUnlinked, MaxVersion: &version})
		return err
	}
	for _, step := range []struct {
		name           string
		version        int64
		onlyIfUnlinked bool
		want           error
	}{
		{"Unlinked", 5, true, nil}, {"Linked", 6, true, clerkauth.ErrConflict}, {"Older", 4, false, clerkauth.ErrConflict},
		{"Same", 5, false, nil}, {"Newer", 7, false, nil},
	} {
		if err := update(step.name, step.version, step.onlyIfUnlinked); !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	row := must[*clerkauth.User](t)(store.FindByKey(background, "1"))
	if row.FirstName != "Newer" || row.ClerkUpdatedAtMs != 7 {
		t.Errorf("%+v", row)
	}
	if _, err := store.Update(background, "99", clerkauth.Fields{{Column: clerkauth.ColumnFirstName, Value: "x"}},
		clerkauth.UpdateCondition{}); !errors.Is(err, clerkauth.ErrConflict) {
		t.Error(err)
	}
}

// Two clients on one table: a ban that one of them has received is not lifted by what the other has cached.
func TestBanIsNotLiftedByAnotherClient(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := must[*sqlstore.Store](t)(sqlstore.New(open(t), sqlstore.Options{}))
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	first, second := clientOf(t, sim, store), clientOf(t, sim, store)
	token := sim.Session("user_ada")
	for _, client := range []*clerkauth.Client{first, second} {
		must[*clerkauth.Auth](t)(client.Authenticate(background, request(token)))
	}
	sim.Admin("PATCH", "/users/user_ada", `{"banned": true, "updated_at": 1800000000000}`, nil)
	header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)
	if applied, err := first.HandleWebhook(background, header, body); err != nil || !applied {
		t.Error(applied, err)
	}
	for range 3 {
		if _, err := second.Authenticate(background, request(token)); !errors.Is(err, clerkauth.ReasonUserInactive) {
			t.Error(err)
		}
	}
	if row := must[*clerkauth.User](t)(store.FindByClerkID(background, "user_ada")); row.IsActive || !row.BannedByClerk {
		t.Errorf("%+v", row)
	}
}

func TestCustomTable(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	db := open(t)
	if _, err := db.Exec(`CREATE TABLE "order" (uuid TEXT PRIMARY KEY, mail TEXT, clerk TEXT UNIQUE, login TEXT UNIQUE);
		CREATE TABLE profile (uuid TEXT PRIMARY KEY);
		INSERT INTO "order" (uuid, mail, login) VALUES ('k-old', 'Bob@Example.com', 'bob')`); err != nil {
		t.Fatal(err)
	}
	fail := false
	store := must[*sqlstore.Store](t)(sqlstore.New(db, sqlstore.Options{
		Table: "main.order", Key: "uuid", StringKey: true, NewKey: func() (string, error) { return "k-new", nil },
		Columns: map[clerkauth.Column]string{clerkauth.ColumnClerkID: "clerk", clerkauth.ColumnEmail: "mail", clerkauth.ColumnUsername: "login"},
		AfterWrite: func(ctx context.Context, tx *sql.Tx, user *clerkauth.User, created bool) error {
			if created {
				if _, err := tx.ExecContext(ctx, "INSERT INTO profile VALUES (?)", user.Key); err != nil {
					return err
				}
			}
			if fail {
				return errors.New("disk full")
			}
			return nil
		},
	}))
	client := clientOf(t, sim, store)
	fail = true
	_, err := client.Authenticate(background, request(sim.Session("user_ada")))
	if !errors.Is(err, clerkauth.ErrUnavailable) || !strings.Contains(err.Error(), "disk full") {
		t.Error(err)
	}
	fail = false
	count := func() (count int) {
		if err := db.QueryRow(`SELECT COUNT(*) FROM profile`).Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	if count() != 0 {
		t.Error("the insert was not rolled back")
	}
	auth := must[*clerkauth.Auth](t)(client.Authenticate(background, request(sim.Session("user_ada"))))
	if auth.UserKey() != "k-new" || count() != 1 {
		t.Error(auth.UserKey(), count())
	}
	sim.User("user_bob", `{"username": "bob", "email_addresses": ["bob@example.com"], "primary_email_address_id": "idn_0001"}`)
	auth = must[*clerkauth.Auth](t)(client.Authenticate(background, request(sim.Session("user_bob"))))
	if auth.UserKey() != "k-old" {
		t.Error(auth.UserKey())
	}
}

func TestConcurrentFirstRequestsCreateOneRow(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	db := open(t)
	store := must[*sqlstore.Store](t)(sqlstore.New(db, sqlstore.Options{}))
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	// Two servers with one table.
	clients := []*clerkauth.Client{clientOf(t, sim, store), clientOf(t, sim, store)}
	var running sync.WaitGroup
	for i := range 16 {
		token := sim.Session("user_ada")
		running.Add(1)
		go func() {
			defer running.Done()
			if auth, err := clients[i%2].Authenticate(background, request(token)); err != nil || auth.UserKey() != "1" {
				t.Error(auth.UserKey(), err)
			}
		}()
	}
	running.Wait()
	if row := must[*clerkauth.User](t)(store.FindByKey(background, "2")); row != nil {
		t.Errorf("%+v", row)
	}
}

func TestStoreMethods(t *testing.T) {
	db := open(t)
	store := must[*sqlstore.Store](t)(sqlstore.New(db, sqlstore.Options{}))
	if _, err := store.FindByKey(background, "1"); err == nil {
		t.Error("no error without a table")
	}
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	field := func(column clerkauth.Column, value any) clerkauth.Field {
		return clerkauth.Field{Column: column, Value: value}
	}
	fields := clerkauth.Fields{field(clerkauth.ColumnClerkID, "user_1"), field(clerkauth.ColumnUsername, "Ada"),
		field(clerkauth.ColumnEmail, nil), field(clerkauth.ColumnIsActive, false)}
	made := must[*clerkauth.User](t)(store.Create(background, fields))
	if made.Key != "1" || made.IsActive || made.Email != "" {
		t.Errorf("%+v", made)
	}
	if _, err := store.Create(background, fields); !errors.Is(err, clerkauth.ErrConflict) {
		t.Error(err)
	}
	for name, want := range map[string]bool{"ADA": true, "bob": false, "' OR 1 = 1 --": false} {
		if taken, err := store.UsernameTaken(background, name, ""); err != nil || taken != want {
			t.Error(name, taken, err)
		}
	}
	if taken, err := store.UsernameTaken(background, "ada", "1"); err != nil || taken {
		t.Error(taken, err)
	}
	for _, key := range []string{"", "x", "99", "1 OR 1 = 1"} {
		if found, err := store.FindByKey(background, key); err != nil || found != nil {
			t.Error(key, found, err)
		}
		if _, err := store.Update(background, key, fields[:1], clerkauth.UpdateCondition{}); err == nil {
			t.Error("no error for the missing row " + key)
		}
	}
	cancelled, cancel := context.WithCancel(background)
	cancel()
	if _, err := store.FindByKey(cancelled, "1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, options := range []sqlstore.Options{
		{Table: `x"; DROP TABLE clerk_user; --`}, {Key: "a b"},
		{Columns: map[clerkauth.Column]string{clerkauth.ColumnEmail: ""}},
	} {
		if _, err := sqlstore.New(db, options); err == nil {
			t.Errorf("%+v", options)
		}
	}
	if _, err := sqlstore.New(nil, sqlstore.Options{}); err == nil {
		t.Error("no error without a database")
	}
}

type state string

func (s state) Error() string    { return "an error" }
func (s state) SQLState() string { return string(s) }

func TestIsConflict(t *testing.T) {
	for err, want := range map[error]bool{
		state("23505"): true, state("40001"): false, errors.New("UNIQUE constraint failed: clerk_user.clerk_id"): true,
		errors.New("Error 1062 (23000): Duplicate entry"): true, errors.New("disk full"): false,
	} {
		if sqlstore.IsConflict(err) != want {
			t.Error(err)
		}
	}
}

func TestStorePassesTheTestsOfStores(t *testing.T) {
	store := must[*sqlstore.Store](t)(sqlstore.New(open(t), sqlstore.Options{}))
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, store)
}

func TestSQLStoreRejectsClerkIDsComparedWithoutCase(t *testing.T) {
	db := open(t)
	must[sql.Result](t)(db.Exec("CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, clerk_id TEXT UNIQUE COLLATE NOCASE)"))
	columns := map[clerkauth.Column]string{clerkauth.ColumnClerkID: "clerk_id"}
	store := must[*sqlstore.Store](t)(sqlstore.New(db, sqlstore.Options{Columns: columns}))
	for _, err := range []error{store.Check(background), errOf(store.FindByClerkID(background, "user_a")),
		errOf(clerkauth.New(clerkauth.Config{SecretKey: "sk_test_go", Store: store}))} {
		if !errors.Is(err, clerkauth.ErrConfig) || !strings.Contains(err.Error(), "clerk_user.clerk_id is compared without case") {
			t.Error(err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// Without a busy timeout SQLite aborts a transaction at once while another one writes.
func TestSQLStoreRepeatsWhatSQLiteAborts(t *testing.T) {
	db := must[*sql.DB](t)(sql.Open("sqlite3", "file:"+t.TempDir()+"/app.db?_busy_timeout=0&_journal_mode=WAL"))
	t.Cleanup(func() { _ = db.Close() })
	store := must[*sqlstore.Store](t)(sqlstore.New(db, sqlstore.Options{}))
	if err := store.CreateTable(background); err != nil {
		t.Fatal(err)
	}
	created := make(chan error)
	for i := range 8 {
		go func() {
			_, err := store.Create(background, clerkauth.Fields{{Column: clerkauth.ColumnUsername, Value: fmt.Sprint("user", i)}})
			created <- err
		}()
	}
	for range 8 {
		if err := <-created; err != nil {
			t.Error(err)
		}
	}
}
