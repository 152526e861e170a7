// Package sqlstore keeps users in a table of any database that database/sql reaches.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// Options says what the table looks like. The zero value is the table that [Store.CreateTable] makes.
type Options struct {
	// Dialect is the database's; [SQLite] if it is nil.
	Dialect *Dialect
	// Table is the table's name, with a schema's before it if need be; "clerk_user" if it is "".
	Table string
	// Key is the name of the key's column; "id" if it is "".
	Key string
	// TextKey says that keys are texts; else they are whole numbers.
	TextKey bool
	// NewKey makes the key of a new row; if it is nil, the database does.
	NewKey func() (string, error)
	// Columns are the names of the table's columns; a column that is not named is not there. nil: all of them, under the
	// names of [clerkauth.Column].
	Columns map[clerkauth.Column]string
	// Lengths are how many characters fit into the text columns; [DefaultLengths] if it is nil. A map without any is for
	// columns without a limit.
	Lengths map[clerkauth.Column]uint32
	// Written runs in the transaction that has made or changed a row, for what must be there together with it. An error
	// undoes everything.
	Written func(ctx context.Context, tx *sql.Tx, user *clerkauth.User, created bool) error
	// IsConflict recognizes the driver's error for a unique column that already holds such a value; [IsConflict] if it is
	// nil.
	IsConflict func(error) bool
}

// Store is a [clerkauth.UserStore] over a table. Create and Update run in a transaction each.
type Store struct {
	db      *sql.DB
	dialect Dialect
	options Options
	columns []clerkauth.Column
	selects string
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New makes a store. Nothing is asked of the database yet.
func New(db *sql.DB, options Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: the database is nil")
	}
	s := &Store{db: db, dialect: SQLite, options: options}
	if options.Dialect != nil {
		s.dialect = *options.Dialect
	}
	set := func(value *string, normal string) {
		if *value == "" {
			*value = normal
		}
	}
	set(&s.options.Table, "clerk_user")
	set(&s.options.Key, "id")
	if options.IsConflict == nil {
		s.options.IsConflict = IsConflict
	}
	if options.Lengths == nil {
		s.options.Lengths = DefaultLengths
	}
	if options.Columns == nil {
		s.options.Columns = map[clerkauth.Column]string{}
		for _, column := range clerkauth.Columns() {
			s.options.Columns[column] = column.String()
		}
	}
	names := []string{s.options.Table, s.options.Key}
	selected := []string{s.name(s.options.Key)}
	for _, column := range clerkauth.Columns() {
		if name, ok := s.options.Columns[column]; ok {
			s.columns = append(s.columns, column)
			names, selected = append(names, name), append(selected, s.name(name))
		}
	}
	for _, name := range names {
		if !identifier.MatchString(name) {
			return nil, fmt.Errorf("sqlstore: %q is no name of a table or column", name)
		}
	}
	s.selects = "SELECT " + strings.Join(selected, ", ") + " FROM " + s.name(s.options.Table) + " WHERE "
	return s, nil
}

// Schema says which columns the table has.
func (s *Store) Schema() clerkauth.Schema {
	return clerkauth.Schema{Columns: s.columns, Lengths: s.options.Lengths}
}

// name quotes a name.
func (s *Store) name(name string) string {
	q := s.dialect.Quote
	return q + strings.ReplaceAll(name, ".", q+"."+q) + q
}

func (s *Store) column(column clerkauth.Column) string { return s.name(s.options.Columns[column]) }

func (s *Store) has(column clerkauth.Column) bool {
	_, ok := s.options.Columns[column]
	return ok
}

// asker is a database or a transaction.
type asker interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// FindByKey finds the row with that key.
func (s *Store) FindByKey(ctx context.Context, key string) (*clerkauth.User, error) {
	return s.byKey(ctx, s.db, key)
}

func (s *Store) byKey(ctx context.Context, from asker, key string) (*clerkauth.User, error) {
	value, ok := s.keyValue(key)
	if !ok {
		return nil, nil
	}
	return one(s.find(ctx, from, s.name(s.options.Key)+" = "+s.dialect.place(1), value))
}

// FindByClerkID finds the row of a Clerk user.
func (s *Store) FindByClerkID(ctx context.Context, clerkID string) (*clerkauth.User, error) {
	return one(s.find(ctx, s.db, s.column(clerkauth.ColumnClerkID)+" = "+s.dialect.place(1), clerkID))
}

// FindByEmail finds the rows with an address.
func (s *Store) FindByEmail(ctx context.Context, email string) ([]*clerkauth.User, error) {
	where := "LOWER(" + s.column(clerkauth.ColumnEmail) + ") = LOWER(" + s.dialect.place(1) + ") LIMIT 2"
	return s.find(ctx, s.db, where, email)
}

// UsernameTaken says whether another row has that name.
func (s *Store) UsernameTaken(ctx context.Context, username, exceptKey string) (bool, error) {
	where := "LOWER(" + s.column(clerkauth.ColumnUsername) + ") = LOWER(" + s.dialect.place(1) + ")"
	values := []any{username}
	if value, ok := s.keyValue(exceptKey); ok {
		where += " AND " + s.name(s.options.Key) + " <> " + s.dialect.place(2)
		values = append(values, value)
	}
	found, err := s.find(ctx, s.db, where+" LIMIT 1", values...)
	return len(found) > 0, err
}

// keyValue is the key as the table has it; false if no row can have it.
func (s *Store) keyValue(key string) (any, bool) {
	if s.options.TextKey {
		return key, key != ""
	}
	number, err := strconv.ParseInt(key, 10, 64)
	return number, err == nil
}

func one(users []*clerkauth.User, err error) (*clerkauth.User, error) {
	switch {
	case err != nil || len(users) == 0:
		return nil, err
	case len(users) > 1:
		return nil, errors.New("sqlstore: several rows where there can be one")
	}
	return users[0], nil
}

func (s *Store) find(ctx context.Context, from asker, where string, values ...any) ([]*clerkauth.User, error) {
	rows, err := from.QueryContext(ctx, s.selects+where, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*clerkauth.User
	for rows.Next() {
		user, err := s.scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, user)
	}
	return found, rows.Err()
}

func (s *Store) scan(rows *sql.Rows) (*clerkauth.User, error) {
	texts := make([]sql.NullString, len(clerkauth.Columns()))
	var lastActive sql.NullInt64
	var isActive, banned sql.NullBool
	user := &clerkauth.User{IsActive: true}
	into := []any{&user.Key}
	for _, column := range s.columns {
		switch column {
		case clerkauth.ColumnLastActiveAtMs:
			into = append(into, &lastActive)
		case clerkauth.ColumnIsActive:
			into = append(into, &isActive)
		case clerkauth.ColumnBannedByClerk:
			into = append(into, &banned)
		default:
			into = append(into, &texts[column])
		}
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	user.ClerkID, user.Email = texts[clerkauth.ColumnClerkID].String, texts[clerkauth.ColumnEmail].String
	user.Username, user.ImageURL = texts[clerkauth.ColumnUsername].String, texts[clerkauth.ColumnImageURL].String
	user.FirstName, user.LastName = texts[clerkauth.ColumnFirstName].String, texts[clerkauth.ColumnLastName].String
	user.LastActiveAtMs, user.BannedByClerk = lastActive.Int64, banned.Bool
	if s.has(clerkauth.ColumnIsActive) {
		// NULL is no yes.
		user.IsActive = isActive.Bool
	}
	return user, nil
}

// Create makes a row.
func (s *Store) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	var names, places []string
	var values []any
	put := func(name string, value any) {
		values = append(values, value)
		names, places = append(names, s.name(name)), append(places, s.dialect.place(len(values)))
	}
	key := ""
	if s.options.NewKey != nil {
		made, err := s.options.NewKey()
		if err != nil {
			return nil, err
		}
		value, ok := s.keyValue(made)
		if !ok {
			return nil, fmt.Errorf("sqlstore: %q is no key of this table", made)
		}
		key = made
		put(s.options.Key, value)
	}
	for _, field := range fields {
		put(s.options.Columns[field.Column], field.Value)
	}
	insert := "INSERT INTO " + s.name(s.options.Table) + " (" + strings.Join(names, ", ") + ") VALUES (" +
		strings.Join(places, ", ") + ")"
	return s.write(ctx, true, func(tx *sql.Tx) (string, error) {
		switch {
		case key != "":
			_, err := tx.ExecContext(ctx, insert, values...)
			return key, err
		case s.dialect.Returning:
			err := tx.QueryRowContext(ctx, insert+" RETURNING "+s.name(s.options.Key), values...).Scan(&key)
			return key, err
		}
		result, err := tx.ExecContext(ctx, insert, values...)
		if err != nil {
			return "", err
		}
		id, err := result.LastInsertId()
		return strconv.FormatInt(id, 10), err
	})
}

// Update changes columns of a row.
func (s *Store) Update(ctx context.Context, key string, fields clerkauth.Fields) (*clerkauth.User, error) {
	value, ok := s.keyValue(key)
	if !ok {
		return nil, fmt.Errorf("sqlstore: %q is no key of this table", key)
	}
	var sets []string
	var values []any
	for _, field := range fields {
		values = append(values, field.Value)
		sets = append(sets, s.column(field.Column)+" = "+s.dialect.place(len(values)))
	}
	values = append(values, value)
	update := "UPDATE " + s.name(s.options.Table) + " SET " + strings.Join(sets, ", ") + " WHERE " +
		s.name(s.options.Key) + " = " + s.dialect.place(len(values))
	return s.write(ctx, false, func(tx *sql.Tx) (string, error) {
		if len(sets) == 0 {
			return key, nil
		}
		_, err := tx.ExecContext(ctx, update, values...)
		return key, err
	})
}

// write runs one change in a transaction, and reads the row again in it.
func (s *Store) write(ctx context.Context, created bool, change func(*sql.Tx) (string, error)) (*clerkauth.User, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing is left to be undone after Commit
	key, err := change(tx)
	if err != nil {
		return nil, s.conflict(err)
	}
	user, err := s.byKey(ctx, tx, key)
	if err == nil && user == nil {
		err = fmt.Errorf("sqlstore: the row %q is gone", key)
	}
	if err == nil && s.options.Written != nil {
		err = s.options.Written(ctx, tx, user, created)
	}
	if err == nil {
		// Some databases look at unique columns only now.
		err = s.conflict(tx.Commit())
	}
	if err != nil {
		return nil, err
	}
	return user, nil
}

func (s *Store) conflict(err error) error {
	if err != nil && s.options.IsConflict(err) {
		return fmt.Errorf("%w: %w", clerkauth.ErrConflict, err)
	}
	return err
}
