// Package sqlstore implements [clerkauth.UserStore] with database/sql.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// Options describes the table. The zero value describes the table that [Store.CreateTable] creates.
type Options struct {
	// Dialect is the dialect of the database; [SQLite] if nil.
	Dialect *Dialect
	// Table is the name of the table, with or without a schema; "clerk_user" if empty.
	Table string
	// Key is the name of the primary key column; "id" if empty.
	Key string
	// StringKey selects string keys; the default is integers.
	StringKey bool
	// NewKey returns the key of a new row; if nil, the database generates it.
	NewKey func() (string, error)
	// Columns maps columns to their names in the table, which lacks the columns that are not in it. If nil, the table has all
	// columns, under the names of [clerkauth.Column].
	Columns map[clerkauth.Column]string
	// Lengths are the maximum lengths of string columns in characters; [DefaultLengths] if nil. An empty map sets no limits.
	Lengths map[clerkauth.Column]uint32
	// AfterWrite is called in the transaction that created or updated a row, such as to write related rows. If it returns an
	// error, the transaction is rolled back. It is called again if the database aborts the transaction, as for a deadlock.
	AfterWrite func(ctx context.Context, tx *sql.Tx, user *clerkauth.User, created bool) error
	// IsConflict reports whether an error of the driver is a violated unique constraint; [IsConflict] if nil.
	IsConflict func(error) bool
}

// Store is a [clerkauth.UserStore]. Create and Update run in a transaction.
type Store struct {
	db      *sql.DB
	dialect Dialect
	options Options
	columns []clerkauth.Column
	selects string
	checked atomic.Bool
	// narrows has the columns whose collation is one of narrowing.
	narrows [clerkauth.ColumnUsername + 1]atomic.Bool
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns a store. It does not access the database.
func New(db *sql.DB, options Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: db is nil")
	}
	s := &Store{db: db, dialect: SQLite, options: options}
	if options.Dialect != nil {
		s.dialect = *options.Dialect
	}
	if options.Table == "" {
		s.options.Table = "clerk_user"
	}
	if options.Key == "" {
		s.options.Key = "id"
	}
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
	selected := []string{s.quote(s.options.Key)}
	for _, column := range clerkauth.Columns() {
		if name, ok := s.options.Columns[column]; ok {
			s.columns = append(s.columns, column)
			names, selected = append(names, name), append(selected, s.quote(name))
		}
	}
	for _, name := range names {
		if !identifier.MatchString(name) {
			return nil, fmt.Errorf("sqlstore: invalid table or column name %q", name)
		}
	}
	s.selects = "SELECT " + strings.Join(selected, ", ") + " FROM " + s.quote(s.options.Table) + " WHERE "
	return s, nil
}

// Schema returns the columns of the table.
func (s *Store) Schema() clerkauth.Schema {
	return clerkauth.Schema{Columns: s.columns, Lengths: s.options.Lengths}
}

// quote quotes an identifier, and its schema by itself.
func (s *Store) quote(name string) string {
	q := s.dialect.Quote
	return q + strings.ReplaceAll(name, ".", q+"."+q) + q
}

func (s *Store) column(column clerkauth.Column) string { return s.quote(s.options.Columns[column]) }

func (s *Store) has(column clerkauth.Column) bool {
	_, ok := s.options.Columns[column]
	return ok
}

// querier is a *sql.DB or *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// FindByKey implements [clerkauth.UserStore].
func (s *Store) FindByKey(ctx context.Context, key string) (*clerkauth.User, error) {
	return s.byKey(ctx, s.db, key)
}

func (s *Store) byKey(ctx context.Context, from querier, key string) (*clerkauth.User, error) {
	value, ok := s.keyValue(key)
	if !ok {
		return nil, nil
	}
	return one(s.find(ctx, from, s.quote(s.options.Key)+" = "+s.dialect.placeholder(1), value))
}

// FindByClerkID implements [clerkauth.UserStore].
func (s *Store) FindByClerkID(ctx context.Context, clerkID string) (*clerkauth.User, error) {
	return one(s.find(ctx, s.db, s.column(clerkauth.ColumnClerkID)+" = "+s.dialect.placeholder(1), clerkID))
}

// FindByEmail implements [clerkauth.UserStore].
func (s *Store) FindByEmail(ctx context.Context, email string) ([]*clerkauth.User, error) {
	if err := s.Check(ctx); err != nil {
		return nil, err
	}
	where, values, limit := s.equal(clerkauth.ColumnEmail, s.dialect.placeholder(1)), []any{email}, " LIMIT 2"
	if s.dialect.IgnoresCase {
		// LOWER also makes other letters than those of ASCII equal, which are not the same address.
		limit = " LIMIT 16"
	}
	if s.narrows[clerkauth.ColumnEmail].Load() {
		where, values = s.column(clerkauth.ColumnEmail)+" = ? AND "+where, append(values, email)
	}
	// The limit must not cut off a row that the application has deactivated.
	separator := " ORDER BY "
	for _, column := range []clerkauth.Column{clerkauth.ColumnIsActive, clerkauth.ColumnBannedByClerk} {
		if s.has(column) {
			where += separator + s.column(column)
			separator = ", "
		}
	}
	return s.find(ctx, s.db, where+limit, values...)
}

// UsernameTaken implements [clerkauth.UserStore].
func (s *Store) UsernameTaken(ctx context.Context, username, exceptKey string) (bool, error) {
	if err := s.Check(ctx); err != nil {
		return false, err
	}
	where, values := s.equal(clerkauth.ColumnUsername, s.dialect.placeholder(1)), []any{username}
	switch {
	case s.narrows[clerkauth.ColumnUsername].Load():
		// As the unique index of the column compares.
		where = s.column(clerkauth.ColumnUsername) + " = ?"
	case s.dialect.IgnoresCase:
		where, values = "("+s.column(clerkauth.ColumnUsername)+" = ? OR "+where+")", append(values, username)
	case s.dialect.IsPostgreSQL && strings.ContainsFunc(username, func(r rune) bool { return r > unicode.MaxASCII }):
		// An index of the application may compare in the locale.
		where = "(" + where + " OR LOWER(" + s.column(clerkauth.ColumnUsername) + ") = LOWER(CAST($1 AS TEXT)))"
	}
	if value, ok := s.keyValue(exceptKey); ok {
		values = append(values, value)
		where += " AND " + s.quote(s.options.Key) + " <> " + s.dialect.placeholder(len(values))
	}
	found, err := s.find(ctx, s.db, where+" LIMIT 1", values...)
	return len(found) > 0, err
}

// keyValue converts a key to the type of its column; false if no row can have it.
func (s *Store) keyValue(key string) (any, bool) {
	if s.options.StringKey {
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
		return nil, errors.New("sqlstore: several rows for a unique value")
	}
	return users[0], nil
}

func (s *Store) find(ctx context.Context, from querier, where string, values ...any) ([]*clerkauth.User, error) {
	if from == querier(s.db) {
		if err := s.Check(ctx); err != nil {
			return nil, err
		}
	}
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
	values := make([]sql.NullString, len(clerkauth.Columns()))
	var lastActive, version milliseconds
	var isActive, banned flag
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
		case clerkauth.ColumnClerkUpdatedAtMs:
			into = append(into, &version)
		default:
			into = append(into, &values[column])
		}
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	user.ClerkID, user.Email = values[clerkauth.ColumnClerkID].String, values[clerkauth.ColumnEmail].String
	user.Username, user.ImageURL = values[clerkauth.ColumnUsername].String, values[clerkauth.ColumnImageURL].String
	user.FirstName, user.LastName = values[clerkauth.ColumnFirstName].String, values[clerkauth.ColumnLastName].String
	user.LastActiveAtMs, user.ClerkUpdatedAtMs, user.BannedByClerk = int64(lastActive), int64(version), bool(banned)
	if s.has(clerkauth.ColumnIsActive) {
		user.IsActive = bool(isActive)
	}
	return user, nil
}

// Create implements [clerkauth.UserStore].
func (s *Store) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	var names, placeholders []string
	var values []any
	add := func(name string, value any) {
		values = append(values, value)
		names, placeholders = append(names, s.quote(name)), append(placeholders, s.dialect.placeholder(len(values)))
	}
	newKey := ""
	if s.options.NewKey != nil {
		var err error
		if newKey, err = s.options.NewKey(); err != nil {
			return nil, err
		}
		value, ok := s.keyValue(newKey)
		if !ok {
			return nil, fmt.Errorf("sqlstore: invalid key %q", newKey)
		}
		add(s.options.Key, value)
	}
	for _, field := range fields {
		add(s.options.Columns[field.Column], field.Value)
	}
	insert := "INSERT INTO " + s.quote(s.options.Table) + " (" + strings.Join(names, ", ") + ") VALUES (" +
		strings.Join(placeholders, ", ") + ")"
	return s.write(ctx, true, func(tx *sql.Tx) (string, error) {
		switch {
		case newKey != "":
			_, err := tx.ExecContext(ctx, insert, values...)
			return newKey, err
		case s.dialect.Returning:
			var key string
			err := tx.QueryRowContext(ctx, insert+" RETURNING "+s.quote(s.options.Key), values...).Scan(&key)
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

// Update implements [clerkauth.UserStore].
func (s *Store) Update(ctx context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	value, ok := s.keyValue(key)
	if !ok {
		return nil, fmt.Errorf("sqlstore: invalid key %q", key)
	}
	var sets []string
	var values []any
	for _, field := range fields {
		values = append(values, field.Value)
		sets = append(sets, s.column(field.Column)+" = "+s.dialect.placeholder(len(values)))
	}
	values = append(values, value)
	update := "UPDATE " + s.quote(s.options.Table) + " SET " + strings.Join(sets, ", ")
	where := " WHERE " + s.quote(s.options.Key) + " = " + s.dialect.placeholder(len(values))
	if condition.OnlyIfUnlinked {
		where += " AND " + s.column(clerkauth.ColumnClerkID) + " IS NULL"
	}
	if condition.MaxVersion != nil {
		values = append(values, *condition.MaxVersion)
		version := s.column(clerkauth.ColumnClerkUpdatedAtMs)
		where += " AND (" + version + " IS NULL OR " + version + " <= " + s.dialect.placeholder(len(values)) + ")"
	}
	if condition.OnlyIfActive {
		where += " AND " + s.column(clerkauth.ColumnIsActive) + " = TRUE"
	}
	if condition.OnlyIfBanned {
		where += " AND " + s.column(clerkauth.ColumnBannedByClerk) + " = TRUE AND " + s.column(clerkauth.ColumnIsActive) + " = FALSE"
	}
	return s.write(ctx, false, func(tx *sql.Tx) (string, error) {
		if len(sets) == 0 {
			return key, nil
		}
		result, err := tx.ExecContext(ctx, update+where, values...)
		if err != nil {
			return "", err
		}
		if updated, err := result.RowsAffected(); err != nil || updated > 0 {
			return key, nil
		}
		if !s.dialect.IgnoresCase {
			return "", clerkauth.ErrConflict
		}
		return key, s.updateLocked(ctx, tx, update, where, values, values[len(sets):])
	})
}

// updateLocked repeats an update that changed no row. A driver of MySQL may count the rows that have changed, not those that fulfil the
// condition: with the row locked, it is one or the other.
func (s *Store) updateLocked(ctx context.Context, tx *sql.Tx, update, where string, values, ofWhere []any) error {
	var key string
	err := tx.QueryRowContext(ctx, "SELECT "+s.quote(s.options.Key)+" FROM "+s.quote(s.options.Table)+where+" FOR UPDATE", ofWhere...).Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return clerkauth.ErrConflict
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, update+where, values...)
	}
	return err
}

// maxRestarts is how often a transaction that the database has aborted begins again.
const maxRestarts = 10

// write runs a change in a transaction, again if the database aborts it because of another one.
func (s *Store) write(ctx context.Context, created bool, change func(*sql.Tx) (string, error)) (*clerkauth.User, error) {
	for restarts := 0; ; restarts++ {
		user, err := s.writeOnce(ctx, created, change)
		if err == nil || restarts == maxRestarts || !isAborted(err) {
			return user, err
		}
		// Two transactions that have aborted each other should not meet again.
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(rand.Int63n(int64(time.Millisecond) << restarts))):
		}
	}
}

// writeOnce runs a change in a transaction and reads the row within it.
func (s *Store) writeOnce(ctx context.Context, created bool, change func(*sql.Tx) (string, error)) (*clerkauth.User, error) {
	// A query of its own, which must not wait for a connection within the transaction.
	if err := s.Check(ctx); err != nil {
		return nil, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	key, err := change(tx)
	if err != nil {
		return nil, s.conflict(err)
	}
	user, err := s.byKey(ctx, tx, key)
	if err == nil && user == nil {
		err = fmt.Errorf("sqlstore: no row with the key %q", key)
	}
	if err == nil && s.options.AfterWrite != nil {
		err = s.options.AfterWrite(ctx, tx, user, created)
	}
	if err == nil {
		// Deferred constraints are checked at commit.
		err = s.conflict(tx.Commit())
	}
	if err != nil {
		return nil, err
	}
	return user, nil
}

// isOfGeneratedKey reports whether the key exists that PostgreSQL generated: its sequence is behind rows that were inserted with keys of
// their own, which no other row makes a conflict.
func (s *Store) isOfGeneratedKey(err error) bool {
	_, table, found := strings.Cut(s.options.Table, ".")
	if !found {
		table = s.options.Table
	}
	return s.options.NewKey == nil && s.dialect.IsPostgreSQL && strings.Contains(err.Error(), table+"_pkey")
}

func (s *Store) conflict(err error) error {
	if err != nil && !errors.Is(err, clerkauth.ErrConflict) && s.options.IsConflict(err) && !s.isOfGeneratedKey(err) {
		return fmt.Errorf("%w: %w", clerkauth.ErrConflict, err)
	}
	return err
}
