package clerkauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

func ExampleNew() {
	client, err := clerkauth.New(clerkauth.Config{
		SecretKey:         "sk_test_4f7a0c2b91d84e63", // or FromEnv: true, which reads CLERK_SECRET_KEY
		AuthorizedParties: []string{"https://app.example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// New validates all settings.
	_, err = clerkauth.New(clerkauth.Config{SecretKey: "sk_test_4f7a0c2b91d84e63", UserMode: "unknown"})
	var authErr *clerkauth.Error
	if errors.Is(err, clerkauth.ErrConfig) && errors.As(err, &authErr) {
		fmt.Println("invalid setting:", authErr.Setting)
	}
	// Output: invalid setting: user_mode
}

func ExampleClient_Authenticate() {
	client, err := clerkauth.New(clerkauth.Config{JWTKey: exampleIssuer.publicKey()})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	handler := func(w http.ResponseWriter, r *http.Request) {
		auth, err := client.Authenticate(r.Context(), r)
		switch {
		case err == nil:
			fmt.Fprintln(w, "signed in as", auth.UserID())
		case errors.Is(err, clerkauth.ErrUnavailable):
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		case errors.Is(err, clerkauth.ReasonTokenExpired):
			http.Error(w, "session expired", http.StatusUnauthorized)
		default:
			http.Error(w, "not signed in", http.StatusUnauthorized)
		}
	}

	fmt.Println(get(handler, exampleIssuer.token("user_ada", 60)))
	fmt.Println(get(handler, exampleIssuer.token("user_ada", -60)))
	fmt.Println(get(handler, ""))
	// Output:
	// 200 signed in as user_ada
	// 401 session expired
	// 401 not signed in
}

func ExampleClient_RequireAuth() {
	client, err := clerkauth.New(clerkauth.Config{JWTKey: exampleIssuer.publicKey()})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	mux := http.NewServeMux()
	mux.Handle("/", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, "hello", auth.UserID())
	})))

	fmt.Println(get(mux.ServeHTTP, exampleIssuer.token("user_ada", 60)))
	fmt.Println(get(mux.ServeHTTP, "not a token"))
	// Output:
	// 200 hello user_ada
	// 401 {"error":"invalid_token"}
}

func ExampleClient_Require() {
	client, err := clerkauth.New(clerkauth.Config{JWTKey: exampleIssuer.publicKey()})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	admin := client.Require(func(auth *clerkauth.Auth) bool { return auth.HasRole("org:admin") })
	handler := admin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "welcome")
	}))

	fmt.Println(get(handler.ServeHTTP, exampleIssuer.token("user_ada", 60)))
	// Output: 403 {"error":"forbidden"}
}

func ExampleFromContext() {
	client, err := clerkauth.New(clerkauth.Config{JWTKey: exampleIssuer.publicKey()})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	// WithAuth passes on all requests.
	handler := client.WithAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth, ok := clerkauth.FromContext(r.Context()); ok {
			fmt.Fprintln(w, "hello", auth.UserID())
			return
		}
		fmt.Fprintln(w, "hello, guest:", clerkauth.ErrorFromContext(r.Context()))
	}))

	fmt.Println(get(handler.ServeHTTP, exampleIssuer.token("user_ada", 60)))
	fmt.Println(get(handler.ServeHTTP, ""))
	// Output:
	// 200 hello user_ada
	// 200 hello, guest: clerkauth: no credentials: session-token-missing
}

func ExampleClient_WebhookHandler() {
	client, err := clerkauth.New(clerkauth.Config{
		JWTKey:         exampleIssuer.publicKey(),
		WebhookSecrets: []string{exampleWebhookSecret}, // or CLERK_WEBHOOK_SIGNING_SECRET
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/clerk", client.WebhookHandler())
	mux.Handle("/", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	})))

	token := exampleIssuer.token("user_ada", 60)
	fmt.Println(get(mux.ServeHTTP, token))

	body := `{"type": "user.deleted", "data": {"id": "user_ada", "deleted": true}}`
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, signedDelivery("/webhooks/clerk", body))
	fmt.Println("webhook:", recorder.Code)

	fmt.Println(get(mux.ServeHTTP, token))
	// Output:
	// 200 hello
	// webhook: 200
	// 401 {"error":"invalid_token"}
}

func ExampleEvent() {
	client, err := clerkauth.New(clerkauth.Config{
		JWTKey: exampleIssuer.publicKey(),
		OnEvent: func(event clerkauth.Event) {
			if event.Kind == clerkauth.EventAuthFailed {
				fmt.Println(event.Kind, event.Reason, event.Level())
			}
		},
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	_, _ = client.VerifyToken(context.Background(), "emits no event")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+exampleIssuer.token("user_ada", -60))
	_, _ = client.Authenticate(r.Context(), r)
	// Output: auth_failed token-expired INFO
}
