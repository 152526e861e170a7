package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

var background = context.Background()

// newClient makes a client of a stand-in, with more settings if wanted.
func newClient(t testing.TB, sim *simtest.Sim, more ...func(*clerkauth.Config)) *clerkauth.Client {
	t.Helper()
	config := clerkauth.Config{APIURL: sim.URL, SecretKey: "sk_test_go"}
	for _, set := range more {
		set(&config)
	}
	client, err := clerkauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// said puts what Authenticate returned into a few words.
func said(auth *clerkauth.Auth, err error) string {
	if (auth == nil) == (err == nil) {
		return fmt.Sprintf("both or neither: %v, %v", auth, err)
	}
	if err == nil {
		return strings.TrimSpace("in " + auth.Source().String() + " " + auth.UserKey())
	}
	var failed *clerkauth.Error
	if !errors.As(err, &failed) {
		return fmt.Sprintf("not an *Error: %v", err)
	}
	for kind, word := range map[error]string{
		clerkauth.ErrSignedOut: "out", clerkauth.ErrNoCredentials: "none", clerkauth.ErrUnavailable: "unavailable",
	} {
		if errors.Is(err, kind) {
			return strings.TrimSpace(word + " " + failed.Reason.String())
		}
	}
	return err.Error()
}

func ask(client *clerkauth.Client, token string) string {
	return said(client.Authenticate(background, bearer(token)))
}

func expect[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func expectIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
}

// table is a user table in memory. What before returns is what its methods fail with.
type table struct {
	mu     sync.Mutex
	rows   []*clerkauth.User
	diary  []string
	before func(ctx context.Context, step string) error
}

func (s *table) enter(ctx context.Context, step string) error {
	s.mu.Lock()
	s.diary = append(s.diary, step)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		return before(ctx, step)
	}
	return nil
}

// took is what was asked since it was called last.
func (s *table) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.diary = nil }()
	return strings.Join(s.diary, " ")
}

// does says what is done before each step.
func (s *table) does(before func(ctx context.Context, step string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *table) find(fits func(*clerkauth.User) bool) []*clerkauth.User {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*clerkauth.User
	for _, row := range s.rows {
		if fits(row) {
			copied := *row
			copied.Row = row
			found = append(found, &copied)
		}
	}
	return found
}

func (s *table) one(fits func(*clerkauth.User) bool) *clerkauth.User {
	for _, row := range s.find(fits) {
		return row
	}
	return nil
}

func (s *table) FindByKey(ctx context.Context, key string) (*clerkauth.User, error) {
	if err := s.enter(ctx, "by_key"); err != nil {
		return nil, err
	}
	return s.one(func(u *clerkauth.User) bool { return u.Key == key }), nil
}

func (s *table) FindByClerkID(ctx context.Context, id string) (*clerkauth.User, error) {
	if err := s.enter(ctx, "by_clerk_id"); err != nil {
		return nil, err
	}
	return s.one(func(u *clerkauth.User) bool { return u.ClerkID == id }), nil
}

func (s *table) FindByEmail(ctx context.Context, email string) ([]*clerkauth.User, error) {
	if err := s.enter(ctx, "by_email"); err != nil {
		return nil, err
	}
	return s.find(func(u *clerkauth.User) bool { return strings.EqualFold(u.Email, email) }), nil
}

func (s *table) UsernameTaken(ctx context.Context, username, except string) (bool, error) {
	if err := s.enter(ctx, "taken"); err != nil {
		return false, err
	}
	return s.one(func(u *clerkauth.User) bool { return strings.EqualFold(u.Username, username) && u.Key != except }) != nil, nil
}

func (s *table) Create(ctx context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
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

func (s *table) Update(ctx context.Context, key string, fields clerkauth.Fields) (*clerkauth.User, error) {
	if err := s.enter(ctx, "update"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.rows {
		if row.Key == key {
			fields.Apply(row)
			copied := *row
			return &copied, nil
		}
	}
	return nil, errors.New("no such row")
}

func (s *table) change(key string, change func(*clerkauth.User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.rows {
		if row.Key == key {
			change(row)
		}
	}
}

func withStore(store clerkauth.UserStore) func(*clerkauth.Config) {
	return func(config *clerkauth.Config) { config.Store = store }
}

// numbered is the id of the user that a test numbers so.
func numbered(number int) string { return "user_" + strconv.Itoa(number) }
