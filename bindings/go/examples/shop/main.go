// Command shop is a server with a user table of its own, public and private pages, an authorization check and a webhook.
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
	address := flag.String("listen", "localhost:0", "address to listen on")
	flag.Parse()
	if err := run(*address); err != nil {
		log.Fatal(err)
	}
}

func run(address string) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true, Store: newCustomers(), Logger: logger, Realm: "shop"})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.WarmUp(context.Background()); err != nil {
		logger.Warn("the JWKS could not be fetched; the first request will retry", "error", err)
	}

	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: routes(client)}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes(client *clerkauth.Client) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", client.WithAuth(http.HandlerFunc(home)))
	mux.Handle("GET /orders", client.RequireAuth(http.HandlerFunc(orders)))
	canRefund := func(auth *clerkauth.Auth) bool { return auth.HasPermission("org:orders:refund") }
	mux.Handle("POST /refund", client.Require(canRefund)(http.HandlerFunc(refund)))
	mux.Handle("POST /webhooks/clerk", client.WebhookHandler())
	return mux
}

// home is public, and greets users who are signed in.
func home(w http.ResponseWriter, r *http.Request) {
	auth, ok := clerkauth.FromContext(r.Context())
	switch {
	case ok:
		fmt.Fprintln(w, "welcome back,", auth.FirstName())
	case errors.Is(clerkauth.ErrorFromContext(r.Context()), clerkauth.ErrUnavailable):
		fmt.Fprintln(w, "welcome; sign-in is temporarily unavailable")
	default:
		fmt.Fprintln(w, "welcome")
	}
}

// orders uses the row of the shop's own table.
func orders(w http.ResponseWriter, r *http.Request) {
	auth, _ := clerkauth.FromContext(r.Context())
	fmt.Fprintf(w, "%s, customer %s, has no orders\n", auth.LocalUser().FirstName, auth.UserKey())
}

func refund(w http.ResponseWriter, r *http.Request) {
	claims, _ := clerkauth.SessionClaimsFromContext(r.Context())
	fmt.Fprintln(w, "refunded by", claims.Subject, "for", claims.ActiveOrganizationSlug)
}
