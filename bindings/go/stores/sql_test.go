package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/sqlstore"
	"github.com/clerk-auth/clerk-auth/bindings/go/storetest"
)

func connect(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func storeOf(t *testing.T, db *sql.DB, dialect *sqlstore.Dialect, table string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, sqlstore.Options{Dialect: dialect, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newPostgres creates a database and returns its source.
func newPostgres(t *testing.T, name, options string) string {
	t.Helper()
	source := os.Getenv("STORES_POSTGRES")
	if _, err := connect(t, "pgx", source).Exec("CREATE DATABASE " + name + " " + options); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/" + name
	return at.String()
}

// TestTurkishDatabase: in its locale i is not the lower case of I.
func TestTurkishDatabase(t *testing.T) {
	source := newPostgres(t, "turkish_go", "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C.UTF-8' ENCODING 'UTF8' TEMPLATE template0")
	store := storeOf(t, connect(t, "pgx", source), &sqlstore.Postgres, "account")
	if err := store.CreateTable(context.Background()); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, store)
}

// TestUsernameOfAnIndexInTheLocaleIsTaken: the table is the application's.
func TestUsernameOfAnIndexInTheLocaleIsTaken(t *testing.T) {
	db := connect(t, "pgx", os.Getenv("STORES_POSTGRES"))
	for _, statement := range []string{
		"CREATE TABLE own_locale (id BIGSERIAL PRIMARY KEY, username TEXT NOT NULL)",
		"CREATE UNIQUE INDEX ON own_locale (LOWER(username))",
		"INSERT INTO own_locale (username) VALUES ('ÉVA')",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	store, err := sqlstore.New(db, sqlstore.Options{Dialect: &sqlstore.Postgres, Table: "own_locale",
		Columns: map[clerkauth.Column]string{clerkauth.ColumnUsername: "username"}})
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := store.UsernameTaken(context.Background(), "éva", ""); err != nil || !taken {
		t.Errorf("%v %v", taken, err)
	}
}

// TestTableIsCreatedByManyAtOnce: each has a connection of its own.
func TestTableIsCreatedByManyAtOnce(t *testing.T) {
	source := newPostgres(t, "created_go", "")
	for round := range rounds {
		var running sync.WaitGroup
		for range 8 {
			db := connect(t, "pgx", source)
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			store := storeOf(t, db, &sqlstore.Postgres, fmt.Sprintf("account%d", round))
			running.Add(1)
			go func() {
				defer running.Done()
				if err := store.CreateTable(context.Background()); err != nil {
					t.Error(err)
				}
			}()
		}
		running.Wait()
	}
}

// TestSearchesUseIndexes counts the rows that MariaDB reads for the searches of a first sign-in.
func TestSearchesUseIndexes(t *testing.T) {
	const users = 5000
	ctx := context.Background()
	db := connect(t, "mysql", os.Getenv("STORES_MARIADB"))
	db.SetMaxOpenConns(1) // the counters are those of a connection
	store := storeOf(t, db, &sqlstore.MySQL, "searched")
	if err := store.CreateTable(ctx); err != nil {
		t.Fatal(err)
	}
	fill := fmt.Sprintf("INSERT INTO searched (email, username) SELECT CONCAT('e', seq, '@x'), CONCAT('u', seq) FROM seq_1_to_%d", users)
	for _, statement := range []string{fill, "ANALYZE TABLE searched"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Check(ctx); err != nil {
		t.Fatal(err)
	}
	read := func() (rows int) {
		err := db.QueryRow(`SELECT SUM(variable_value) FROM information_schema.session_status
			WHERE variable_name IN ('HANDLER_READ_RND_NEXT', 'HANDLER_READ_NEXT')`).Scan(&rows)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := read()
	if found, err := store.FindByEmail(ctx, "E70@X"); err != nil || len(found) != 1 {
		t.Errorf("FindByEmail: %v %v", found, err)
	}
	if taken, err := store.UsernameTaken(ctx, "U70", "1"); err != nil || !taken {
		t.Errorf("UsernameTaken: %v %v", taken, err)
	}
	// Reading the counters reads some.
	if rows := read() - before; rows >= users {
		t.Errorf("%d rows are read", rows)
	}
}

// TestGeneratedKeyThatExistsIsNamed: it is no conflict with another user.
func TestGeneratedKeyThatExistsIsNamed(t *testing.T) {
	ctx := context.Background()
	for _, driver := range []string{"pgx", "postgres"} {
		db := connect(t, driver, os.Getenv("STORES_POSTGRES"))
		store := storeOf(t, db, &sqlstore.Postgres, "behind_"+driver)
		if err := store.CreateTable(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO behind_" + driver + " (id, username) SELECT i, 'own' || i FROM generate_series(1, 50) AS i"); err != nil {
			t.Fatal(err)
		}
		_, err := store.Create(ctx, clerkauth.Fields{{Column: clerkauth.ColumnUsername, Value: "ada"}})
		if err == nil || errors.Is(err, clerkauth.ErrConflict) || !strings.Contains(err.Error(), "behind_"+driver+"_pkey") {
			t.Error(err)
		}
	}
}
