// Command shop is a server with a user table of its own, pages for everybody, for customers and for clerks, and a webhook.
//
//	export CLERK_SECRET_KEY=sk_test_... CLERK_WEBHOOK_SIGNING_SECRET=whsec_...
//	shop -listen localhost:8080
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

func main() {
	listen := flag.String("listen", "localhost:0", "where to listen")
	flag.Parse()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true, Store: newCustomers(), Logger: logger, Realm: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.WarmUp(context.Background()); err != nil {
		logger.Warn("the first request will have to wait", "error", err)
	}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: routes(client)}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		<-interrupted.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func routes(client *clerkauth.Client) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", client.WithAuth(http.HandlerFunc(front)))
	mux.Handle("GET /orders", client.RequireAuth(http.HandlerFunc(orders)))
	mayRefund := func(auth *clerkauth.Auth) bool { return auth.HasPermission("org:orders:refund") }
	mux.Handle("POST /refund", client.Require(mayRefund)(http.HandlerFunc(refund)))
	mux.Handle("POST /webhooks/clerk", client.WebhookHandler())
	return mux
}

// front is for everybody; those who are signed in are greeted.
func front(w http.ResponseWriter, r *http.Request) {
	auth, signedIn := clerkauth.FromContext(r.Context())
	switch {
	case signedIn:
		fmt.Fprintln(w, "welcome back,", auth.FirstName())
	case errors.Is(clerkauth.ErrorFromContext(r.Context()), clerkauth.ErrUnavailable):
		fmt.Fprintln(w, "welcome; signing in does not work right now")
	default:
		fmt.Fprintln(w, "welcome")
	}
}

// orders shows that handlers have the row of the shop's own table.
func orders(w http.ResponseWriter, r *http.Request) {
	auth, _ := clerkauth.FromContext(r.Context())
	fmt.Fprintf(w, "%s, customer %s, has no orders\n", auth.LocalUser().FirstName, auth.UserKey())
}

func refund(w http.ResponseWriter, r *http.Request) {
	claims, _ := clerkauth.SessionClaimsFromContext(r.Context())
	fmt.Fprintln(w, "refunded by", claims.Subject, "for", claims.ActiveOrganizationSlug)
}
