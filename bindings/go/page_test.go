package clerkauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func pageRequest(target, cookie string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Cookie", cookie)
	return r
}

func handshakeClient(t *testing.T, sim *simtest.Sim, options ...func(*clerkauth.Config)) *clerkauth.Client {
	t.Helper()
	set := func(c *clerkauth.Config) {
		c.Handshake, c.PublishableKey = "on", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
		c.PublicOrigin = []string{"https://app.example.com"}
		c.PublicURL = func(r *http.Request) string { return "https://app.example.com" + r.RequestURI }
	}
	return newClient(t, sim, append([]func(*clerkauth.Config){set}, options...)...)
}

func TestHandshakeRedirectsPageAndSendsCookies(t *testing.T) {
	sim := simtest.Start(t)
	handler := handshakeClient(t, sim).RequireAuth(writeUser)
	stale := "__client_uat=1700000000; __session=" + sim.Mint(`{"user": "user_1", "spoil": "expired"}`)

	status, body, header := serve(handler, pageRequest("/a?b=c%20d", stale))
	assertEqual(t, status, 307)
	assertEqual(t, body, "")
	assertEqual(t, header.Get("Cache-Control"), "no-store")
	assertEqual(t, header.Get("Set-Cookie"), "__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2")
	prefix := "https://clerk.example.com/v1/client/handshake?redirect_url=https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc%2520d&"
	if location := header.Get("Location"); !strings.HasPrefix(location, prefix) {
		t.Errorf("got %q", location)
	}

	lines := []string{"__session=" + sim.Session("user_1") + "; Path=/", "__client_uat=1700000000; Path=/"}
	sim.Admin("PUT", "/state", `{"nonces": {"n1": ["`+strings.Join(lines, `","`)+`"], "n2": ["__session=; Path=/"]}}`, nil)
	status, body, header = serve(handler, pageRequest("/", stale+"; __clerk_handshake_nonce=n1"))
	assertEqual(t, status, 200)
	assertEqual(t, body, "user_1")
	assertEqual(t, strings.Join(header.Values("Set-Cookie"), "\n"), strings.Join(lines, "\n"))
	status, _, header = serve(handler, pageRequest("/", stale+"; __clerk_handshake_nonce=n2"))
	assertEqual(t, status, 401)
	assertEqual(t, strings.Join(header.Values("Set-Cookie"), "\n"), "__session=; Path=/")

	call := pageRequest("/", stale)
	call.Header.Set("Sec-Fetch-Dest", "empty")
	status, _, header = serve(handler, call)
	assertEqual(t, status, 401)
	assertEqual(t, header.Get("Location")+header.Get("Set-Cookie"), "")
}

func TestHandshakeRefusesForeignHost(t *testing.T) {
	sim := simtest.Start(t)
	client := handshakeClient(t, sim, func(c *clerkauth.Config) { c.PublicURL = nil })
	for _, host := range []string{"evil.example", "app.example.com", "app.example.com@evil.example"} {
		r := pageRequest("/", "__client_uat=1700000000")
		r.Host = host // by http: another origin
		r.Header.Set("X-Forwarded-Host", "app.example.com")
		status, _, header := serve(client.WithAuth(writeUser), r)
		assertEqual(t, status, 200)
		assertEqual(t, header.Get("Location"), "")
	}
}

func TestHandshakeOptionalAuthServesRequestsWithoutSessionCookie(t *testing.T) {
	sim := simtest.Start(t)
	handler := handshakeClient(t, sim).OptionalAuth(writeUser)
	image := func(cookie string) *http.Request {
		r := pageRequest("/", cookie)
		r.Header.Set("Sec-Fetch-Dest", "image")
		return r
	}
	status, _, header := serve(handler, image("__client_uat=1700000000"))
	assertEqual(t, status, 200)
	assertEqual(t, header.Get("Location")+header.Get("Set-Cookie"), "")
	status, _, _ = serve(handler, image(""))
	assertEqual(t, status, 200)
	status, _, _ = serve(handler, image("__client_uat=1700000000; __session="+sim.Mint(`{"user": "user_1", "spoil": "expired"}`)))
	assertEqual(t, status, 401)
	status, _, _ = serve(handler, pageRequest("/", "__client_uat=1700000000"))
	assertEqual(t, status, 307)
}

func TestHandshakeIgnoresEmptyForwardedLines(t *testing.T) {
	sim := simtest.Start(t)
	trust := func(c *clerkauth.Config) { c.PublicURL, c.TrustForwarded = nil, clerkauth.Bool(true) }
	r := pageRequest("/", "__client_uat=1700000000")
	r.Header["X-Forwarded-Host"] = []string{"", "app.example.com, evil.example"}
	r.Header["X-Forwarded-Proto"] = []string{"", "https"}
	_, _, header := serve(handshakeClient(t, sim, trust).RequireAuth(writeUser), r)
	if location := header.Get("Location"); !strings.Contains(location, "?redirect_url=https%3A%2F%2Fapp.example.com%2F&") {
		t.Errorf("got %q", location)
	}
}

func TestHandshakePageIsOnErrorAndAuth(t *testing.T) {
	sim := simtest.Start(t)
	client := handshakeClient(t, sim)
	_, err := client.Authenticate(background, pageRequest("/", "__client_uat=1700000000"))
	known, ok := err.(*clerkauth.Error)
	if !ok || known.Page == nil || known.Page.Redirect == "" || known.Status != 307 {
		t.Fatalf("got %v", err)
	}
	recorder := httptest.NewRecorder()
	clerkauth.WriteError(recorder, nil, known)
	assertEqual(t, recorder.Code, 307)
	assertEqual(t, recorder.Header().Get("Location"), known.Page.Redirect)
	auth, err := client.Authenticate(background, bearerRequest(sim.Session("user_1")))
	assertEqual(t, err, nil)
	assertEqual(t, auth.Page() == nil, true)
}
