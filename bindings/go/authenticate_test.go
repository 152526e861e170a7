package clerkauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func TestAuthenticateCachesResult(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Mint(`{"user": "user_1", "sid": "sess_1", "azp": "https://app.example.com",
		"org": {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["org:invoices:create"]},
		"claims": {"aud": ["a", "b"], "act": {"sub": "user_boss"}, "fva": [3, -1]}}`)
	assertEqual(t, authenticate(client, token), "ok verified")
	auth, err := client.Authenticate(background, bearerRequest(token))
	assertEqual(t, outcome(auth, err), "ok cache")
	again, _ := client.Authenticate(background, bearerRequest(token))
	if auth != again {
		t.Error("a cache hit returned another Auth")
	}
	assertEqual(t, auth.IsAuthenticated(), true)
	assertEqual(t, auth.UserID(), "user_1")
	assertEqual(t, auth.Subject(), "user_1")
	assertEqual(t, auth.SessionID(), "sess_1")
	assertEqual(t, auth.AuthorizedParty(), "https://app.example.com")
	assertEqual(t, auth.OrgID(), "org_1")
	assertEqual(t, auth.OrgSlug(), "acme")
	assertEqual(t, auth.OrgRole(), "org:admin")
	assertEqual(t, strings.Join(auth.OrgPermissions(), " "), "org:invoices:create")
	assertEqual(t, auth.Actor(), "user_boss")
	assertEqual(t, auth.TokenKind(), clerkauth.TokenKindSessionToken)
	assertEqual(t, auth.UserKey(), "")
	assertEqual(t, auth.LocalUser() == nil, true)
	if until := time.Until(auth.ExpiresAt()); until < 0 || until > time.Minute {
		t.Errorf("expires in %v", until)
	}
	ages, known := auth.FactorVerificationAge()
	assertEqual(t, ages, [2]int64{3, -1})
	assertEqual(t, known, true)
	for _, yes := range []bool{
		auth.HasRole("org:admin"), auth.HasRole("admin"), auth.HasPermission("org:invoices:create"),
		auth.HasPermission("invoices:create"), auth.HasReverification("first_factor:10"),
	} {
		assertEqual(t, yes, true)
	}
	for _, no := range []bool{
		auth.HasRole("org:member"), auth.HasRole(""), auth.HasPermission("org:invoices:delete"), auth.HasFeature("x"),
		auth.HasPlan("gold"), auth.HasReverification("first_factor:2"), auth.HasReverification("nonsense"),
	} {
		assertEqual(t, no, false)
	}

	claims := auth.SessionClaims()
	assertEqual(t, claims.Subject, "user_1")
	assertEqual(t, claims.SessionID, "sess_1")
	assertEqual(t, claims.ActiveOrganizationID, "org_1")
	assertEqual(t, claims.ActiveOrganizationSlug, "acme")
	assertEqual(t, claims.ActiveOrganizationRole, "org:admin")
	assertEqual(t, strings.Join(claims.ActiveOrganizationPermissions, " "), "org:invoices:create")
	assertEqual(t, strings.Join(claims.Audience, " "), "a b")
	assertEqual(t, *claims.Expiry, auth.ExpiresAt().Unix())
	assertEqual(t, string(claims.Actor), `{"sub":"user_boss"}`)
	assertEqual(t, claims.Version, 2)
	assertEqual(t, claims.HasRole("org:admin"), true)
	assertEqual(t, claims.HasPermission("org:invoices:delete"), false)
	// Each caller gets a copy.
	claims.ActiveOrganizationRole, *claims.Expiry, claims.Audience[0] = "org:owner", 0, "x"
	assertEqual(t, claims.HasRole("org:owner"), false)
	assertEqual(t, again.SessionClaims().ActiveOrganizationRole, "org:admin")
	assertEqual(t, *again.SessionClaims().Expiry, auth.ExpiresAt().Unix())
	assertEqual(t, again.SessionClaims().Audience[0], "a")

	var all map[string]any
	if err := json.Unmarshal([]byte(auth.ClaimsJSON()), &all); err != nil || all["sid"] != "sess_1" {
		t.Errorf("%v %v", all, err)
	}
	org, there := auth.Claim("/o/id")
	assertEqual(t, string(org), `"org_1"`)
	assertEqual(t, there, true)
	_, there = auth.Claim("nothing")
	assertEqual(t, there, false)

	stats, err := client.Stats()
	assertEqual(t, err, nil)
	assertEqual(t, stats.CacheHits, 2)
	assertEqual(t, stats.CacheMisses, 1)
	assertEqual(t, stats.CachedTokens, 1)
}

// Claim names are compared exactly (RFC 7519 section 7.2).
func TestClaimNamesAreCaseSensitive(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, err := client.Authenticate(background, bearerRequest(sim.Mint(`{"user": "user_1", "claims": {"aud": "mine", "jti": null,
		"ACT": {"sub": "user_boss"}, "AUD": "theirs", "JTI": "x", "Exp": 9999999999, "NBF": 1, "Iat": 1, "V": 7}}`)))
	if err != nil {
		t.Fatal(err)
	}
	claims := auth.SessionClaims()
	assertEqual(t, strings.Join(claims.Audience, " "), "mine")
	assertEqual(t, string(claims.Actor), "")
	assertEqual(t, claims.ID, "")
	assertEqual(t, *claims.Expiry, auth.ExpiresAt().Unix())
	assertEqual(t, *claims.NotBefore > 1 && *claims.IssuedAt > 1, true)
	assertEqual(t, claims.Version, 2)
	// A claim of an unexpected type is left out.
	auth, err = client.Authenticate(background, bearerRequest(sim.Mint(`{"user": "user_1", "claims": {"jti": 7, "aud": null}}`)))
	if err != nil {
		t.Fatal(err)
	}
	assertEqual(t, auth.SessionClaims().ID, "")
	assertEqual(t, len(auth.SessionClaims().Audience), 0)
}

func TestAuthIsNilOnError(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, _ := client.Authenticate(background, bearerRequest("nonsense"))
	assertEqual(t, auth.IsAuthenticated(), false)
	assertEqual(t, auth.UserID()+auth.UserKey()+auth.Subject()+auth.SessionID()+auth.ClaimsJSON(), "")
	assertEqual(t, auth.HasRole("admin") || auth.HasPermission("x"), false)
	assertEqual(t, auth.Source(), 0)
	assertEqual(t, auth.TokenKind(), 0)
	assertEqual(t, auth.ExpiresAt().IsZero(), true)
	assertEqual(t, auth.LocalUser() == nil && auth.SessionClaims() == nil, true)
	_, there := auth.Claim("sub")
	assertEqual(t, there, false)
	_, there = auth.FactorVerificationAge()
	assertEqual(t, there, false)
	assertEqual(t, auth.SessionClaims().HasRole("admin"), false)
	assertEqual(t, (&clerkauth.Auth{}).IsAuthenticated(), false)
	assertEqual(t, (&clerkauth.Auth{}).UserID(), "")
}

func TestInvalidTokenIsRejected(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.Realm = `the "app"` })
	for spoil, reason := range map[string]clerkauth.Reason{
		"expired": clerkauth.ReasonTokenExpired, "not-yet": clerkauth.ReasonTokenNotActiveYet,
		"tampered": clerkauth.ReasonTokenInvalidSignature, "alg-none": clerkauth.ReasonTokenInvalid,
	} {
		_, err := client.Authenticate(background, bearerRequest(sim.Mint(`{"spoil": %q}`, spoil)))
		assertErrorIs(t, err, clerkauth.ErrSignedOut, reason)
		if errors.Is(err, clerkauth.ErrUnavailable) || errors.Is(err, clerkauth.ReasonStoreError) {
			t.Errorf("%v is of more than one kind", err)
		}
		var authErr *clerkauth.Error
		if !errors.As(err, &authErr) {
			t.Fatal(err)
		}
		assertEqual(t, authErr.Status, 401)
		assertEqual(t, authErr.Category, clerkauth.CategoryInvalidToken)
		assertEqual(t, authErr.WWWAuthenticate, `Bearer realm="the \"app\"", error="invalid_token", error_description="`+reason.String()+`"`)
	}
	_, err := client.Authenticate(background, bearerRequest(""))
	assertErrorIs(t, err, clerkauth.ErrNoCredentials, clerkauth.ReasonSessionTokenMissing)

	// A handshake may recover a document request with an expired cookie, but no fetch.
	var authErr *clerkauth.Error
	page := bearerRequest("")
	page.Header.Set("Cookie", "__session="+sim.Mint(`{"spoil": "expired"}`))
	page.Header.Set("Accept", "text/html,*/*")
	_, err = client.Authenticate(background, page)
	assertEqual(t, errors.As(err, &authErr) && authErr.HandshakeRecommended, true)
	page.Header.Set("Sec-Fetch-Dest", "empty")
	_, err = client.Authenticate(background, page)
	assertEqual(t, errors.As(err, &authErr) && !authErr.HandshakeRecommended, true)
}

func TestDuplicateHeaders(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Session("user_1")
	assertEqual(t, authenticate(client, token), "ok verified")
	r := bearerRequest(token)
	r.Header.Add("Authorization", "Bearer "+token)
	assertEqual(t, outcome(client.Authenticate(background, r)), "rejected token-invalid")
	r.Header["Authorization"][1] = ""
	assertEqual(t, outcome(client.Authenticate(background, r)), "rejected token-invalid")
	r = bearerRequest("")
	r.Header["Cookie"] = []string{"a=b", "__session=" + token}
	assertEqual(t, outcome(client.Authenticate(background, r)), "ok cache")
	fresh := sim.Session("user_2")
	cold := newClient(t, sim)
	r.Header["Cookie"][1] = "__session=" + fresh
	assertEqual(t, outcome(cold.Authenticate(background, r)), "ok verified")
	r.Header = nil
	assertEqual(t, outcome(client.Authenticate(background, r)), "no-credentials session-token-missing")
}

func TestClerkOutageIsUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_1", `{"first_name": "Ada"}`)
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.UserMode, c.TimeoutMs = "profile", clerkauth.Int(300)
		c.UserTTLS, c.UserStaleIfErrorS = clerkauth.Int(0), clerkauth.Int(0)
	})
	token := sim.Session("user_1")
	sim.Down(true)
	assertEqual(t, authenticate(client, token), "unavailable jwk-failed-to-load")
	assertErrorIs(t, client.WarmUp(background), clerkauth.ErrAPI)
	sim.Down(false)
	assertEqual(t, client.WarmUp(background), nil)
	assertEqual(t, authenticate(client, token), "ok verified")
	sim.Down(true)
	assertEqual(t, authenticate(client, token), "ok cache")
	assertEqual(t, authenticate(client, sim.Session("user_1")), "unavailable server-error")
	sim.Down(false)
	sim.Faults(`[{"path": "/users/*", "status": 503, "headers": {"Retry-After": "2", "Clerk-Trace-Id": "t1"}}]`)
	_, err := client.Authenticate(background, bearerRequest(sim.Session("user_1")))
	var authErr *clerkauth.Error
	if !errors.As(err, &authErr) {
		t.Fatal(err)
	}
	assertEqual(t, authErr.Status, 503)
	assertEqual(t, authErr.RetryAfter, 2*time.Second)
	assertEqual(t, authErr.TraceID, "t1")
	assertEqual(t, authErr.WWWAuthenticate, "")
	if strings.Contains(err.Error(), "sk_test") || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("a secret in %q", err)
	}
}

func TestVerifyToken(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, err := client.VerifyToken(background, sim.Session("user_1"))
	assertEqual(t, outcome(auth, err), "ok verified")
	assertEqual(t, auth.UserID(), "user_1")
	assertEqual(t, outcome(client.VerifyToken(background, sim.Mint(`{"spoil": "expired"}`))), "rejected token-expired")
	assertEqual(t, outcome(client.VerifyToken(background, "")), "rejected token-invalid")
	assertEqual(t, outcome(client.VerifyToken(background, "\xff\x00")), "rejected token-invalid")
}

func TestMachineTokens(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{"any"} })
	sim.Admin("PUT", "/state", `{"api_keys": {"ak_good": {"subject": "user_1", "name": "ci", "scopes": ["read", "write"],
		"claims": {"act": {"sub": "user_2"}, "aud": "other", "team": "core"}}}}`, nil)
	auth, err := client.Authenticate(background, bearerRequest("ak_good"))
	assertEqual(t, outcome(auth, err), "ok verified")
	assertEqual(t, auth.TokenKind(), clerkauth.TokenKindAPIKey)
	assertEqual(t, auth.UserID(), "user_1")
	assertEqual(t, auth.TokenName(), "ci")
	assertEqual(t, auth.SessionClaims() == nil || (auth.SessionClaims().Actor == nil && auth.SessionClaims().Audience == nil), true)
	assertEqual(t, auth.SessionID(), "")
	assertEqual(t, strings.Join(auth.Scopes(), ","), "read,write")
	assertEqual(t, auth.HasRole("admin"), false)
	assertEqual(t, authenticate(client, "ak_bad"), "rejected token-invalid")
	only := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{clerkauth.TokenKindM2MToken.String()} })
	assertEqual(t, authenticate(only, "ak_good"), "rejected token-type-not-supported")
	assertEqual(t, authenticate(only, sim.Session("user_1")), "rejected token-type-not-supported")
}

func TestInvalidate(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Mint(`{"user": "user_1", "sid": "sess_a"}`)
	assertEqual(t, authenticate(client, token), "ok verified")
	for name, invalidate := range map[string]func() error{
		"token":   func() error { return client.InvalidateToken(token) },
		"session": func() error { return client.InvalidateSession("sess_a") },
		"user":    func() error { return client.InvalidateUser("user_1") },
		"all":     client.InvalidateAll,
	} {
		assertEqual(t, authenticate(client, token), "ok cache")
		if err := invalidate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		assertEqual(t, authenticate(client, token), "ok verified")
	}
	assertEqual(t, sim.Count("/jwks"), 1)
}

func TestInvalidUse(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	_, err := client.Authenticate(background, nil)
	assertErrorIs(t, err, clerkauth.ErrArgument)
	assertEqual(t, strings.Contains(err.Error(), "request"), true)
	//lint:ignore SA1012 a nil context must be rejected, not panic
	_, err = client.Authenticate(nil, bearerRequest(sim.Session("user_1")))
	assertErrorIs(t, err, clerkauth.ErrArgument)
	var none *clerkauth.Client
	_, err = none.Authenticate(background, bearerRequest(""))
	assertErrorIs(t, err, clerkauth.ErrArgument)
	_, err = (&clerkauth.Client{}).Authenticate(background, bearerRequest(""))
	assertErrorIs(t, err, clerkauth.ErrArgument)

	for setting, config := range map[string]clerkauth.Config{
		"api_url":             {APIURL: "ftp://x", SecretKey: "sk_test_x"},
		"clock_skew_ms":       {SecretKey: "sk_test_x", ClockSkewMs: clerkauth.Int(-1)},
		"cache_capacity":      {SecretKey: "sk_test_x", CacheCapacity: clerkauth.Int(0)},
		"user_mode":           {SecretKey: "sk_test_x", UserMode: "odd"},
		"accepts_token":       {SecretKey: "sk_test_x", AcceptsToken: []string{"odd"}},
		"audience":            {SecretKey: "sk_test_x", Audience: []string{"a", " "}},
		"webhook_secrets":     {SecretKey: "sk_test_x", WebhookSecrets: []string{"whsec_*"}},
		"jwt_key":             {JWTKey: "no key"},
		"no_such_setting":     {Settings: map[string]string{"no_such_setting": "1"}},
		"session_check_ttl_s": {SecretKey: "sk_test_x", Settings: map[string]string{"session_check_ttl_s": "-1"}},
	} {
		_, err := clerkauth.New(config)
		var authErr *clerkauth.Error
		if !errors.As(err, &authErr) || !errors.Is(err, clerkauth.ErrConfig) && !errors.Is(err, clerkauth.ErrArgument) {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		if authErr.Setting != setting && !strings.Contains(err.Error(), setting) {
			t.Errorf("%[2]q does not name the setting %[1]s", setting, err)
		}
	}
	for _, config := range []clerkauth.Config{
		{SecretKey: "sk_test_x", Store: &memoryStore{}, SQLitePath: "x"},
		{SecretKey: "sk_test_x", MaxBlockingCalls: -1},
		{SecretKey: "sk_test_x", Realm: "caf\u00e9"},
		{SecretKey: "sk_test_x", Realm: "two\r\nlines"},
		{SecretKey: "sk_test_x", Store: schemaStore{&memoryStore{}, clerkauth.Schema{Columns: []clerkauth.Column{clerkauth.ColumnUsername}}}},
		{SecretKey: "sk_test_x", Store: schemaStore{&memoryStore{}, clerkauth.Schema{Columns: []clerkauth.Column{77}}}},
		{SecretKey: "sk_test_x", Store: schemaStore{&memoryStore{}, clerkauth.Schema{
			Lengths: map[clerkauth.Column]uint32{clerkauth.ColumnIsActive: 3}}}},
	} {
		_, err := clerkauth.New(config)
		assertErrorIs(t, err, clerkauth.ErrArgument)
	}
}

func TestCallsAfterCloseFail(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Session("user_1")
	assertEqual(t, authenticate(client, token), "ok verified")
	auth, _ := client.Authenticate(background, bearerRequest(token))
	assertEqual(t, client.Close(), nil)
	assertEqual(t, client.Close(), nil)
	_, errAuthenticate := client.Authenticate(background, bearerRequest(token))
	_, errVerify := client.VerifyToken(background, token)
	_, errWebhook := client.HandleWebhook(background, http.Header{}, nil)
	_, errStats := client.Stats()
	for _, err := range []error{errAuthenticate, errVerify, errWebhook, errStats, client.WarmUp(background),
		client.InvalidateAll(), client.InvalidateToken(token), client.InvalidateUser("x"), client.InvalidateSession("x")} {
		assertErrorIs(t, err, clerkauth.ErrClosed)
	}
	// Results stay valid.
	assertEqual(t, auth.UserID(), "user_1")
	assertEqual(t, auth.HasRole("admin"), false)
}

func TestFieldsOverrideEnvironment(t *testing.T) {
	sim := simtest.Start(t)
	t.Setenv("CLERK_SECRET_KEY", "sk_test_env")
	t.Setenv("CLERK_API_URL", sim.URL)
	t.Setenv("CLERK_AUTH_PARTIES", "https://other.example.com")
	token := sim.Mint(`{"user": "user_1", "azp": "https://app.example.com"}`)
	for want, config := range map[string]clerkauth.Config{
		"rejected token-invalid-authorized-parties": {FromEnv: true},
		"ok verified": {FromEnv: true, AuthorizedParties: []string{"https://app.example.com"}},
	} {
		client, err := clerkauth.New(config)
		if err != nil {
			t.Fatal(err)
		}
		assertEqual(t, authenticate(client, token), want)
		_ = client.Close()
	}
}

func TestContextDoneIsUnavailable(t *testing.T) {
	sim := simtest.Start(t)
	sim.Faults(`[{"path": "/jwks", "delay_ms": 700}]`)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.TimeoutMs = clerkauth.Int(3000) })
	token := sim.Session("user_1")
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(background, 50*time.Millisecond)
		},
		"cancelled before": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(background)
			cancel()
			return ctx, cancel
		},
	} {
		ctx, cancel := end()
		start := time.Now()
		_, err := client.Authenticate(ctx, bearerRequest(token))
		cancel()
		assertErrorIs(t, err, clerkauth.ErrUnavailable, ctx.Err())
		if elapsed := time.Since(start); elapsed > 500*time.Millisecond {
			t.Errorf("%s: returned after %v", name, elapsed)
		}
		var authErr *clerkauth.Error
		assertEqual(t, errors.As(err, &authErr) && authErr.Status == 503 && authErr.Category == clerkauth.CategoryUnavailable, true)
	}
	why := errors.New("server is shutting down")
	ctx, stop := context.WithCancelCause(background)
	stop(why)
	_, err := client.Authenticate(ctx, bearerRequest(token))
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.Canceled, why)
	// A cached result is returned even if the context is done.
	ctx, cancel := context.WithCancel(background)
	assertEqual(t, authenticate(client, token)[:2], "ok")
	cancel()
	assertEqual(t, outcome(client.Authenticate(ctx, bearerRequest(token))), "ok cache")
}

func TestBoolSettings(t *testing.T) {
	sim := simtest.Start(t)
	pending := sim.Mint(`{"user": "user_1", "claims": {"sts": "pending"}}`)
	for _, test := range []struct {
		name   string
		config func(*clerkauth.Config, *bool)
		r      func() *http.Request
		want   map[bool]string
	}{
		{
			"treat_pending_as_signed_out",
			func(c *clerkauth.Config, value *bool) { c.TreatPendingAsSignedOut = value },
			func() *http.Request { return bearerRequest(pending) },
			map[bool]string{true: "rejected session-pending", false: "ok verified"},
		},
		{
			"allow_bare_token",
			func(c *clerkauth.Config, value *bool) { c.AllowBareToken = value },
			func() *http.Request {
				r := bearerRequest("")
				r.Header.Set("Authorization", sim.Session("user_1"))
				return r
			},
			map[bool]string{true: "ok verified", false: "no-credentials session-token-missing"},
		},
		{
			"check_client_uat",
			func(c *clerkauth.Config, value *bool) { c.CheckClientUat = value },
			func() *http.Request {
				r := bearerRequest("")
				r.Header.Set("Cookie", "__client_uat=0; __session="+sim.Session("user_1"))
				return r
			},
			map[bool]string{true: "rejected session-token-but-no-client-uat", false: "ok verified"},
		},
	} {
		for value, want := range test.want {
			client := newClient(t, sim, func(c *clerkauth.Config) { test.config(c, clerkauth.Bool(value)) })
			if got := outcome(client.Authenticate(background, test.r())); got != want {
				t.Errorf("%s = %v: got %s, want %s", test.name, value, got, want)
			}
		}
	}
}

func TestManyCookieOrOriginLinesAreNotCopied(t *testing.T) {
	sim := simtest.Start(t)
	token := sim.Session("user_ada")
	for name, set := range map[string]func(*clerkauth.Config){
		"requests": func(*clerkauth.Config) {},
		"pages": func(config *clerkauth.Config) {
			config.Handshake, config.PublishableKey = "on", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
		},
	} {
		client := newClient(t, sim, set, func(config *clerkauth.Config) { config.Csrf = "check" })
		assertEqual(t, authenticate(client, token), "ok verified")
		for _, header := range []string{"Cookie", "Origin", "Sec-Fetch-Site"} {
			request := httptest.NewRequest("POST", "/", nil)
			request.Header["Cookie"] = []string{"__session=" + token}
			for range 200 {
				request.Header[header] = append(request.Header[header], strings.Repeat("x", 4096))
			}
			var got string
			allocated := allocatedBy(func() { got = outcome(client.Authenticate(background, request)) })
			if allocated > 64<<10 || strings.HasPrefix(got, "ok") {
				t.Errorf("%s, %s: %d bytes, %s", name, header, allocated, got)
			}
		}
	}
}
