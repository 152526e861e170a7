package clerkauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// serve returns the status, body and header of a response.
func serve(handler http.Handler, r *http.Request) (int, string, http.Header) {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body), response.Header
}

// writeUser writes the user id, or why the request is not signed in.
var writeUser = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	auth, ok := clerkauth.FromContext(r.Context())
	if !ok {
		_, _ = io.WriteString(w, "not signed in: "+outcome(nil, clerkauth.ErrorFromContext(r.Context())))
		return
	}
	claims, ok := clerkauth.SessionClaimsFromContext(r.Context())
	if !ok || claims.Subject != auth.UserID() || clerkauth.ErrorFromContext(r.Context()) != nil {
		http.Error(w, "the context is inconsistent", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, auth.UserID())
})

func TestRequireAuth(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.Realm = "app"; c.TimeoutMs = clerkauth.Int(300) })
	handler := client.RequireAuth(writeUser)
	token := sim.Session("user_1")
	for range 2 {
		status, body, _ := serve(handler, bearerRequest(token))
		assertEqual(t, status, 200)
		assertEqual(t, body, "user_1")
	}
	status, body, header := serve(handler, bearerRequest(""))
	assertEqual(t, status, 401)
	assertEqual(t, body, "{\"error\":\"no_credentials\"}\n")
	assertEqual(t, header.Get("WWW-Authenticate"), `Bearer realm="app"`)
	assertEqual(t, header.Get("Content-Type"), "application/json")
	assertEqual(t, header.Get("Cache-Control"), "no-store")
	status, body, header = serve(handler, bearerRequest(sim.Mint(`{"spoil": "expired"}`)))
	assertEqual(t, status, 401)
	assertEqual(t, body, "{\"error\":\"invalid_token\"}\n")
	assertEqual(t, header.Get("WWW-Authenticate"), `Bearer realm="app", error="invalid_token", error_description="token-expired"`)

	admin := client.Require(func(a *clerkauth.Auth) bool { return a.HasRole("org:admin") })(writeUser)
	status, body, header = serve(admin, bearerRequest(token))
	assertEqual(t, status, 403)
	assertEqual(t, body, "{\"error\":\"forbidden\"}\n")
	assertEqual(t, header.Get("WWW-Authenticate"), `Bearer realm="app", error="insufficient_scope"`)
	status, _, _ = serve(admin, bearerRequest(sim.Mint(`{"user": "user_1", "org": {"id": "org_1", "role": "admin"}}`)))
	assertEqual(t, status, 200)

	cold := newClient(t, sim, func(c *clerkauth.Config) { c.TimeoutMs = clerkauth.Int(300) })
	sim.Faults(`[{"path": "/jwks", "status": 429, "headers": {"Retry-After": "2"}}]`)
	status, body, header = serve(cold.RequireAuth(writeUser), bearerRequest(token))
	assertEqual(t, status, 503)
	assertEqual(t, body, "{\"error\":\"unavailable\"}\n")
	assertEqual(t, header.Get("Retry-After"), "2")
	assertEqual(t, header.Get("WWW-Authenticate"), "")
	assertEqual(t, client.Close(), nil)
	status, body, _ = serve(handler, bearerRequest(token))
	assertEqual(t, status, 500)
	assertEqual(t, body, "{\"error\":\"internal_error\"}\n")
}

func TestWithAuth(t *testing.T) {
	sim := simtest.Start(t)
	var events eventLog
	client := newClient(t, sim, func(c *clerkauth.Config) { c.OnEvent = events.add; c.TimeoutMs = clerkauth.Int(300) })
	handler := client.WithAuth(writeUser)
	token := sim.Session("user_1")
	for want, given := range map[string]string{
		"user_1": token,
		"not signed in: no-credentials session-token-missing": "",
		"not signed in: rejected token-invalid":               "nonsense",
	} {
		status, body, _ := serve(handler, bearerRequest(given))
		assertEqual(t, status, 200)
		assertEqual(t, body, want)
	}
	// An inner middleware reuses the result.
	events.takeLog()
	status, body, _ := serve(client.WithAuth(client.RequireAuth(writeUser)), bearerRequest(token))
	assertEqual(t, status, 200)
	assertEqual(t, body, "user_1")
	assertEqual(t, events.takeLog(), "auth_success(user_1  cache)")
	status, _, _ = serve(client.WithAuth(client.RequireAuth(writeUser)), bearerRequest(""))
	assertEqual(t, status, 401)
	// Another client authenticates by itself, and FromContext returns the innermost result.
	other := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{"api_key"} })
	_, body, _ = serve(client.WithAuth(other.WithAuth(writeUser)), bearerRequest(token))
	assertEqual(t, body, "not signed in: rejected token-type-not-supported")
	_, body, _ = serve(other.WithAuth(client.WithAuth(writeUser)), bearerRequest(token))
	assertEqual(t, body, "user_1")
	// During an outage the error is ErrUnavailable.
	cold := newClient(t, sim, func(c *clerkauth.Config) { c.TimeoutMs = clerkauth.Int(300) })
	sim.Down(true)
	_, body, _ = serve(cold.WithAuth(writeUser), bearerRequest(token))
	assertEqual(t, body, "not signed in: unavailable jwk-failed-to-load")
	sim.Down(false)
	// Without a middleware there is no result.
	_, ok := clerkauth.FromContext(background)
	assertEqual(t, ok, false)
	_, ok = clerkauth.SessionClaimsFromContext(background)
	assertEqual(t, ok, false)
	assertErrorIs(t, clerkauth.ErrorFromContext(background), clerkauth.ErrArgument)
}

func TestErrorHandler(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err *clerkauth.Error) {
			assertEqual(t, clerkauth.ErrorFromContext(r.Context()) == error(err), true)
			http.Redirect(w, r, "/sign-in?reason="+err.Reason.String(), http.StatusSeeOther)
		}
	})
	status, _, header := serve(client.RequireAuth(writeUser), bearerRequest(""))
	assertEqual(t, status, 303)
	assertEqual(t, header.Get("Location"), "/sign-in?reason=session-token-missing")
}

// The result of a request must not be used for another request in its context.
func TestNestedRequestIsAuthenticatedSeparately(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	alice, bob := sim.Session("user_alice"), sim.Session("user_bob")
	inner := client.RequireAuth(writeUser)
	served := 0
	batch := client.WithAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		twice := bearerRequest(alice)
		twice.Header.Add("Authorization", "Bearer "+bob)
		cookie := bearerRequest("")
		cookie.Header.Set("Cookie", "__session="+bob)
		for _, each := range []struct {
			request *http.Request
			body    string
		}{
			{bearerRequest(bob), "user_bob"}, {cookie, "user_bob"}, {bearerRequest(alice), "user_alice"},
			{bearerRequest("garbage"), "{\"error\":\"invalid_token\"}\n"}, {twice, "{\"error\":\"invalid_token\"}\n"},
			{bearerRequest(""), "{\"error\":\"no_credentials\"}\n"},
		} {
			_, body, _ := serve(inner, each.request.WithContext(r.Context()))
			assertEqual(t, body, each.body)
			served++
		}
		// A header that is modified in place is noticed, too.
		r.Header["Authorization"][0] = "Bearer " + bob
		_, body, _ := serve(inner, r)
		assertEqual(t, body, "user_bob")
	}))
	serve(batch, bearerRequest(alice))
	assertEqual(t, served, 6)
}

// A result in a long-lived context is not reused for a later request.
func TestNestedMiddlewareAuthenticatesAgainAfterASecond(t *testing.T) {
	sim := simtest.Start(t)
	var events eventLog
	client := newClient(t, sim, func(c *clerkauth.Config) { c.OnEvent = events.add })
	inner, token := client.RequireAuth(writeUser), sim.Session("user_1")
	served := false
	outer := client.WithAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events.takeLog()
		inner.ServeHTTP(httptest.NewRecorder(), r)
		assertEqual(t, events.takeLog(), "")
		other := r.Clone(r.Context())
		other.Header.Add("Authorization", "Bearer x")
		inner.ServeHTTP(httptest.NewRecorder(), other)
		assertEqual(t, events.takeLog(), "auth_failed(token-invalid)")
		time.Sleep(1100 * time.Millisecond)
		status, _, _ := serve(inner, r)
		assertEqual(t, status, 200)
		assertEqual(t, events.takeLog(), "auth_success(user_1  cache)")
		served = true
	}))
	serve(outer, bearerRequest(token))
	assertEqual(t, served, true)
}

func TestZeroClientFails(t *testing.T) {
	for _, client := range []*clerkauth.Client{nil, {}} {
		for _, handler := range []http.Handler{client.RequireAuth(writeUser), client.Require(nil)(writeUser)} {
			status, body, _ := serve(handler, bearerRequest("x"))
			assertEqual(t, status, 500)
			assertEqual(t, body, "{\"error\":\"internal_error\"}\n")
		}
		_, body, _ := serve(client.WithAuth(writeUser), bearerRequest("x"))
		assertEqual(t, strings.HasPrefix(body, "not signed in: "), true)
		recorder := httptest.NewRecorder()
		client.WebhookHandler().ServeHTTP(recorder, httptest.NewRequest("POST", "/", nil))
		assertEqual(t, recorder.Code, 500)
		_, errStats := client.Stats()
		for _, err := range []error{client.Close(), client.InvalidateAll(), client.WarmUp(background), errStats} {
			assertErrorIs(t, err, clerkauth.ErrArgument)
		}
	}
}

// No number of headers makes the server fail.
func TestManyHeaders(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	server := httptest.NewServer(client.RequireAuth(writeUser))
	defer server.Close()
	for name, want := range map[string]int{"Cookie": 401, "Authorization": 401, "Accept": 200, "Sec-Fetch-Dest": 200, "X-Other": 200} {
		r, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == 200 {
			r.Header.Set("Cookie", "__session="+sim.Session("user_1"))
		}
		for range 5000 {
			r.Header.Add(name, "a")
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("5000 headers %s: status %d, want %d", name, response.StatusCode, want)
		}
	}
}
