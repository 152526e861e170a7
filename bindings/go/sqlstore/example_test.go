package sqlstore_test

import (
	"database/sql"
	"log"
	"os"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/sqlstore"
)

func ExampleNew() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
	if err != nil {
		log.Fatal(err)
	}
	users, err := sqlstore.New(db, sqlstore.Options{
		Dialect: &sqlstore.Postgres,
		Table:   "account",
		Columns: map[clerkauth.Column]string{
			clerkauth.ColumnClerkID:  "clerk_id",
			clerkauth.ColumnEmail:    "mail",
			clerkauth.ColumnIsActive: "active",
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true, Store: users})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}
