package clerkauth_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// accounts is a user store with one table in memory.
type accounts struct {
	mu   sync.Mutex
	rows []clerkauth.User // the row with the key "1" comes first
}

func (a *accounts) find(match func(*clerkauth.User) bool) *clerkauth.User {
	for _, row := range a.rows {
		if match(&row) {
			return &row
		}
	}
	return nil
}

func (a *accounts) FindByKey(_ context.Context, key string) (*clerkauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.find(func(u *clerkauth.User) bool { return u.Key == key }), nil
}

func (a *accounts) FindByClerkID(_ context.Context, clerkID string) (*clerkauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.find(func(u *clerkauth.User) bool { return u.ClerkID == clerkID }), nil
}

func (a *accounts) FindByEmail(_ context.Context, email string) ([]*clerkauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if user := a.find(func(u *clerkauth.User) bool { return strings.EqualFold(u.Email, email) }); user != nil {
		return []*clerkauth.User{user}, nil
	}
	return nil, nil
}

func (a *accounts) UsernameTaken(_ context.Context, username, exceptKey string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	user := a.find(func(u *clerkauth.User) bool { return strings.EqualFold(u.Username, username) && u.Key != exceptKey })
	return user != nil, nil
}

func (a *accounts) Create(_ context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	user := clerkauth.User{Key: fmt.Sprint(len(a.rows) + 1)}
	fields.Apply(&user)
	if a.find(func(u *clerkauth.User) bool { return u.ClerkID == user.ClerkID }) != nil {
		return nil, clerkauth.ErrConflict
	}
	a.rows = append(a.rows, user)
	return &user, nil
}

func (a *accounts) Update(_ context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.rows {
		if a.rows[i].Key == key && condition.Allows(&a.rows[i]) {
			fields.Apply(&a.rows[i])
			user := a.rows[i]
			return &user, nil
		}
	}
	return nil, clerkauth.ErrConflict
}

func ExampleUserStore() {
	api := exampleAPI()
	defer api.Close()
	// An account from before the move to Clerk is linked by its verified email address.
	store := &accounts{rows: []clerkauth.User{{Key: "1", Email: "ada@example.com", Username: "ada", IsActive: true}}}
	client, err := clerkauth.New(clerkauth.Config{
		SecretKey: "sk_test_example",
		JWTKey:    exampleIssuer.publicKey(),
		APIURL:    api.URL,
		Store:     store,
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	handler := client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, "account", auth.UserKey(), auth.LocalUser().Email)
	}))

	fmt.Println(get(handler.ServeHTTP, exampleIssuer.token("user_ada", 60)))
	fmt.Println(store.rows[0].ClerkID)
	// Output:
	// 200 account 1 ada@example.com
	// user_ada
}
