package stores

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// setup is a database and the language of the workers.
type setup struct {
	name, language, driver, source string
}

// setups returns what tests/stores/run.sh has started.
func setups(t *testing.T) []setup {
	t.Helper()
	postgres, mariadb := os.Getenv("STORES_POSTGRES"), os.Getenv("STORES_MARIADB")
	if postgres == "" || mariadb == "" {
		t.Fatal("STORES_POSTGRES and STORES_MARIADB must be sources; tests/stores/run.sh sets them")
	}
	return []setup{
		{"GoPostgres", "Go", "pgx", postgres},
		{"NodePostgres", "Node", "pgx", postgres},
		{"GoMariaDB", "Go", "mysql", mariadb},
	}
}

// world is a fake Clerk API, an empty table, and the workers.
type world struct {
	*testing.T
	sim     *simtest.Sim
	db      *sql.DB
	job     job
	workers []*worker
}

// tables is the number of tables so far.
var tables int

// everywhere runs a test with each database and each kind of workers. The statements change the empty table.
func everywhere(t *testing.T, statements []string, test func(w *world)) {
	t.Helper()
	for _, s := range setups(t) {
		t.Run(s.name, func(t *testing.T) {
			sim := simtest.Start(t)
			tables++
			table := fmt.Sprintf("account%d", tables)
			w := &world{T: t, sim: sim, job: job{APIURL: sim.URL, Driver: s.driver, Source: s.source, Table: table}}
			db, store, err := w.job.open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			w.db = db
			if err := store.CreateTable(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, statement := range statements {
				w.exec(strings.ReplaceAll(statement, "{table}", table))
			}
			w.workers = start(t, s.language, w.job)
			test(w)
		})
	}
}

func (w *world) exec(statement string, values ...any) {
	w.Helper()
	if _, err := w.db.Exec(statement, values...); err != nil {
		w.Fatal(statement, err)
	}
}

// user has Clerk know a user with a proven address.
func (w *world) user(id, username, email string, version int, more string) {
	w.Helper()
	w.sim.User(id, fmt.Sprintf(`{"username": %q, "email_addresses": [%q], "primary_email_address_id": "idn_0001",
		"updated_at": %d%s}`, username, email, 1700000000000+version, more))
}

// signIn has every worker authenticate a new token of each user, and requires that each user has one row that no other has.
func (w *world) signIn(users []string) map[string]string {
	w.Helper()
	tokens := make([]string, len(users))
	for i, user := range users {
		tokens[i] = w.sim.Session(user)
	}
	keys, owners := map[string]string{}, map[string]string{}
	outcomes := ask(w.T, w.workers, tokens)
	if len(outcomes) != len(users)*workers {
		w.Errorf("%d outcomes", len(outcomes))
	}
	refused := 0
	for _, o := range outcomes {
		user := users[o.Token]
		if o.Error != "" || o.Subject != user || o.Key == "" {
			refused++
			w.Errorf("%s: %+v", user, o)
			continue
		}
		if keys[user] != "" && keys[user] != o.Key {
			w.Errorf("%s has the rows %s and %s", user, keys[user], o.Key)
		}
		if owners[o.Key] != "" && owners[o.Key] != user {
			w.Errorf("row %s is shared by %s and %s", o.Key, owners[o.Key], user)
		}
		keys[user], owners[o.Key] = o.Key, user
	}
	if refused > 0 {
		w.Errorf("%d of %d rightful requests were refused", refused, len(outcomes))
	}
	return keys
}

func (w *world) count(where string, values ...any) int {
	w.Helper()
	var count int
	if err := w.db.QueryRow("SELECT COUNT(*) FROM "+w.job.Table+" WHERE "+where, values...).Scan(&count); err != nil {
		w.Fatal(err)
	}
	return count
}

func names(prefix string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("user_%s%d", prefix, i)
	}
	return all
}

func TestFirstSignInsCreateOneRowEach(t *testing.T) {
	everywhere(t, nil, func(w *world) {
		users := names("first", 50)
		for i, user := range users {
			w.user(user, fmt.Sprintf("name%d", i), fmt.Sprintf("first%d@example.com", i), 1, "")
		}
		created := w.signIn(users)
		if rows := w.count("1 = 1"); rows != len(users) {
			w.Errorf("%d rows", rows)
		}
		for user, key := range w.signIn(users) {
			if created[user] != key {
				w.Errorf("%s moved from %s to %s", user, created[user], key)
			}
		}
	})
}

// TestTwoNewUsersWantOneUsername sends 4 × 8 first requests at a time, with only two users among them.
func TestTwoNewUsersWantOneUsername(t *testing.T) {
	everywhere(t, nil, func(w *world) {
		for round := range 6 {
			pair := names(fmt.Sprintf("pair%dx", round), 2)
			for _, user := range pair {
				w.user(user, fmt.Sprintf("wanted%d", round), user+"@example.com", 1, "")
			}
			w.signIn(slices.Repeat(pair, 4))
		}
		if rows := w.count("1 = 1"); rows != 12 {
			w.Errorf("%d rows", rows)
		}
	})
}

// TestManyUsersHaveOneProvenAddress: at most one of them gets a row that was prepared, and each has a row.
func TestManyUsersHaveOneProvenAddress(t *testing.T) {
	for name, statements := range map[string][]string{
		"empty table":    nil,
		"prepared row":   {"INSERT INTO {table} (email, username) VALUES ('SHARED@example.com', 'prepared')"},
		"unique address": {"CREATE UNIQUE INDEX {table}_email ON {table} (email)"},
		"unique address and prepared row": {
			"CREATE UNIQUE INDEX {table}_email ON {table} (email)",
			"INSERT INTO {table} (email, username) VALUES ('shared@example.com', 'prepared')",
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			everywhere(t, statements, func(w *world) {
				users := names("shared", 50)
				for i, user := range users {
					w.user(user, fmt.Sprintf("own%d", i), "shared@example.com", 1, "")
				}
				keys := w.signIn(users)
				prepared := strings.Contains(name, "prepared")
				if rows := w.count("clerk_id IS NOT NULL"); rows != len(users) {
					w.Errorf("%d rows with a user", rows)
				}
				linked := 0
				for _, key := range keys {
					if key == "1" {
						linked++
					}
				}
				if prepared && linked != 1 {
					w.Errorf("%d users have the prepared row", linked)
				}
				if rows := w.count("LOWER(email) = 'shared@example.com'"); strings.Contains(name, "unique") && rows != 1 {
					w.Errorf("%d rows with the address", rows)
				}
			})
		})
	}
}

// TestNewerUserIsWrittenByAllAndLostByNone: all workers know a version and meet the next one.
func TestNewerUserIsWrittenByAllAndLostByNone(t *testing.T) {
	everywhere(t, nil, func(w *world) {
		users := names("newer", 8)
		for version := 1; version < 5; version++ {
			for i, user := range users {
				w.user(user, fmt.Sprintf("name%d", i), fmt.Sprintf("v%d-%d@example.com", version, i), version,
					fmt.Sprintf(`, "first_name": "Version %d"`, version))
			}
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() { // the row of the first user is written by others as well
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						_, _ = w.db.Exec("UPDATE " + w.job.Table + " SET last_name = 'x' WHERE clerk_id = '" + users[0] + "'")
					}
				}
			}()
			w.signIn(slices.Repeat(users, 2))
			close(stop)
			<-stopped
		}
		if rows := w.count("1 = 1"); rows != len(users) {
			w.Errorf("%d rows", rows)
		}
	})
}
