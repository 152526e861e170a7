// Command fleet is one of several servers that share users and revocations through Redis: who signs out at one is rejected by all.
//
//	CLERK_SECRET_KEY=sk_test_... CLERK_SHARED_CACHE=redis://localhost fleet
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Without Redis, requests are 503: no revocation is missed.
	required := true
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true, SharedCacheRequired: &required})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	polled := make(chan error, 1)
	go func() { polled <- client.Poll(ctx) }()

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", client.Metrics())
	mux.Handle("GET /", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, auth.UserID())
	})))
	mux.Handle("POST /sign-out", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		if err := client.RevokeSession(auth.SessionID()); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})))
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Println(server.Serve(listener)) }()

	// Ends with the signal, or at once without a shared cache.
	if err := <-polled; !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(ending)
}
