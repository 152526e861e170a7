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
		{"NodeMariaDB", "Node", "mysql", mariadb},
	}
}

// world is a fake Clerk API, an empty table, and the workers.
type world struct {
	*testing.T
	sim     *simtest.Sim
	setup   setup
	db      *sql.DB
	job     job
	workers []*worker
}

// rounds is how often a race is run.
const rounds = 5

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
			w := &world{T: t, sim: sim, setup: s, job: job{APIURL: sim.URL, Driver: s.driver, Source: s.source, Table: table, TimeoutMs: 30_000}}
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
				lower := "(email)"
				if s.driver == "pgx" {
					lower = "(LOWER(email))"
				}
				w.exec(strings.NewReplacer("{table}", table, "{lower(email)}", lower).Replace(statement))
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

func (w *world) key(where string) string {
	w.Helper()
	var key string
	if err := w.db.QueryRow("SELECT id FROM " + w.job.Table + " WHERE " + where).Scan(&key); err != nil {
		w.Fatal(err)
	}
	return key
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

// TestManyNewUsersWantOneUsername sends the first requests of 50 users at once, several of each: everyone gets a row with the
// own address, and one of them the username.
func TestManyNewUsersWantOneUsername(t *testing.T) {
	for name, statements := range map[string][]string{
		"any address":    nil,
		"unique address": {"CREATE UNIQUE INDEX {table}_mail ON {table} (email)"},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			everywhere(t, statements, func(w *world) {
				for round := range rounds {
					users := names(fmt.Sprintf("same%dx", round), 50)
					wanted := fmt.Sprintf("Wanted%d", round)
					for _, user := range users {
						w.user(user, wanted, user+"@example.com", 1, "")
					}
					w.signIn(users)
					// Those who differ in case want the same, too.
					if rows := w.count("LOWER(username) = LOWER('" + wanted + "')"); rows != 1 {
						w.Errorf("%d rows have the username", rows)
					}
				}
				if rows := w.count("1 = 1"); rows != 50*rounds {
					w.Errorf("%d rows", rows)
				}
				if rows := w.count("email IS NULL OR LOWER(email) <> LOWER(clerk_id) || '@example.com'"); w.job.Driver != "mysql" && rows != 0 {
					w.Errorf("%d rows without their address", rows)
				}
				if rows := w.count("email IS NULL"); rows != 0 {
					w.Errorf("%d rows without an address", rows)
				}
			})
		})
	}
}

// TestManyUsersHaveOneProvenAddress: at most one of them gets a row that was prepared, and each has a row.
func TestManyUsersHaveOneProvenAddress(t *testing.T) {
	for name, statements := range map[string][]string{
		"empty table":    nil,
		"prepared row":   nil,
		"unique address": {"CREATE UNIQUE INDEX {table}_mail ON {table} (email)"},
		// As the store compares addresses, so that two processes do not create one each.
		"unique address and prepared row": {"CREATE UNIQUE INDEX {table}_mail ON {table} {lower(email)}"},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			everywhere(t, statements, func(w *world) {
				for round := range rounds {
					users := names(fmt.Sprintf("shared%dx", round), 50)
					address := fmt.Sprintf("shared%d@example.com", round)
					prepared := ""
					if strings.Contains(name, "prepared") {
						w.exec(fmt.Sprintf("INSERT INTO %s (email, username) VALUES ('%s', 'prepared%d')", w.job.Table, strings.ToUpper(address), round))
						prepared = w.key(fmt.Sprintf("username = 'prepared%d'", round))
					}
					for i, user := range users {
						w.user(user, fmt.Sprintf("own%dx%d", round, i), address, 1, "")
					}
					keys := w.signIn(users)
					linked := 0
					for _, key := range keys {
						if key == prepared {
							linked++
						}
					}
					if prepared != "" && linked != 1 {
						w.Errorf("%d users have the prepared row", linked)
					}
					if rows := w.count("LOWER(email) = '" + address + "'"); strings.Contains(name, "unique") && rows != 1 {
						w.Errorf("%d rows with the address", rows)
					}
				}
				if rows := w.count("clerk_id IS NOT NULL"); rows != 50*rounds {
					w.Errorf("%d rows with a user", rows)
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
