// Command pages serves a page that stays signed in: a browser whose session cookie is stale is redirected to Clerk and back.
//
//	CLERK_SECRET_KEY=sk_test_... CLERK_PUBLISHABLE_KEY=pk_test_... pages
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	origin := "http://" + listener.Addr().String()
	client, err := clerkauth.New(clerkauth.Config{
		FromEnv: true, Handshake: "on", PublicOrigin: []string{origin}, AuthorizedParties: []string{origin},
	})
	if err != nil {
		log.Fatal(err)
	}
	page := func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, "hello", auth.UserID())
	}
	fmt.Println(origin)
	log.Fatal(http.Serve(listener, client.RequireAuth(http.HandlerFunc(page))))
}
