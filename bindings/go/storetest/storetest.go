// Package storetest has the tests that every [clerkauth.UserStore] must pass, for the tests of applications.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, openStore(t))
//	}
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

const (
	rounds     = 5
	concurrent = 50
)

// Run tests a store, whose table it fills with rows.
func Run(t *testing.T, store clerkauth.UserStore) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(subjectOf(t, store)) })
	}
}

// subject is the store under test. Each test creates rows of its own through it.
type subject struct {
	testing.TB
	store   clerkauth.UserStore
	columns []clerkauth.Column
	ctx     context.Context
}

func subjectOf(t testing.TB, store clerkauth.UserStore) *subject {
	columns := slices.DeleteFunc(clerkauth.Columns(), func(c clerkauth.Column) bool { return c == clerkauth.ColumnClerkUpdatedAtMs })
	if described, ok := store.(clerkauth.SchemaStore); ok && described.Schema().Columns != nil {
		columns = described.Schema().Columns
	}
	return &subject{t, store, columns, context.Background()}
}

func (s *subject) has(columns ...clerkauth.Column) bool {
	return !slices.ContainsFunc(columns, func(c clerkauth.Column) bool { return !slices.Contains(s.columns, c) })
}

func unique(prefix string) string {
	bytes := make([]byte, 9)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return prefix + hex.EncodeToString(bytes)
}

// values are columns to write.
type values map[clerkauth.Column]any

// fields returns the columns that the table has, in ascending order.
func (s *subject) fields(columns values) clerkauth.Fields {
	var fields clerkauth.Fields
	for _, column := range clerkauth.Columns() {
		if value, ok := columns[column]; ok && s.has(column) {
			fields = append(fields, clerkauth.Field{Column: column, Value: value})
		}
	}
	return fields
}

// newUser returns the columns of a new user. A column whose change is the value unset is left out.
func (s *subject) newUser(changes values) clerkauth.Fields {
	id := unique("")
	columns := values{clerkauth.ColumnClerkID: "user_" + id, clerkauth.ColumnEmail: id + "@example.com", clerkauth.ColumnUsername: id,
		clerkauth.ColumnFirstName: "Ada", clerkauth.ColumnLastName: "Lovelace", clerkauth.ColumnLastActiveAtMs: int64(1700000000123),
		clerkauth.ColumnIsActive: true, clerkauth.ColumnBannedByClerk: false, clerkauth.ColumnClerkUpdatedAtMs: int64(1700000000456)}
	for column, value := range changes {
		if columns[column] = value; value == unset {
			delete(columns, column)
		}
	}
	return s.fields(columns)
}

// unset leaves a column out.
var unset any = new(int)

func value(fields clerkauth.Fields, column clerkauth.Column) string {
	for _, field := range fields {
		if field.Column == column {
			text, _ := field.Value.(string)
			return text
		}
	}
	return ""
}

func (s *subject) create(fields clerkauth.Fields) *clerkauth.User {
	s.Helper()
	created, err := s.store.Create(s.ctx, fields)
	if err != nil || created == nil {
		s.Fatalf("Create: %v %v", created, err)
	}
	s.equal("Create", created, fields)
	s.equal("FindByKey", s.byKey(created.Key), fields)
	return created
}

func (s *subject) byKey(key string) *clerkauth.User {
	s.Helper()
	found, err := s.store.FindByKey(s.ctx, key)
	if err != nil || found == nil || found.Key != key {
		s.Fatalf("FindByKey(%q): %+v %v", key, found, err)
	}
	return found
}

// equal requires that a row has the values that were written.
func (s *subject) equal(method string, row *clerkauth.User, written clerkauth.Fields) {
	s.Helper()
	want := *row
	written.Apply(&want)
	want.Row = row.Row
	if *row != want {
		s.Errorf("%s: got %+v, want %+v", method, *row, want)
	}
}

func (s *subject) update(key string, columns values, condition clerkauth.UpdateCondition) error {
	fields := s.fields(columns)
	row, err := s.store.Update(s.ctx, key, fields, condition)
	switch {
	case err != nil:
		return err
	case row == nil || row.Key != key:
		return fmt.Errorf("the row that Update returned is %+v", row)
	}
	return nil
}

func (s *subject) succeeds(err error, what string) {
	s.Helper()
	if err != nil {
		s.Errorf("%s: %v", what, err)
	}
}

func (s *subject) conflicts(err error, what string) {
	s.Helper()
	if !errors.Is(err, clerkauth.ErrConflict) {
		s.Errorf("%s: got %v, want ErrConflict", what, err)
	}
}

// race runs write at once, and returns how often it succeeded. Everything else must be a conflict.
func (s *subject) race(write func(int) error) int {
	s.Helper()
	var running sync.WaitGroup
	var succeeded atomic.Int32
	start := make(chan struct{})
	for i := range concurrent {
		running.Add(1)
		go func() {
			defer running.Done()
			<-start
			if err := write(i); err == nil {
				succeeded.Add(1)
			} else if !errors.Is(err, clerkauth.ErrConflict) {
				s.Errorf("got %v, want ErrConflict", err)
			}
		}()
	}
	close(start)
	running.Wait()
	return int(succeeded.Load())
}

func (s *subject) createAtOnce(changes values) int {
	s.Helper()
	return s.race(func(int) error {
		_, err := s.store.Create(s.ctx, s.newUser(changes))
		return err
	})
}

var anything clerkauth.UpdateCondition

var tests = []struct {
	name string
	run  func(*subject)
}{
	{"a created row is found by key, Clerk id and address", func(s *subject) {
		user := s.newUser(nil)
		key := s.create(user).Key
		if s.has(clerkauth.ColumnClerkID) {
			if found, err := s.store.FindByClerkID(s.ctx, value(user, clerkauth.ColumnClerkID)); err != nil || found == nil || found.Key != key {
				s.Errorf("FindByClerkID: %+v %v", found, err)
			}
		}
		if s.has(clerkauth.ColumnEmail) {
			email := value(user, clerkauth.ColumnEmail)
			if found, err := s.store.FindByEmail(s.ctx, strings.ToUpper(email)); err != nil || len(found) != 1 || found[0].Key != key {
				s.Errorf("FindByEmail must ignore case: %+v %v", found, err)
			}
			if found, err := s.store.FindByEmail(s.ctx, "_"+email[1:]); err != nil || len(found) != 0 {
				s.Errorf("FindByEmail must not take wildcards: %+v %v", found, err)
			}
		}
	}},
	{"missing rows are no error", func(s *subject) {
		if found, err := s.store.FindByClerkID(s.ctx, unique("user_")); s.has(clerkauth.ColumnClerkID) && (found != nil || err != nil) {
			s.Errorf("FindByClerkID: %+v %v", found, err)
		}
		if found, err := s.store.FindByEmail(s.ctx, unique("a")+"@example.com"); s.has(clerkauth.ColumnEmail) && (len(found) != 0 || err != nil) {
			s.Errorf("FindByEmail: %+v %v", found, err)
		}
	}},
	{"a deactivated row is found among many with its address", func(s *subject) {
		if !s.has(clerkauth.ColumnEmail, clerkauth.ColumnClerkID, clerkauth.ColumnIsActive, clerkauth.ColumnBannedByClerk) {
			return
		}
		email, last := unique("a")+"@example.com", ""
		for range 17 {
			row, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnEmail: email}))
			if errors.Is(err, clerkauth.ErrConflict) {
				return // addresses are unique in this table
			}
			if err != nil {
				s.Fatalf("Create: %v", err)
			}
			last = row.Key
		}
		s.succeeds(s.update(last, values{clerkauth.ColumnIsActive: false}, anything), "Update")
		found, err := s.store.FindByEmail(s.ctx, email)
		if err != nil || len(found) < 2 || !slices.ContainsFunc(found, func(row *clerkauth.User) bool { return row.Key == last }) {
			s.Errorf("FindByEmail must return two rows, first those that the application has deactivated: %+v %v", found, err)
		}
	}},
	{"an address is found among those that differ in an accent", func(s *subject) {
		if !s.has(clerkauth.ColumnEmail, clerkauth.ColumnClerkID) {
			return
		}
		name := unique("x")
		for _, letter := range []string{"é", "è", "ê"} {
			_, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnEmail: "jos" + letter + name + "@example.com"}))
			if errors.Is(err, clerkauth.ErrConflict) {
				return // addresses are unique in this table, without accents
			}
			s.succeeds(err, "Create")
		}
		email := "Jose" + name + "@example.com"
		row, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnEmail: email}))
		if errors.Is(err, clerkauth.ErrConflict) {
			return
		}
		if err != nil {
			s.Fatalf("Create: %v", err)
		}
		found, err := s.store.FindByEmail(s.ctx, strings.ToLower(email))
		if err != nil || !slices.ContainsFunc(found, func(other *clerkauth.User) bool { return other.Key == row.Key }) {
			s.Errorf("FindByEmail must return the row with the address: %+v %v", found, err)
		}
	}},
	{"I and i differ in case only", func(s *subject) {
		if !s.has(clerkauth.ColumnEmail, clerkauth.ColumnUsername) {
			return
		}
		name := unique("")
		key := s.create(s.newUser(values{clerkauth.ColumnEmail: "I" + name + "@x", clerkauth.ColumnUsername: "I" + name})).Key
		if found, err := s.store.FindByEmail(s.ctx, "i"+name+"@x"); err != nil || len(found) != 1 || found[0].Key != key {
			s.Errorf("FindByEmail: %+v %v", found, err)
		}
		if taken, err := s.store.UsernameTaken(s.ctx, "i"+name, ""); err != nil || !taken {
			s.Errorf("UsernameTaken: %v %v", taken, err)
		}
		_, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnUsername: "i" + name}))
		s.conflicts(err, "Create with a username that exists")
	}},
	{"Clerk ids are compared exactly", func(s *subject) {
		if !s.has(clerkauth.ColumnClerkID) {
			return
		}
		id := unique("user_aBc")
		key := s.create(s.newUser(values{clerkauth.ColumnClerkID: id})).Key
		if other := s.create(s.newUser(values{clerkauth.ColumnClerkID: strings.ToLower(id)})); other.Key == key {
			s.Error("ids that differ in case are two users")
		}
		if found, err := s.store.FindByClerkID(s.ctx, id); err != nil || found == nil || found.Key != key {
			s.Errorf("FindByClerkID: %+v %v", found, err)
		}
		if found, err := s.store.FindByClerkID(s.ctx, strings.ToUpper(id)); err != nil || found != nil {
			s.Errorf("FindByClerkID: %+v %v", found, err)
		}
	}},
	{"names outside ASCII, and of four bytes, are stored", func(s *subject) {
		s.create(s.newUser(values{clerkauth.ColumnFirstName: "Zoë 北京 😀"}))
	}},
	{"NULL clears an address, and other columns stay", func(s *subject) {
		if !s.has(clerkauth.ColumnEmail) {
			return
		}
		user := s.newUser(nil)
		key := s.create(user).Key
		s.succeeds(s.update(key, values{clerkauth.ColumnEmail: nil}, anything), "Update")
		row := s.byKey(key)
		if row.Email != "" {
			s.Errorf("Email is %q", row.Email)
		}
		s.equal("Update", row, slices.DeleteFunc(user, func(f clerkauth.Field) bool { return f.Column == clerkauth.ColumnEmail }))
	}},
	{"UsernameTaken ignores case and the own row", func(s *subject) {
		if !s.has(clerkauth.ColumnUsername) {
			return
		}
		name := unique("Name")
		key := s.create(s.newUser(values{clerkauth.ColumnUsername: name})).Key
		for _, want := range []struct {
			name, except string
			taken        bool
		}{{strings.ToUpper(name), "", true}, {name, key, false}, {unique("free"), "", false}} {
			if taken, err := s.store.UsernameTaken(s.ctx, want.name, want.except); err != nil || taken != want.taken {
				s.Errorf("UsernameTaken(%q, %q): %v %v", want.name, want.except, taken, err)
			}
		}
	}},
	{"a Clerk id or username that exists is a conflict", func(s *subject) {
		user := s.newUser(nil)
		key, other := s.create(user).Key, s.create(s.newUser(nil)).Key
		if s.has(clerkauth.ColumnClerkID) {
			_, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnClerkID: value(user, clerkauth.ColumnClerkID)}))
			s.conflicts(err, "Create with a Clerk id that exists")
		}
		if s.has(clerkauth.ColumnUsername) {
			name := value(user, clerkauth.ColumnUsername)
			_, err := s.store.Create(s.ctx, s.newUser(values{clerkauth.ColumnUsername: name}))
			s.conflicts(err, "Create with a username that exists")
			s.conflicts(s.update(other, values{clerkauth.ColumnUsername: name}, anything), "Update to a username that exists")
		}
		s.equal("FindByKey", s.byKey(key), user)
	}},
	{"Update obeys its condition", func(s *subject) {
		key := s.create(s.newUser(values{clerkauth.ColumnClerkID: unset, clerkauth.ColumnClerkUpdatedAtMs: int64(5)})).Key
		if s.has(clerkauth.ColumnClerkID) {
			link := func() error {
				return s.update(key, values{clerkauth.ColumnClerkID: unique("user_")}, clerkauth.UpdateCondition{OnlyIfUnlinked: true})
			}
			s.succeeds(link(), "OnlyIfUnlinked, a row without a Clerk id")
			s.conflicts(link(), "OnlyIfUnlinked, a row with a Clerk id")
		}
		if s.has(clerkauth.ColumnClerkUpdatedAtMs) {
			write := func(version int64) error {
				return s.update(key, values{clerkauth.ColumnFirstName: "v", clerkauth.ColumnClerkUpdatedAtMs: version}, clerkauth.UpdateCondition{MaxVersion: &version})
			}
			s.succeeds(write(6), "MaxVersion, a newer version")
			s.succeeds(write(6), "MaxVersion, the same row again")
			s.conflicts(write(5), "MaxVersion, an older version")
		}
		if s.has(clerkauth.ColumnIsActive, clerkauth.ColumnBannedByClerk) {
			ban := values{clerkauth.ColumnIsActive: false, clerkauth.ColumnBannedByClerk: true}
			lift := values{clerkauth.ColumnIsActive: true, clerkauth.ColumnBannedByClerk: false}
			onlyIfActive, onlyIfBanned := clerkauth.UpdateCondition{OnlyIfActive: true}, clerkauth.UpdateCondition{OnlyIfBanned: true}
			s.conflicts(s.update(key, lift, onlyIfBanned), "OnlyIfBanned, an active row")
			s.succeeds(s.update(key, ban, onlyIfActive), "OnlyIfActive, an active row")
			s.conflicts(s.update(key, ban, onlyIfActive), "OnlyIfActive, an inactive row")
			s.succeeds(s.update(key, lift, onlyIfBanned), "OnlyIfBanned, a banned row")
			s.succeeds(s.update(key, values{clerkauth.ColumnIsActive: false}, anything), "Update")
			s.conflicts(s.update(key, lift, onlyIfBanned), "OnlyIfBanned, a row that the application deactivated")
		}
	}},
	{"a row of many users at once is linked once", func(s *subject) {
		if !s.has(clerkauth.ColumnClerkID) {
			return
		}
		for range rounds {
			key := s.create(s.newUser(values{clerkauth.ColumnClerkID: unset})).Key
			linked := s.race(func(int) error {
				return s.update(key, values{clerkauth.ColumnClerkID: unique("user_")}, clerkauth.UpdateCondition{OnlyIfUnlinked: true})
			})
			if linked != 1 {
				s.Errorf("%d users have linked the row: OnlyIfUnlinked must be part of the statement", linked)
			}
		}
	}},
	{"a user who is created many times at once has one row", func(s *subject) {
		for range rounds {
			if created := s.createAtOnce(values{clerkauth.ColumnClerkID: unique("user_")}); s.has(clerkauth.ColumnClerkID) && created != 1 {
				s.Errorf("%d rows: Clerk ids must be unique", created)
			}
		}
	}},
	{"a username that many want at once has one row", func(s *subject) {
		for range rounds {
			if created := s.createAtOnce(values{clerkauth.ColumnUsername: unique("name")}); s.has(clerkauth.ColumnUsername) && created != 1 {
				s.Errorf("%d rows: usernames must be unique", created)
			}
		}
	}},
	{"of many versions at once the newest remains", func(s *subject) {
		if !s.has(clerkauth.ColumnClerkUpdatedAtMs, clerkauth.ColumnFirstName) {
			return
		}
		for range rounds {
			key := s.create(s.newUser(values{clerkauth.ColumnClerkUpdatedAtMs: int64(1)})).Key
			s.race(func(i int) error {
				version := int64(2 + i*7%concurrent)
				return s.update(key, values{clerkauth.ColumnFirstName: fmt.Sprint("v", version), clerkauth.ColumnClerkUpdatedAtMs: version},
					clerkauth.UpdateCondition{MaxVersion: &version})
			})
			if row := s.byKey(key); row.ClerkUpdatedAtMs != concurrent+1 || row.FirstName != fmt.Sprint("v", concurrent+1) {
				s.Errorf("version %d with the name %q", row.ClerkUpdatedAtMs, row.FirstName)
			}
		}
	}},
}
