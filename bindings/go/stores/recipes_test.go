package stores

import (
	"context"
	"database/sql"
	"os"
	"testing"

	_ "github.com/lib/pq"

	"github.com/clerk-auth/clerk-auth/bindings/go/sqlstore"
	"github.com/clerk-auth/clerk-auth/bindings/go/storetest"
)

// TestStoreOfEachDriver: pgx, lib/pq and go-sql-driver pass the tests that every store must pass, and Node's libraries do.
func TestStoreOfEachDriver(t *testing.T) {
	for name, s := range map[string]struct {
		driver, source string
		dialect        *sqlstore.Dialect
	}{
		"GoPgx":       {"pgx", os.Getenv("STORES_POSTGRES"), &sqlstore.Postgres},
		"GoPq":        {"postgres", os.Getenv("STORES_POSTGRES"), &sqlstore.Postgres},
		"GoSQLDriver": {"mysql", os.Getenv("STORES_MARIADB"), &sqlstore.MySQL},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sql.Open(s.driver, s.source)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(20)
			store, err := sqlstore.New(db, sqlstore.Options{Dialect: s.dialect, Table: "contract_" + s.driver})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.CreateTable(context.Background()); err != nil {
				t.Fatal(err)
			}
			storetest.Run(t, store)
		})
	}
}
