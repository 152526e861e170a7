package stores

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// TestTableOfTheLibrary: the setting database, with each server. First sign-ins of several users at once create one row each.
func TestTableOfTheLibrary(t *testing.T) {
	const users, attempts = 8, 4
	mariadb := strings.Replace(strings.Replace(os.Getenv("STORES_MARIADB"), "tcp(", "", 1), ")", "", 1)
	for name, s := range map[string]struct{ url, driver, source string }{
		"Postgres": {os.Getenv("STORES_POSTGRES"), "pgx", os.Getenv("STORES_POSTGRES")},
		"MariaDB":  {"mysql://" + mariadb + "?sslmode=disable", "mysql", os.Getenv("STORES_MARIADB")},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simtest.Start(t)
			tokens := make([]string, 0, users*attempts)
			for i := range users {
				id := fmt.Sprintf("user_%s%d", name, i)
				sim.User(id, `{"username": "same", "first_name": "Ä😀"}`)
				for range attempts {
					tokens = append(tokens, sim.Session(id))
				}
			}
			client, err := clerkauth.New(clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_stores", Database: s.url, TimeoutMs: clerkauth.Int(30_000)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for _, outcome := range authenticate(client, tokens) {
				if outcome.Error != "" {
					t.Error(outcome.Error)
				}
			}
			db, err := sql.Open(s.driver, s.source)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var rows, names int
			err = db.QueryRow("SELECT COUNT(*), COUNT(DISTINCT LOWER(username)) FROM clerk_user WHERE first_name = 'Ä😀'").Scan(&rows, &names)
			if err != nil || rows != users || names != users {
				t.Errorf("%d rows, %d names, want %d: %v", rows, names, users, err)
			}
		})
	}
}
