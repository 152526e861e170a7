// Package before is an application with clerk-sdk-go v2; package after is the same with clerkauth. docs/migrating.md compares them.
package before

import (
	"fmt"
	"net/http"

	"github.com/clerk/clerk-sdk-go/v2"
	clerkhttp "github.com/clerk/clerk-sdk-go/v2/http"
)

// Handler returns the application. The key is PEM.
func Handler(jwtKey string) http.Handler {
	withClaims := clerkhttp.WithHeaderAuthorization(clerkhttp.JSONWebKey(jwtKey))
	require := clerkhttp.RequireHeaderAuthorization(clerkhttp.JSONWebKey(jwtKey))
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", withClaims(http.HandlerFunc(home)))
	mux.Handle("GET /me", require(http.HandlerFunc(me)))
	mux.Handle("GET /invoices", require(http.HandlerFunc(invoices)))
	return mux
}

func home(w http.ResponseWriter, r *http.Request) {
	claims, ok := clerk.SessionClaimsFromContext(r.Context())
	if !ok {
		fmt.Fprint(w, "hello, guest")
		return
	}
	fmt.Fprint(w, "hello, ", claims.Subject)
}

func me(w http.ResponseWriter, r *http.Request) {
	claims, _ := clerk.SessionClaimsFromContext(r.Context())
	fmt.Fprint(w, claims.Subject, " ", claims.ActiveOrganizationID)
}

func invoices(w http.ResponseWriter, r *http.Request) {
	claims, _ := clerk.SessionClaimsFromContext(r.Context())
	if !claims.HasPermission("org:invoices:read") {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	fmt.Fprint(w, "no invoices")
}
