// Command hello greets signed-in users.
//
//	CLERK_SECRET_KEY=sk_test_... hello
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

func main() {
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true})
	if err != nil {
		log.Fatal(err)
	}
	hello := func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, "hello", auth.UserID())
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	log.Fatal(http.Serve(listener, client.RequireAuth(http.HandlerFunc(hello))))
}
