package integration

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/clerk-auth/clerk-auth/bindings/go/clerktest"
	"github.com/clerk-auth/clerk-auth/bindings/go/integration/migrating/after"
	"github.com/clerk-auth/clerk-auth/bindings/go/integration/migrating/before"
)

// TestMigratedApplicationResponds as the one with clerk-sdk-go, but for the differences that docs/migrating.md lists.
func TestMigratedApplicationResponds(t *testing.T) {
	clerk := clerktest.New(t)
	theirs, ours := before.Handler(clerk.JWTKey()), after.Handler(clerk.Client())
	ada := []clerktest.Option{clerktest.User("user_ada")}
	reader := []clerktest.Option{clerktest.User("user_eve"), clerktest.Org("org_1", "org:member", "org:invoices:read")}
	for _, test := range []struct {
		path   string
		token  string
		theirs int
		ours   int
	}{
		{"/", "", 200, 200},
		{"/", clerk.Token(ada...), 200, 200},
		{"/me", clerk.Token(ada...), 200, 200},
		{"/me", clerk.Token(reader...), 200, 200},
		{"/invoices", clerk.Token(ada...), 403, 403},
		{"/invoices", clerk.Token(reader...), 200, 200},
		// clerk-sdk-go responds with 403 to requests without a token and with 401 to invalid tokens, also where
		// authentication is optional.
		{"/me", "", 403, 401},
		{"/me", clerk.Token(clerktest.ExpiresIn(-time.Minute)), 401, 401},
		{"/", clerk.Token(clerktest.ExpiresIn(-time.Minute)), 401, 200},
	} {
		request := func() *http.Request {
			r := httptest.NewRequest("GET", test.path, nil)
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			return r
		}
		their, our := httptest.NewRecorder(), httptest.NewRecorder()
		theirs.ServeHTTP(their, request())
		ours.ServeHTTP(our, request())
		if their.Code != test.theirs || our.Code != test.ours {
			t.Errorf("%s: %d and %d, want %d and %d", test.path, their.Code, our.Code, test.theirs, test.ours)
		}
		if their.Code == 200 && our.Code == 200 && their.Body.String() != our.Body.String() {
			t.Errorf("%s: %s and %s", test.path, their.Body, our.Body)
		}
	}
}
