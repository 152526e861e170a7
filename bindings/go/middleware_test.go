package clerkauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// serve answers one request and gives status, body and header.
func serve(handler http.Handler, r *http.Request) (int, string, http.Header) {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	answer := recorder.Result()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), answer.Header
}

// who says who sent the request.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	auth, ok := clerkauth.FromContext(r.Context())
	if !ok {
		_, _ = io.WriteString(w, "nobody: "+said(nil, clerkauth.ErrorFromContext(r.Context())))
		return
	}
	claims, ok := clerkauth.SessionClaimsFromContext(r.Context())
	if !ok || claims.Subject != auth.UserID() || clerkauth.ErrorFromContext(r.Context()) != nil {
		http.Error(w, "the context disagrees with itself", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, auth.UserID())
})

func TestRequireAuth(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.Realm = "app"; c.TimeoutMs = clerkauth.Int(300) })
	handler := client.RequireAuth(who)
	token := sim.Session("user_1")
	for range 2 {
		status, body, _ := serve(handler, bearer(token))
		expect(t, status, 200)
		expect(t, body, "user_1")
	}
	status, body, header := serve(handler, bearer(""))
	expect(t, status, 401)
	expect(t, body, "{\"error\":\"no_credentials\"}\n")
	expect(t, header.Get("WWW-Authenticate"), `Bearer realm="app"`)
	expect(t, header.Get("Content-Type"), "application/json")
	expect(t, header.Get("Cache-Control"), "no-store")
	status, body, header = serve(handler, bearer(sim.Mint(`{"spoil": "expired"}`)))
	expect(t, status, 401)
	expect(t, body, "{\"error\":\"invalid_token\"}\n")
	expect(t, header.Get("WWW-Authenticate"), `Bearer realm="app", error="invalid_token", error_description="token-expired"`)

	admin := client.Require(func(a *clerkauth.Auth) bool { return a.HasRole("org:admin") })(who)
	status, body, header = serve(admin, bearer(token))
	expect(t, status, 403)
	expect(t, body, "{\"error\":\"forbidden\"}\n")
	expect(t, header.Get("WWW-Authenticate"), `Bearer realm="app", error="insufficient_scope"`)
	status, _, _ = serve(admin, bearer(sim.Mint(`{"user": "user_1", "org": {"id": "org_1", "role": "admin"}}`)))
	expect(t, status, 200)

	cold := newClient(t, sim, func(c *clerkauth.Config) { c.TimeoutMs = clerkauth.Int(300) })
	sim.Faults(`[{"path": "/jwks", "status": 429, "headers": {"Retry-After": "2"}}]`)
	status, body, header = serve(cold.RequireAuth(who), bearer(token))
	expect(t, status, 503)
	expect(t, body, "{\"error\":\"unavailable\"}\n")
	expect(t, header.Get("Retry-After"), "2")
	expect(t, header.Get("WWW-Authenticate"), "")
	expect(t, client.Close(), nil)
	status, body, _ = serve(handler, bearer(token))
	expect(t, status, 500)
	expect(t, body, "{\"error\":\"internal_error\"}\n")
}

func TestWithAuth(t *testing.T) {
	sim := simtest.Start(t)
	var events seen
	client := newClient(t, sim, func(c *clerkauth.Config) { c.OnEvent = events.note; c.TimeoutMs = clerkauth.Int(300) })
	handler := client.WithAuth(who)
	token := sim.Session("user_1")
	for want, given := range map[string]string{
		"user_1":                             token,
		"nobody: none session-token-missing": "",
		"nobody: out token-invalid":          "nonsense",
	} {
		status, body, _ := serve(handler, bearer(given))
		expect(t, status, 200)
		expect(t, body, want)
	}
	// A demand behind it needs no second look.
	events.took()
	status, body, _ := serve(client.WithAuth(client.RequireAuth(who)), bearer(token))
	expect(t, status, 200)
	expect(t, body, "user_1")
	expect(t, events.took(), "auth_success(user_1  cache)")
	status, _, _ = serve(client.WithAuth(client.RequireAuth(who)), bearer(""))
	expect(t, status, 401)
	// Another client looks for itself, and the innermost counts.
	other := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{"api_key"} })
	_, body, _ = serve(client.WithAuth(other.WithAuth(who)), bearer(token))
	expect(t, body, "nobody: out token-type-not-supported")
	_, body, _ = serve(other.WithAuth(client.WithAuth(who)), bearer(token))
	expect(t, body, "user_1")
	// An outage is no reason to say 401.
	cold := newClient(t, sim, func(c *clerkauth.Config) { c.TimeoutMs = clerkauth.Int(300) })
	sim.Down(true)
	_, body, _ = serve(cold.WithAuth(who), bearer(token))
	expect(t, body, "nobody: unavailable jwk-failed-to-load")
	sim.Down(false)
	// Without a middleware there is nobody.
	_, ok := clerkauth.FromContext(background)
	expect(t, ok, false)
	_, ok = clerkauth.SessionClaimsFromContext(background)
	expect(t, ok, false)
	expectIs(t, clerkauth.ErrorFromContext(background), clerkauth.ErrArgument)
}

func TestOnFailure(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.OnFailure = func(w http.ResponseWriter, r *http.Request, err *clerkauth.Error) {
			expect(t, clerkauth.ErrorFromContext(r.Context()) == error(err), true)
			http.Redirect(w, r, "/sign-in?why="+err.Reason.String(), http.StatusSeeOther)
		}
	})
	status, _, header := serve(client.RequireAuth(who), bearer(""))
	expect(t, status, 303)
	expect(t, header.Get("Location"), "/sign-in?why=session-token-missing")
}

// What was found out about one request says nothing about another one in its context.
func TestARequestInsideOfAnotherIsItsOwn(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	alice, bob := sim.Session("user_alice"), sim.Session("user_bob")
	inner := client.RequireAuth(who)
	asked := 0
	batch := client.WithAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		twice := bearer(alice)
		twice.Header.Add("Authorization", "Bearer "+bob)
		cookie := bearer("")
		cookie.Header.Set("Cookie", "__session="+bob)
		for _, each := range []struct {
			request *http.Request
			body    string
		}{
			{bearer(bob), "user_bob"}, {cookie, "user_bob"}, {bearer(alice), "user_alice"},
			{bearer("garbage"), "{\"error\":\"invalid_token\"}\n"}, {twice, "{\"error\":\"invalid_token\"}\n"},
			{bearer(""), "{\"error\":\"no_credentials\"}\n"},
		} {
			_, body, _ := serve(inner, each.request.WithContext(r.Context()))
			expect(t, body, each.body)
			asked++
		}
		// A line that is changed in place is another one, too.
		r.Header["Authorization"][0] = "Bearer " + bob
		_, body, _ := serve(inner, r)
		expect(t, body, "user_bob")
	}))
	serve(batch, bearer(alice))
	expect(t, asked, 6)
}

func TestAClientThatNewDidNotMake(t *testing.T) {
	for _, client := range []*clerkauth.Client{nil, {}} {
		for _, handler := range []http.Handler{client.RequireAuth(who), client.Require(nil)(who)} {
			status, body, _ := serve(handler, bearer("x"))
			expect(t, status, 500)
			expect(t, body, "{\"error\":\"internal_error\"}\n")
		}
		_, body, _ := serve(client.WithAuth(who), bearer("x"))
		expect(t, strings.HasPrefix(body, "nobody: "), true)
		recorder := httptest.NewRecorder()
		client.WebhookHandler().ServeHTTP(recorder, httptest.NewRequest("POST", "/", nil))
		expect(t, recorder.Code, 500)
		_, errStats := client.Stats()
		for _, err := range []error{client.Close(), client.InvalidateAll(), client.WarmUp(background), errStats} {
			expectIs(t, err, clerkauth.ErrArgument)
		}
	}
}

// Whatever lines a stranger sends: it is no fault of the server's.
func TestThousandsOfLines(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	server := httptest.NewServer(client.RequireAuth(who))
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
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("5000 lines %s: %d, not %d", name, answer.StatusCode, want)
		}
	}
}
