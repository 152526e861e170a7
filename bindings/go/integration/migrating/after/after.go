// Package after is the application of package before with clerkauth.
package after

import (
	"fmt"
	"net/http"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// Handler returns the application.
func Handler(client *clerkauth.Client) http.Handler {
	mayRead := client.Require(func(auth *clerkauth.Auth) bool { return auth.HasPermission("org:invoices:read") })
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", client.WithAuth(http.HandlerFunc(home)))
	mux.Handle("GET /me", client.RequireAuth(http.HandlerFunc(me)))
	mux.Handle("GET /invoices", mayRead(http.HandlerFunc(invoices)))
	return mux
}

func home(w http.ResponseWriter, r *http.Request) {
	claims, ok := clerkauth.SessionClaimsFromContext(r.Context())
	if !ok {
		fmt.Fprint(w, "hello, guest")
		return
	}
	fmt.Fprint(w, "hello, ", claims.Subject)
}

func me(w http.ResponseWriter, r *http.Request) {
	auth, _ := clerkauth.FromContext(r.Context())
	fmt.Fprint(w, auth.UserID(), " ", auth.OrgID())
}

func invoices(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "no invoices") }
