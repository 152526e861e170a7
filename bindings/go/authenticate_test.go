package clerkauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func TestTheSecondTimeItComesFromMemory(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Mint(`{"user": "user_1", "sid": "sess_1", "azp": "https://app.example.com",
		"org": {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["org:invoices:create"]},
		"claims": {"aud": ["a", "b"], "act": {"sub": "user_boss"}, "fva": [3, -1]}}`)
	expect(t, ask(client, token), "in verified")
	auth, err := client.Authenticate(background, bearer(token))
	expect(t, said(auth, err), "in cache")
	again, _ := client.Authenticate(background, bearer(token))
	if auth != again {
		t.Error("a hit made another Auth")
	}
	expect(t, auth.IsAuthenticated(), true)
	expect(t, auth.UserID(), "user_1")
	expect(t, auth.Subject(), "user_1")
	expect(t, auth.SessionID(), "sess_1")
	expect(t, auth.AuthorizedParty(), "https://app.example.com")
	expect(t, auth.OrgID(), "org_1")
	expect(t, auth.OrgSlug(), "acme")
	expect(t, auth.OrgRole(), "org:admin")
	expect(t, strings.Join(auth.OrgPermissions(), " "), "org:invoices:create")
	expect(t, auth.Actor(), "user_boss")
	expect(t, auth.TokenKind(), clerkauth.TokenKindSessionToken)
	expect(t, auth.UserKey(), "")
	expect(t, auth.LocalUser() == nil, true)
	if until := time.Until(auth.ExpiresAt()); until < 0 || until > time.Minute {
		t.Errorf("ends in %v", until)
	}
	ages, known := auth.FactorVerificationAge()
	expect(t, ages, [2]int64{3, -1})
	expect(t, known, true)
	for _, yes := range []bool{
		auth.HasRole("org:admin"), auth.HasRole("admin"), auth.HasPermission("org:invoices:create"),
		auth.HasPermission("invoices:create"), auth.HasReverification("first_factor:10"),
	} {
		expect(t, yes, true)
	}
	for _, no := range []bool{
		auth.HasRole("org:member"), auth.HasRole(""), auth.HasPermission("org:invoices:delete"), auth.HasFeature("x"),
		auth.HasPlan("gold"), auth.HasReverification("first_factor:2"), auth.HasReverification("nonsense"),
	} {
		expect(t, no, false)
	}

	claims := auth.SessionClaims()
	expect(t, claims.Subject, "user_1")
	expect(t, claims.SessionID, "sess_1")
	expect(t, claims.ActiveOrganizationID, "org_1")
	expect(t, claims.ActiveOrganizationSlug, "acme")
	expect(t, claims.ActiveOrganizationRole, "org:admin")
	expect(t, strings.Join(claims.ActiveOrganizationPermissions, " "), "org:invoices:create")
	expect(t, strings.Join(claims.Audience, " "), "a b")
	expect(t, *claims.Expiry, auth.ExpiresAt().Unix())
	expect(t, string(claims.Actor), `{"sub":"user_boss"}`)
	expect(t, claims.Version, 2)
	expect(t, claims.HasRole("org:admin"), true)
	expect(t, claims.HasPermission("org:invoices:delete"), false)
	// Whoever changes what he got changes nobody else's.
	claims.ActiveOrganizationRole, *claims.Expiry, claims.Audience[0] = "org:owner", 0, "x"
	expect(t, claims.HasRole("org:owner"), false)
	expect(t, again.SessionClaims().ActiveOrganizationRole, "org:admin")
	expect(t, *again.SessionClaims().Expiry, auth.ExpiresAt().Unix())
	expect(t, again.SessionClaims().Audience[0], "a")

	var all map[string]any
	if err := json.Unmarshal([]byte(auth.ClaimsJSON()), &all); err != nil || all["sid"] != "sess_1" {
		t.Errorf("%v %v", all, err)
	}
	org, there := auth.Claim("/o/id")
	expect(t, string(org), `"org_1"`)
	expect(t, there, true)
	_, there = auth.Claim("nothing")
	expect(t, there, false)

	stats, err := client.Stats()
	expect(t, err, nil)
	expect(t, stats.CacheHits, 2)
	expect(t, stats.CacheMisses, 1)
	expect(t, stats.CachedTokens, 1)
}

// The names of claims are compared exactly (RFC 7519 section 7.2), as the library does.
func TestClaimsOfAnotherCaseAreOthers(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, err := client.Authenticate(background, bearer(sim.Mint(`{"user": "user_1", "claims": {"aud": "mine", "jti": null,
		"ACT": {"sub": "user_boss"}, "AUD": "theirs", "JTI": "x", "Exp": 9999999999, "NBF": 1, "Iat": 1, "V": 7}}`)))
	if err != nil {
		t.Fatal(err)
	}
	claims := auth.SessionClaims()
	expect(t, strings.Join(claims.Audience, " "), "mine")
	expect(t, string(claims.Actor), "")
	expect(t, claims.ID, "")
	expect(t, *claims.Expiry, auth.ExpiresAt().Unix())
	expect(t, *claims.NotBefore > 1 && *claims.IssuedAt > 1, true)
	expect(t, claims.Version, 2)
	// What is of another type than usual is left out.
	auth, err = client.Authenticate(background, bearer(sim.Mint(`{"user": "user_1", "claims": {"jti": 7, "aud": null}}`)))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, auth.SessionClaims().ID, "")
	expect(t, len(auth.SessionClaims().Audience), 0)
}

func TestWhoeverIgnoresTheErrorHasNobody(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, _ := client.Authenticate(background, bearer("nonsense"))
	expect(t, auth.IsAuthenticated(), false)
	expect(t, auth.UserID()+auth.UserKey()+auth.Subject()+auth.SessionID()+auth.ClaimsJSON(), "")
	expect(t, auth.HasRole("admin") || auth.HasPermission("x"), false)
	expect(t, auth.Source(), 0)
	expect(t, auth.TokenKind(), 0)
	expect(t, auth.ExpiresAt().IsZero(), true)
	expect(t, auth.LocalUser() == nil && auth.SessionClaims() == nil, true)
	_, there := auth.Claim("sub")
	expect(t, there, false)
	_, there = auth.FactorVerificationAge()
	expect(t, there, false)
	expect(t, auth.SessionClaims().HasRole("admin"), false)
	expect(t, (&clerkauth.Auth{}).IsAuthenticated(), false)
	expect(t, (&clerkauth.Auth{}).UserID(), "")
}

func TestTokensThatAreNoGood(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.Realm = `the "app"` })
	for spoil, reason := range map[string]clerkauth.Reason{
		"expired": clerkauth.ReasonTokenExpired, "not-yet": clerkauth.ReasonTokenNotActiveYet,
		"tampered": clerkauth.ReasonTokenInvalidSignature, "alg-none": clerkauth.ReasonTokenInvalid,
	} {
		_, err := client.Authenticate(background, bearer(sim.Mint(`{"spoil": %q}`, spoil)))
		expectIs(t, err, clerkauth.ErrSignedOut, reason)
		if errors.Is(err, clerkauth.ErrUnavailable) || errors.Is(err, clerkauth.ReasonStoreError) {
			t.Errorf("%v is too many things", err)
		}
		var failed *clerkauth.Error
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		expect(t, failed.Status, 401)
		expect(t, failed.Category, clerkauth.CategoryInvalidToken)
		expect(t, failed.Challenge, `Bearer realm="the \"app\"", error="invalid_token", error_description="`+reason.String()+`"`)
	}
	_, err := client.Authenticate(background, bearer(""))
	expectIs(t, err, clerkauth.ErrNoCredentials, clerkauth.ReasonSessionTokenMissing)

	// A page load with an old cookie could be sent to Clerk and back; a script could not.
	var failed *clerkauth.Error
	page := bearer("")
	page.Header.Set("Cookie", "__session="+sim.Mint(`{"spoil": "expired"}`))
	page.Header.Set("Accept", "text/html,*/*")
	_, err = client.Authenticate(background, page)
	expect(t, errors.As(err, &failed) && failed.HandshakeRecommended, true)
	page.Header.Set("Sec-Fetch-Dest", "empty")
	_, err = client.Authenticate(background, page)
	expect(t, errors.As(err, &failed) && !failed.HandshakeRecommended, true)
}

func TestLinesThatAreThereTwice(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Session("user_1")
	expect(t, ask(client, token), "in verified")
	r := bearer(token)
	r.Header.Add("Authorization", "Bearer "+token)
	expect(t, said(client.Authenticate(background, r)), "out token-invalid")
	r.Header["Authorization"][1] = ""
	expect(t, said(client.Authenticate(background, r)), "out token-invalid")
	r = bearer("")
	r.Header["Cookie"] = []string{"a=b", "__session=" + token}
	expect(t, said(client.Authenticate(background, r)), "in cache")
	fresh := sim.Session("user_2")
	cold := newClient(t, sim)
	r.Header["Cookie"][1] = "__session=" + fresh
	expect(t, said(cold.Authenticate(background, r)), "in verified")
	r.Header = nil
	expect(t, said(client.Authenticate(background, r)), "none session-token-missing")
}

func TestClerkIsDown(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_1", `{"first_name": "Ada"}`)
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.UserMode, c.TimeoutMs = "profile", clerkauth.Int(300)
		c.UserTTLS, c.UserStaleIfErrorS = clerkauth.Int(0), clerkauth.Int(0)
	})
	token := sim.Session("user_1")
	sim.Down(true)
	expect(t, ask(client, token), "unavailable jwk-failed-to-load")
	expectIs(t, client.WarmUp(background), clerkauth.ErrAPI)
	sim.Down(false)
	expect(t, client.WarmUp(background), nil)
	expect(t, ask(client, token), "in verified")
	sim.Down(true)
	expect(t, ask(client, token), "in cache")
	expect(t, ask(client, sim.Session("user_1")), "unavailable server-error")
	sim.Down(false)
	sim.Faults(`[{"path": "/users/*", "status": 503, "headers": {"Retry-After": "2", "Clerk-Trace-Id": "t1"}}]`)
	_, err := client.Authenticate(background, bearer(sim.Session("user_1")))
	var failed *clerkauth.Error
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	expect(t, failed.Status, 503)
	expect(t, failed.RetryAfter, 2*time.Second)
	expect(t, failed.TraceID, "t1")
	expect(t, failed.Challenge, "")
	if strings.Contains(err.Error(), "sk_test") || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("a secret in %q", err)
	}
}

func TestOneTokenAndNothingElse(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, err := client.VerifyToken(background, sim.Session("user_1"))
	expect(t, said(auth, err), "in verified")
	expect(t, auth.UserID(), "user_1")
	expect(t, said(client.VerifyToken(background, sim.Mint(`{"spoil": "expired"}`))), "out token-expired")
	expect(t, said(client.VerifyToken(background, "")), "out token-invalid")
	expect(t, said(client.VerifyToken(background, "\xff\x00")), "out token-invalid")
}

func TestMachines(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{"any"} })
	sim.Admin("PUT", "/state", `{"api_keys": {"ak_good": {"subject": "user_1", "scopes": ["read", "write"]}}}`, nil)
	auth, err := client.Authenticate(background, bearer("ak_good"))
	expect(t, said(auth, err), "in verified")
	expect(t, auth.TokenKind(), clerkauth.TokenKindAPIKey)
	expect(t, auth.UserID(), "user_1")
	expect(t, auth.SessionID(), "")
	expect(t, strings.Join(auth.Scopes(), ","), "read,write")
	expect(t, auth.HasRole("admin"), false)
	expect(t, ask(client, "ak_bad"), "out token-invalid")
	only := newClient(t, sim, func(c *clerkauth.Config) { c.AcceptsToken = []string{clerkauth.TokenKindM2MToken.String()} })
	expect(t, ask(only, "ak_good"), "out token-type-not-supported")
	expect(t, ask(only, sim.Session("user_1")), "out token-type-not-supported")
}

func TestWhatIsForgottenIsAskedForAgain(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Mint(`{"user": "user_1", "sid": "sess_a"}`)
	expect(t, ask(client, token), "in verified")
	for name, forget := range map[string]func() error{
		"token":   func() error { return client.InvalidateToken(token) },
		"session": func() error { return client.InvalidateSession("sess_a") },
		"user":    func() error { return client.InvalidateUser("user_1") },
		"all":     client.InvalidateAll,
	} {
		expect(t, ask(client, token), "in cache")
		if err := forget(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		expect(t, ask(client, token), "in verified")
	}
	expect(t, sim.Count("/jwks"), 1)
}

func TestWrongUse(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	_, err := client.Authenticate(background, nil)
	expectIs(t, err, clerkauth.ErrArgument)
	expect(t, strings.Contains(err.Error(), "request"), true)
	_, err = client.Authenticate(nil, bearer(sim.Session("user_1")))
	expectIs(t, err, clerkauth.ErrArgument)
	var none *clerkauth.Client
	_, err = none.Authenticate(background, bearer(""))
	expectIs(t, err, clerkauth.ErrArgument)
	_, err = (&clerkauth.Client{}).Authenticate(background, bearer(""))
	expectIs(t, err, clerkauth.ErrArgument)

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
		var failed *clerkauth.Error
		if !errors.As(err, &failed) || !errors.Is(err, clerkauth.ErrConfig) && !errors.Is(err, clerkauth.ErrArgument) {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		if failed.Setting != setting && !strings.Contains(err.Error(), setting) {
			t.Errorf("%s is not named in %q", setting, err)
		}
	}
	for _, config := range []clerkauth.Config{
		{SecretKey: "sk_test_x", Store: &table{}, SQLitePath: "x"},
		{SecretKey: "sk_test_x", MaxBlocking: -1},
		{SecretKey: "sk_test_x", Realm: "caf\u00e9"},
		{SecretKey: "sk_test_x", Realm: "two\r\nlines"},
		{SecretKey: "sk_test_x", Store: short{&table{}, clerkauth.Schema{Columns: []clerkauth.Column{clerkauth.ColumnUsername}}}},
		{SecretKey: "sk_test_x", Store: short{&table{}, clerkauth.Schema{Columns: []clerkauth.Column{77}}}},
		{SecretKey: "sk_test_x", Store: short{&table{}, clerkauth.Schema{
			Lengths: map[clerkauth.Column]uint32{clerkauth.ColumnIsActive: 3}}}},
	} {
		_, err := clerkauth.New(config)
		expectIs(t, err, clerkauth.ErrArgument)
	}
}

func TestAfterClosing(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	token := sim.Session("user_1")
	expect(t, ask(client, token), "in verified")
	auth, _ := client.Authenticate(background, bearer(token))
	expect(t, client.Close(), nil)
	expect(t, client.Close(), nil)
	_, errAuthenticate := client.Authenticate(background, bearer(token))
	_, errVerify := client.VerifyToken(background, token)
	_, errWebhook := client.HandleWebhook(background, http.Header{}, nil)
	_, errStats := client.Stats()
	for _, err := range []error{errAuthenticate, errVerify, errWebhook, errStats, client.WarmUp(background),
		client.InvalidateAll(), client.InvalidateToken(token), client.InvalidateUser("x"), client.InvalidateSession("x")} {
		expectIs(t, err, clerkauth.ErrClosed)
	}
	// What was handed out is the caller's.
	expect(t, auth.UserID(), "user_1")
	expect(t, auth.HasRole("admin"), false)
}

func TestTheEnvironmentComesFirst(t *testing.T) {
	sim := simtest.Start(t)
	t.Setenv("CLERK_SECRET_KEY", "sk_test_env")
	t.Setenv("CLERK_API_URL", sim.URL)
	t.Setenv("CLERK_AUTH_PARTIES", "https://other.example.com")
	token := sim.Mint(`{"user": "user_1", "azp": "https://app.example.com"}`)
	for want, config := range map[string]clerkauth.Config{
		"out token-invalid-authorized-parties": {FromEnv: true},
		"in verified":                          {FromEnv: true, AuthorizedParties: []string{"https://app.example.com"}},
	} {
		client, err := clerkauth.New(config)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, ask(client, token), want)
		_ = client.Close()
	}
}

func TestTheContextEndsFirst(t *testing.T) {
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
		began := time.Now()
		_, err := client.Authenticate(ctx, bearer(token))
		cancel()
		expectIs(t, err, clerkauth.ErrUnavailable, ctx.Err())
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("%s: came back after %v", name, took)
		}
		var failed *clerkauth.Error
		expect(t, errors.As(err, &failed) && failed.Status == 503 && failed.Category == clerkauth.CategoryUnavailable, true)
	}
	why := errors.New("the shop is closed")
	ctx, stop := context.WithCancelCause(background)
	stop(why)
	_, err := client.Authenticate(ctx, bearer(token))
	expectIs(t, err, clerkauth.ErrUnavailable, context.Canceled, why)
	// What is remembered needs no time.
	ctx, cancel := context.WithCancel(background)
	expect(t, ask(client, token)[:2], "in")
	cancel()
	expect(t, said(client.Authenticate(ctx, bearer(token))), "in cache")
}
