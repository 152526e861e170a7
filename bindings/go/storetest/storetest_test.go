package storetest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// memory is a correct store, unless a defect replaces one of its functions.
type memory struct {
	mu        sync.Mutex
	rows      []*clerkauth.User
	sameID    func(a, b string) bool
	sameName  func(a, b string) bool
	isAllowed func(clerkauth.UpdateCondition, *clerkauth.User) bool
	stored    func(string) string
	isUnique  bool
	maxFound  int
	pause     time.Duration
}

func newMemory() *memory {
	return &memory{sameID: func(a, b string) bool { return a == b }, sameName: strings.EqualFold, isUnique: true, maxFound: 100,
		isAllowed: func(c clerkauth.UpdateCondition, row *clerkauth.User) bool { return c.Allows(row) },
		stored:    func(s string) string { return s }}
}

func (m *memory) Schema() clerkauth.Schema { return clerkauth.Schema{Columns: clerkauth.Columns()} }

func (m *memory) find(match func(*clerkauth.User) bool) []*clerkauth.User {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*clerkauth.User
	for _, row := range m.rows {
		if match(row) {
			copied := *row
			found = append(found, &copied)
		}
	}
	return found
}

func first(rows []*clerkauth.User) (*clerkauth.User, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	return rows[0], nil
}

func (m *memory) FindByKey(_ context.Context, key string) (*clerkauth.User, error) {
	return first(m.find(func(row *clerkauth.User) bool { return row.Key == key }))
}

func (m *memory) FindByClerkID(_ context.Context, id string) (*clerkauth.User, error) {
	return first(m.find(func(row *clerkauth.User) bool { return m.sameID(row.ClerkID, id) }))
}

func (m *memory) FindByEmail(_ context.Context, email string) ([]*clerkauth.User, error) {
	found := m.find(func(row *clerkauth.User) bool { return strings.EqualFold(row.Email, email) })
	return found[:min(m.maxFound, len(found))], nil
}

func (m *memory) UsernameTaken(_ context.Context, name, exceptKey string) (bool, error) {
	return len(m.find(func(row *clerkauth.User) bool { return m.sameName(row.Username, name) && row.Key != exceptKey })) > 0, nil
}

func (m *memory) Create(_ context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	return m.write(&clerkauth.User{}, fields)
}

func (m *memory) Update(ctx context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	row, _ := m.FindByKey(ctx, key)
	if row == nil || !m.isAllowed(condition, row) {
		return nil, clerkauth.ErrConflict
	}
	if m.pause == 0 {
		return m.writeIf(row.Key, fields, condition)
	}
	time.Sleep(m.pause)
	return m.write(row, fields)
}

func number(key string) int { n, _ := strconv.Atoi(key); return n - 1 }

func (m *memory) writeIf(key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := *m.rows[number(key)]
	if !m.isAllowed(condition, &row) {
		return nil, clerkauth.ErrConflict
	}
	return m.put(&row, fields)
}

func (m *memory) write(row *clerkauth.User, fields clerkauth.Fields) (*clerkauth.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(row, fields)
}

func (m *memory) put(row *clerkauth.User, fields clerkauth.Fields) (*clerkauth.User, error) {
	fields.Apply(row)
	row.FirstName = m.stored(row.FirstName)
	for _, other := range m.rows {
		clashes := row.ClerkID != "" && m.sameID(other.ClerkID, row.ClerkID) || strings.EqualFold(other.Username, row.Username)
		if m.isUnique && other.Key != row.Key && clashes {
			return nil, clerkauth.ErrConflict
		}
	}
	copied := *row
	if row.Key == "" {
		copied.Key = strconv.Itoa(len(m.rows) + 1)
		m.rows = append(m.rows, &copied)
	} else {
		m.rows[number(row.Key)] = &copied
	}
	returned := copied
	return &returned, nil
}

func TestCorrectStorePasses(t *testing.T) { Run(t, newMemory()) }

// recorder is a testing.TB that records a failure.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
}

func (r *recorder) fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Helper()               {}
func (r *recorder) Error(...any)          { r.fail() }
func (r *recorder) Errorf(string, ...any) { r.fail() }
func (r *recorder) Fatalf(string, ...any) { r.fail(); panic(r) }

func TestStoreWithADefectFails(t *testing.T) {
	for name, defect := range map[string]func(*memory){
		"Clerk ids are compared exactly":                         func(m *memory) { m.sameID = strings.EqualFold },
		"UsernameTaken ignores case and the own row":             func(m *memory) { m.sameName = m.sameID },
		"a Clerk id or username that exists is a conflict":       func(m *memory) { m.isUnique = false },
		"a username that many want at once has one row":          func(m *memory) { m.isUnique = false },
		"a row of many users at once is linked once":             func(m *memory) { m.pause = time.Millisecond },
		"Update obeys its condition":                             func(m *memory) { m.isAllowed = func(clerkauth.UpdateCondition, *clerkauth.User) bool { return true } },
		"a deactivated row is found among many with its address": func(m *memory) { m.maxFound = 2 },
		"names outside ASCII, and of four bytes, are stored":     func(m *memory) { m.stored = func(s string) string { return strings.ToValidUTF8(s[:4], "?") } },
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemory()
			defect(store)
			for _, test := range tests {
				if test.name != name {
					continue
				}
				recorder := &recorder{TB: t}
				func() {
					defer func() {
						if value := recover(); value != nil && value != any(recorder) {
							panic(value)
						}
					}()
					test.run(subjectOf(recorder, store))
				}()
				if !recorder.failed {
					t.Error("the defect was not found")
				}
				return
			}
			t.Error("no such test")
		})
	}
}
