package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// recorder is a driver that records statements. Each SELECT finds one row, each INSERT creates the key 7.
type recorder struct {
	statements []string
	collations [][]string
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return connection{r}, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }

type connection struct{ *recorder }

func (c connection) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("prepared statements are not supported")
}
func (c connection) Close() error { return nil }
func (c connection) Begin() (driver.Tx, error) {
	c.statements = append(c.statements, "BEGIN")
	return c, nil
}
func (c connection) Commit() error                { c.statements = append(c.statements, "COMMIT"); return nil }
func (c connection) Rollback() error              { c.statements = append(c.statements, "ROLLBACK"); return nil }
func (c connection) LastInsertId() (int64, error) { return 7, nil }
func (c connection) RowsAffected() (int64, error) { return 1, nil }

func (c connection) record(query string, values []driver.NamedValue) {
	for _, value := range values {
		query += fmt.Sprintf(" <%v>", value.Value)
	}
	c.statements = append(c.statements, query)
}

func (c connection) ExecContext(_ context.Context, query string, values []driver.NamedValue) (driver.Result, error) {
	c.record(query, values)
	return c, nil
}

func (c connection) QueryContext(_ context.Context, query string, values []driver.NamedValue) (driver.Rows, error) {
	if strings.Contains(query, "information_schema") {
		return &columns{c.collations}, nil
	}
	if query == "SHOW server_encoding" {
		return &row{"UTF8"}, nil
	}
	if strings.Contains(query, " AS probe ") {
		return &row{"0"}, nil
	}
	c.record(query, values)
	if strings.HasPrefix(query, "INSERT") {
		return &row{"7"}, nil
	}
	return &row{"7", "user_1", "Ada", "5"}, nil
}

// aborting is a driver whose first transactions are deadlocked at commit.
type aborting struct {
	recorder
	aborts int
	err    error
}

func (a *aborting) Connect(context.Context) (driver.Conn, error) {
	return abortingConnection{connection{&a.recorder}, a}, nil
}

type abortingConnection struct {
	connection
	of *aborting
}

func (c abortingConnection) Begin() (driver.Tx, error) {
	_, err := c.connection.Begin()
	return c, err
}

func (c abortingConnection) Commit() error {
	if c.of.aborts--; c.of.aborts >= 0 {
		return c.of.err
	}
	return c.connection.Commit()
}

func TestAbortedTransactionBeginsAgain(t *testing.T) {
	for aborts, succeeds := range map[int]bool{0: true, 1: true, maxRestarts: true, maxRestarts + 1: false} {
		for message, dialect := range map[string]*Dialect{
			"Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction": &MySQL,
			"Error 1020 (HY000): Record has changed since last read in table 'user'":                 &MySQL,
			"database is locked": &SQLite,
		} {
			aborting := &aborting{aborts: aborts, err: errors.New(message)}
			db := sql.OpenDB(aborting)
			defer db.Close()
			written := 0
			store, err := New(db, Options{Dialect: dialect, Columns: map[clerkauth.Column]string{
				clerkauth.ColumnClerkID: "clerk", clerkauth.ColumnUsername: "login", clerkauth.ColumnClerkUpdatedAtMs: "version"},
				AfterWrite: func(context.Context, *sql.Tx, *clerkauth.User, bool) error { written++; return nil }})
			if err != nil {
				t.Fatal(err)
			}
			fields := clerkauth.Fields{{Column: clerkauth.ColumnClerkID, Value: "user_1"}}
			made, err := store.Create(context.Background(), fields)
			if (err == nil) != succeeds || errors.Is(err, clerkauth.ErrConflict) || (succeeds && made.Key != "7") {
				t.Errorf("%d: %v", aborts, err)
			}
			if tries := min(aborts, maxRestarts) + 1; written != tries {
				t.Errorf("%d transactions, want %d", written, tries)
			}
			inserts := 0
			for _, statement := range aborting.statements {
				if strings.HasPrefix(statement, "INSERT") && strings.HasSuffix(statement, "<user_1>") {
					inserts++
				}
			}
			if inserts != written {
				t.Errorf("%d inserts in %d transactions", inserts, written)
			}
		}
	}
}

// columns are rows of information_schema.columns.
type columns struct{ rows [][]string }

func (c *columns) Columns() []string { return []string{"name", "charset", "collation"} }
func (c *columns) Close() error      { return nil }
func (c *columns) Next(into []driver.Value) error {
	if len(c.rows) == 0 {
		return io.EOF
	}
	for i, value := range c.rows[0] {
		into[i] = value
	}
	c.rows = c.rows[1:]
	return nil
}

func TestTableOfAnotherCharacterSetIsRejected(t *testing.T) {
	for _, test := range []struct {
		isRejected bool
		collations [][]string
	}{
		{false, nil},
		{false, [][]string{{"clerk_id", "utf8mb4", "utf8mb4_bin"}, {"email", "utf8mb4", "utf8mb4_general_ci"}, {"notes", "latin1", "latin1_swedish_ci"}}},
		{false, [][]string{{"clerk_id", "utf8mb4", "utf8mb4_0900_as_cs"}}},
		{true, [][]string{{"clerk_id", "utf8mb4", "utf8mb4_general_ci"}}},
		{true, [][]string{{"clerk_id", "latin1", "latin1_bin"}}},
		{true, [][]string{{"clerk_id", "utf8mb4", "utf8mb4_bin"}, {"first_name", "latin1", "latin1_swedish_ci"}}},
		{true, [][]string{{"first_name", "utf8mb3", "utf8mb3_general_ci"}}},
	} {
		db := sql.OpenDB(&recorder{collations: test.collations})
		defer db.Close()
		store, err := New(db, Options{Dialect: &MySQL})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Check(context.Background()); errors.Is(err, clerkauth.ErrConfig) != test.isRejected {
			t.Errorf("%v: %v", test.collations, err)
		}
		client, err := clerkauth.New(clerkauth.Config{SecretKey: "sk_test_x", Store: store})
		if errors.Is(err, clerkauth.ErrConfig) != test.isRejected {
			t.Errorf("%v: %v", test.collations, err)
		}
		_, err = store.FindByKey(context.Background(), "1")
		if errors.Is(err, clerkauth.ErrConfig) != test.isRejected {
			t.Errorf("%v: %v", test.collations, err)
		}
		_ = client.Close()
	}
}

func TestValuesOfDriversAreScanned(t *testing.T) {
	at := time.UnixMilli(1700000000123)
	for _, value := range []any{int64(1700000000123), "1700000000123", []byte("1700000000123"), at} {
		var scanned milliseconds
		if err := scanned.Scan(value); err != nil || scanned != 1700000000123 {
			t.Errorf("%T: %d %v", value, scanned, err)
		}
	}
	for want, values := range map[bool][]any{
		true:  {true, int64(1), "1", "t", "true", []byte("1"), []byte{1}},
		false: {nil, false, int64(0), "0", "f", []byte("0"), []byte{0}},
	} {
		for _, value := range values {
			scanned := flag(!want)
			if err := scanned.Scan(value); err != nil || bool(scanned) != want {
				t.Errorf("%T %v: %v %v", value, value, scanned, err)
			}
		}
	}
	for _, value := range []any{1.5, "yes", []byte{2}, int64(2), at} {
		if err := new(flag).Scan(value); err == nil {
			t.Errorf("%v is no boolean", value)
		}
	}
	for _, value := range []any{1.5, "soon", true} {
		if err := new(milliseconds).Scan(value); err == nil {
			t.Errorf("%v is no time", value)
		}
	}
}

// row is a result of one row.
type row []string

func (r *row) Columns() []string { return *r }
func (r *row) Close() error      { return nil }
func (r *row) Next(into []driver.Value) error {
	if len(*r) == 0 {
		return io.EOF
	}
	for i, value := range *r {
		into[i] = value
	}
	*r = nil
	return nil
}

const inSQLite = `CREATE TABLE IF NOT EXISTS "app"."user" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "clerk" VARCHAR(255) UNIQUE, "login" VARCHAR(150) NOT NULL, "version" BIGINT)
CREATE UNIQUE INDEX IF NOT EXISTS "app"."user_login" ON "user" (LOWER("login"))
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "clerk" = ? <user_1>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE LOWER("login") = LOWER(?) AND "id" <> ? LIMIT 1 <Ada> <7>
BEGIN
INSERT INTO "app"."user" ("clerk", "login") VALUES (?, ?) <user_1> <Ada>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "id" = ? <7>
COMMIT
BEGIN
UPDATE "app"."user" SET "clerk" = ?, "login" = ? WHERE "id" = ? AND "clerk" IS NULL AND ("version" IS NULL OR "version" <= ?) <user_1> <Ada> <7> <5>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "id" = ? <7>
COMMIT`

const inPostgres = `DO 'BEGIN PERFORM pg_advisory_xact_lock(4846204138207135075); CREATE TABLE IF NOT EXISTS "app"."user" ("id" BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "clerk" VARCHAR(255) UNIQUE, "login" VARCHAR(150) NOT NULL, "version" BIGINT); CREATE UNIQUE INDEX IF NOT EXISTS "user_login" ON "app"."user" (LOWER("login" COLLATE "C")); END'
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "clerk" = $1 <user_1>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE LOWER("login" COLLATE "C") = LOWER(CAST($1 AS TEXT) COLLATE "C") AND "id" <> $2 LIMIT 1 <Ada> <7>
BEGIN
INSERT INTO "app"."user" ("clerk", "login") VALUES ($1, $2) RETURNING "id" <user_1> <Ada>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "id" = $1 <7>
COMMIT
BEGIN
UPDATE "app"."user" SET "clerk" = $1, "login" = $2 WHERE "id" = $3 AND "clerk" IS NULL AND ("version" IS NULL OR "version" <= $4) <user_1> <Ada> <7> <5>
SELECT "id", "clerk", "login", "version" FROM "app"."user" WHERE "id" = $1 <7>
COMMIT`

const inMySQL = "CREATE TABLE IF NOT EXISTS `app`.`user` (`id` BIGINT AUTO_INCREMENT PRIMARY KEY, `clerk` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin UNIQUE, `login` VARCHAR(150) NOT NULL UNIQUE, `version` BIGINT) DEFAULT CHARACTER SET utf8mb4\n" +
	"SELECT `id`, `clerk`, `login`, `version` FROM `app`.`user` WHERE `clerk` = ? <user_1>\n" +
	"SELECT `id`, `clerk`, `login`, `version` FROM `app`.`user` WHERE (`login` = ? OR LOWER(`login` COLLATE utf8mb4_bin) = LOWER(CONVERT(? USING utf8mb4) COLLATE utf8mb4_bin)) AND `id` <> ? LIMIT 1 <Ada> <Ada> <7>\n" +
	"BEGIN\n" +
	"INSERT INTO `app`.`user` (`clerk`, `login`) VALUES (?, ?) <user_1> <Ada>\n" +
	"SELECT `id`, `clerk`, `login`, `version` FROM `app`.`user` WHERE `id` = ? <7>\n" +
	"COMMIT\n" +
	"BEGIN\n" +
	"UPDATE `app`.`user` SET `clerk` = ?, `login` = ? WHERE `id` = ? AND `clerk` IS NULL AND (`version` IS NULL OR `version` <= ?) <user_1> <Ada> <7> <5>\n" +
	"SELECT `id`, `clerk`, `login`, `version` FROM `app`.`user` WHERE `id` = ? <7>\n" +
	"COMMIT"

func TestDialects(t *testing.T) {
	ctx := context.Background()
	for want, dialect := range map[string]*Dialect{inSQLite: nil, inPostgres: &Postgres, inMySQL: &MySQL} {
		recorder := &recorder{}
		db := sql.OpenDB(recorder)
		defer db.Close()
		store, err := New(db, Options{Dialect: dialect, Table: "app.user", Columns: map[clerkauth.Column]string{
			clerkauth.ColumnClerkID: "clerk", clerkauth.ColumnUsername: "login", clerkauth.ColumnClerkUpdatedAtMs: "version"}})
		if err != nil {
			t.Fatal(err)
		}
		version := int64(5)
		fields := clerkauth.Fields{{Column: clerkauth.ColumnClerkID, Value: "user_1"}, {Column: clerkauth.ColumnUsername, Value: "Ada"}}
		errMake := store.CreateTable(ctx)
		_, errFind := store.FindByClerkID(ctx, "user_1")
		_, errTaken := store.UsernameTaken(ctx, "Ada", "7")
		made, errCreate := store.Create(ctx, fields)
		_, errUpdate := store.Update(ctx, "7", fields, clerkauth.UpdateCondition{OnlyIfUnlinked: true, MaxVersion: &version})
		if err := errors.Join(errMake, errFind, errTaken, errCreate, errUpdate); err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(recorder.statements, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if *made != (clerkauth.User{Key: "7", ClerkID: "user_1", Username: "Ada", IsActive: true, ClerkUpdatedAtMs: 5}) {
			t.Errorf("%+v", *made)
		}
	}
}

func TestZeroOptionsMatchCreateTable(t *testing.T) {
	db := sql.OpenDB(&recorder{})
	defer db.Close()
	for want, lengths := range map[int]map[clerkauth.Column]uint32{
		len(DefaultLengths): nil, 0: {}, 1: {clerkauth.ColumnUsername: 9},
	} {
		store, err := New(db, Options{Lengths: lengths})
		if err != nil {
			t.Fatal(err)
		}
		schema := store.Schema()
		if len(schema.Lengths) != want || !slices.Equal(schema.Columns, clerkauth.Columns()) {
			t.Errorf("%+v", schema)
		}
		if lengths == nil && !maps.Equal(schema.Lengths, DefaultLengths) {
			t.Errorf("%+v", schema.Lengths)
		}
	}
}
