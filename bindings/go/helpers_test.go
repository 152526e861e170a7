package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

var background = context.Background()

// newClient returns a client of a fake Clerk API.
func newClient(t testing.TB, sim *simtest.Sim, options ...func(*clerkauth.Config)) *clerkauth.Client {
	t.Helper()
	config := clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go"}
	for _, set := range options {
		set(&config)
	}
	client, err := clerkauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func bearerRequest(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// outcome summarizes what Authenticate returned: "ok verified KEY", "rejected REASON" and the like.
func outcome(auth *clerkauth.Auth, err error) string {
	if (auth == nil) == (err == nil) {
		return fmt.Sprintf("not exactly one of Auth and error: %v, %v", auth, err)
	}
	if err == nil {
		return strings.TrimSpace("ok " + auth.Source().String() + " " + auth.UserKey())
	}
	var authErr *clerkauth.Error
	if !errors.As(err, &authErr) {
		return fmt.Sprintf("not an *Error: %v", err)
	}
	for kind, name := range map[error]string{
		clerkauth.ErrSignedOut: "rejected", clerkauth.ErrNoCredentials: "no-credentials", clerkauth.ErrUnavailable: "unavailable",
	} {
		if errors.Is(err, kind) {
			return strings.TrimSpace(name + " " + authErr.Reason.String())
		}
	}
	return err.Error()
}

func authenticate(client *clerkauth.Client, token string) string {
	return outcome(client.Authenticate(background, bearerRequest(token)))
}

// allocatedBy returns how many bytes a call allocates.
func allocatedBy(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func assertEqual[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func assertErrorIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
}

// memoryStore is a user store in memory. Its methods call intercepted first, and fail if that does.
type memoryStore struct {
	mu          sync.Mutex
	rows        []*clerkauth.User
	log         []string
	intercepted func(ctx context.Context, method string) error
}

// enter logs a method call and returns what intercepted returns.
func (s *memoryStore) enter(ctx context.Context, method string) error {
	s.mu.Lock()
	s.log = append(s.log, method)
	intercepted := s.intercepted
	s.mu.Unlock()
	if intercepted != nil {
		return intercepted(ctx, method)
	}
	return nil
}

// takeLog returns the methods that were called since the last takeLog.
func (s *memoryStore) takeLog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.log = nil }()
	return strings.Join(s.log, " ")
}

// intercept sets a function that every method calls first.
func (s *memoryStore) intercept(function func(ctx context.Context, method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercepted = function
}

func (s *memoryStore) find(match func(*clerkauth.User) bool) []*clerkauth.User {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*clerkauth.User
	for _, row := range s.rows {
		if match(row) {
			copied := *row
			copied.Row = row
			found = append(found, &copied)
		}
	}
	return found
}

func (s *memoryStore) one(match func(*clerkauth.User) bool) *clerkauth.User {
	for _, row := range s.find(match) {
		return row
	}
	return nil
}

func (s *memoryStore) FindByKey(ctx context.Context, key string) (*clerkauth.User, error) {
	if err := s.enter(ctx, "by_key"); err != nil {
		return nil, err
	}
	return s.one(func(u *clerkauth.User) bool { return u.Key == key }), nil
}

func (s *memoryStore) FindByClerkID(ctx context.Context, id string) (*clerkauth.User, error) {
	if err := s.enter(ctx, "by_clerk_id"); err != nil {
		return nil, err
	}
	return s.one(func(u *clerkauth.User) bool { return u.ClerkID == id }), nil
}

func (s *memoryStore) FindByEmail(ctx context.Context, email string) ([]*clerkauth.User, error) {
	if err := s.enter(ctx, "by_email"); err != nil {
		return nil, err
	}
	return s.find(func(u *clerkauth.User) bool { return strings.EqualFold(u.Email, email) }), nil
}

func (s *memoryStore) UsernameTaken(ctx context.Context, username, except string) (bool, error) {
	if err := s.enter(ctx, "taken"); err != nil {
		return false, err
	}
	return s.one(func(u *clerkauth.User) bool { return strings.EqualFold(u.Username, username) && u.Key != except }) != nil, nil
}

func (s *memoryStore) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	if err := s.enter(ctx, "create"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row := &clerkauth.User{Key: strconv.Itoa(len(s.rows) + 1)}
	fields.Apply(row)
	for _, other := range s.rows {
		if other.ClerkID == row.ClerkID {
			return nil, fmt.Errorf("create: %w", clerkauth.ErrConflict)
		}
	}
	s.rows = append(s.rows, row)
	copied := *row
	return &copied, nil
}

func (s *memoryStore) Update(ctx context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	if err := s.enter(ctx, "update"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.rows {
		if row.Key == key && condition.Allows(row) {
			fields.Apply(row)
			copied := *row
			return &copied, nil
		}
	}
	return nil, clerkauth.ErrConflict
}

func (s *memoryStore) change(key string, change func(*clerkauth.User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.rows {
		if row.Key == key {
			change(row)
		}
	}
}

func withStore(store clerkauth.UserStore) func(*clerkauth.Config) {
	// Each request sees the row as it is.
	return func(config *clerkauth.Config) { config.Store, config.RowCheckTTLS = store, clerkauth.Int(0) }
}

// userID returns the id of the user with this number.
func userID(number int) string { return "user_" + strconv.Itoa(number) }
