// Package clerktest is for the tests of applications: a Clerk instance on the loopback interface, whose tokens are real and
// signed with a key of the test's process. No request leaves the machine.
//
//	clerk := clerktest.New(t)
//	client, err := clerkauth.New(clerk.Config())
//	request.Header.Set("Authorization", "Bearer "+clerk.Token(clerktest.User("user_ada"), clerktest.Org("org_1", "org:admin")))
package clerktest

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

const (
	party     = "https://app.test.example"
	lifetime  = time.Minute
	primaryID = "idn_1"
	secretKey = "sk_test_clerk_auth_testing"
)

// signingKey is generated once per process: it costs about a tenth of a second.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// Clerk is a Clerk instance. It is safe for concurrent use.
type Clerk struct {
	t      testing.TB
	server *httptest.Server
	kid    string
	issuer string // instances have the key in common
	secret []byte

	once   sync.Once // for the client of Context
	client *clerkauth.Client

	mu       sync.Mutex
	users    map[string]*Profile
	versions map[string]int64
	ended    map[string]bool
	version  int64
	requests int
}

// Profile is a user of the instance.
type Profile struct {
	ID string
	// Email is the primary address; none if "". Clerk has verified it unless EmailUnverified is set.
	Email           string
	EmailUnverified bool
	Username        string
	FirstName       string
	LastName        string
	ExternalID      string
	Banned          bool
}

// New starts a Clerk instance that ends with the test.
func New(t testing.TB) *Clerk {
	t.Helper()
	c := &Clerk{t: t, kid: "ins_" + randomID(), issuer: "https://clerk." + randomID() + ".test.example", secret: random(24), version: time.Now().UnixMilli(),
		users: map[string]*Profile{}, versions: map[string]int64{}, ended: map[string]bool{}}
	c.server = httptest.NewServer(http.HandlerFunc(c.respond))
	t.Cleanup(c.server.Close)
	return c
}

// Config returns the settings of a client that accepts the tokens of this instance, and of no other.
func (c *Clerk) Config() clerkauth.Config {
	return clerkauth.Config{APIURL: c.server.URL, SecretKey: secretKey, JWTKey: c.JWTKey(), Issuer: []string{c.issuer}, AuthorizedParties: []string{party},
		WebhookSecrets: []string{c.WebhookSecret()}}
}

// Client returns a client that accepts the tokens of this instance, and that ends with the test.
func (c *Clerk) Client() *clerkauth.Client {
	c.t.Helper()
	client, err := clerkauth.New(c.Config())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// JWTKey returns the public key as PEM, for the setting jwt_key.
func (c *Clerk) JWTKey() string {
	der, err := x509.MarshalPKIXPublicKey(&signingKey().PublicKey)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// URL returns the URL of the instance's Backend API.
func (c *Clerk) URL() string { return c.server.URL }

// Requests returns how many requests clients have sent to it.
func (c *Clerk) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// SetUser creates a user, or changes one: a newer version of it.
func (c *Clerk) SetUser(profile Profile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.users[profile.ID], c.versions[profile.ID] = &profile, c.version
}

// DeleteUser removes a user.
func (c *Clerk) DeleteUser(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.users, id)
}

// EndSession ends a session; for the setting session_check_ttl_s.
func (c *Clerk) EndSession(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[id] = true
}

// token is what the options of [Clerk.Token] describe.
type token struct {
	user, session, orgID, orgSlug, orgRole, plan string
	permissions, features                        []string
	ages                                         [2]int64
	expiresIn                                    time.Duration
	claims                                       map[string]any
}

// Option describes a token.
type Option func(*token)

// User is the user of the token; a new one by default.
func User(id string) Option { return func(t *token) { t.user = id } }

// Session is the session of the token.
func Session(id string) Option { return func(t *token) { t.session = id } }

// Org is the active organization, with the user's role and permissions in it, such as "org:admin" and "org:invoices:create".
func Org(id, role string, permissions ...string) Option {
	return func(t *token) { t.orgID, t.orgRole, t.permissions = id, role, permissions }
}

// OrgSlug is the slug of the active organization.
func OrgSlug(slug string) Option { return func(t *token) { t.orgSlug = slug } }

// Features are the features of the active organization, or of the user without one.
func Features(names ...string) Option { return func(t *token) { t.features = names } }

// Plan is the plan of the active organization, or of the user without one.
func Plan(name string) Option { return func(t *token) { t.plan = name } }

// FactorAges are the minutes since the first and the second factor were verified; -1 for never.
func FactorAges(first, second int64) Option {
	return func(t *token) { t.ages = [2]int64{first, second} }
}

// ExpiresIn is the time until the token expires; negative for a token that has expired. A minute by default.
func ExpiresIn(d time.Duration) Option { return func(t *token) { t.expiresIn = d } }

// Claim sets a claim, also one of the others.
func Claim(name string, value any) Option { return func(t *token) { t.claims[name] = value } }

// Token returns a session token. A user who does not exist is created.
func (c *Clerk) Token(options ...Option) string {
	c.t.Helper()
	t := &token{user: "user_" + randomID(), ages: [2]int64{0, -1}, expiresIn: lifetime, claims: map[string]any{}}
	for _, option := range options {
		option(t)
	}
	if t.session == "" {
		t.session = "sess_" + strings.TrimPrefix(t.user, "user_")
	}
	c.mu.Lock()
	_, exists := c.users[t.user]
	c.mu.Unlock()
	if !exists {
		c.SetUser(Profile{ID: t.user})
	}
	now := time.Now()
	issued := now
	if t.expiresIn < lifetime {
		issued = now.Add(t.expiresIn - lifetime)
	}
	scope := "u:"
	claims := map[string]any{"azp": party, "exp": now.Add(t.expiresIn).Unix(), "fva": t.ages, "iat": issued.Unix(), "iss": c.issuer,
		"jti": randomID(), "nbf": issued.Add(-10 * time.Second).Unix(), "sid": t.session, "sts": "active", "sub": t.user, "v": 2}
	names := make([]string, 0, len(t.features))
	if t.orgID != "" {
		scope = "o:"
	}
	for _, name := range t.features {
		names = append(names, scope+name)
	}
	if t.orgID != "" {
		org := map[string]any{"id": t.orgID, "rol": strings.TrimPrefix(t.orgRole, "org:")}
		if t.orgSlug != "" {
			org["slg"] = t.orgSlug
		}
		names = c.packPermissions(t.permissions, names, org)
		claims["o"] = org
	}
	claims["fea"] = strings.Join(names, ",")
	if t.plan != "" {
		claims["pla"] = scope + t.plan
	}
	maps.Copy(claims, t.claims)
	return c.Sign(claims)
}

// packPermissions adds permissions org:feature:permission to the claim o: their names, and one bit mask per feature. It
// returns the features.
func (c *Clerk) packPermissions(permissions, features []string, org map[string]any) []string {
	c.t.Helper()
	var actions []string
	granted := map[string]*big.Int{}
	for _, permission := range permissions {
		name := strings.TrimPrefix(permission, "org:")
		last := strings.LastIndex(name, ":")
		if last < 0 {
			c.t.Fatalf("clerktest: a permission must have the form org:feature:permission: %s", permission)
		}
		feature, action := "o:"+name[:last], name[last+1:]
		if !slices.Contains(features, feature) {
			features = append(features, feature)
		}
		if !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
		if granted[feature] == nil {
			granted[feature] = new(big.Int)
		}
		granted[feature].SetBit(granted[feature], slices.Index(actions, action), 1)
	}
	if len(actions) == 0 {
		return features
	}
	masks := make([]string, len(features))
	for i, feature := range features {
		masks[i] = "0"
		if mask := granted[feature]; mask != nil {
			masks[i] = mask.String()
		}
	}
	org["per"], org["fpm"] = strings.Join(actions, ","), strings.Join(masks, ",")
	return features
}

// Sign returns a token with exactly these claims.
func (c *Clerk) Sign(claims map[string]any) string {
	c.t.Helper()
	encode := func(value any) string {
		data, err := json.Marshal(value)
		if err != nil {
			c.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := encode(map[string]string{"alg": "RS256", "kid": c.kid, "typ": "JWT"}) + "." + encode(claims)
	hash := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, hash[:])
	if err != nil {
		c.t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Request returns a request with a new session token, for handlers behind a middleware.
func (c *Clerk) Request(method, target string, options ...Option) *http.Request {
	c.t.Helper()
	request := httptest.NewRequest(method, target, nil)
	request.Header.Set("Authorization", "Bearer "+c.Token(options...))
	return request
}

// Context returns a context in which [clerkauth.FromContext] returns the caller of a new token, for handlers without their
// middleware.
func (c *Clerk) Context(ctx context.Context, options ...Option) context.Context {
	c.t.Helper()
	c.once.Do(func() { c.client = c.Client() })
	auth, err := c.client.VerifyToken(ctx, c.Token(options...))
	if err != nil {
		c.t.Fatal(err)
	}
	return clerkauth.ContextWithAuth(ctx, auth)
}

// WebhookSecret returns the secret of webhooks.
func (c *Clerk) WebhookSecret() string {
	return "whsec_" + base64.StdEncoding.EncodeToString(c.secret)
}

// Webhook returns a signed webhook delivery. The data is a value to marshal, such as that of [Clerk.UserData].
func (c *Clerk) Webhook(event string, data any) (http.Header, []byte) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"type": event, "object": "event", "timestamp": time.Now().UnixMilli(), "data": data})
	if err != nil {
		c.t.Fatal(err)
	}
	id, at := "msg_"+randomID(), strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, c.secret)
	mac.Write([]byte(id + "." + at + "." + string(body)))
	header := http.Header{"Content-Type": {"application/json"}}
	header.Set("Svix-Id", id)
	header.Set("Svix-Timestamp", at)
	header.Set("Svix-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return header, body
}

// UserData returns a user as Clerk's API does; nil if there is none.
func (c *Clerk) UserData(id string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	profile := c.users[id]
	if profile == nil {
		return nil
	}
	data := map[string]any{"object": "user", "id": id, "username": nullable(profile.Username), "first_name": nullable(profile.FirstName),
		"last_name": nullable(profile.LastName), "external_id": nullable(profile.ExternalID), "primary_email_address_id": nil,
		"email_addresses": []any{}, "banned": profile.Banned, "updated_at": c.versions[id]}
	if profile.Email != "" {
		status := "verified"
		if profile.EmailUnverified {
			status = "unverified"
		}
		data["primary_email_address_id"] = primaryID
		data["email_addresses"] = []any{map[string]any{"id": primaryID, "email_address": profile.Email,
			"verification": map[string]string{"status": status}}}
	}
	return data
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (c *Clerk) respond(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	status, body := http.StatusNotFound, any(map[string]any{"errors": []any{map[string]string{"code": "resource_not_found"}}})
	rest, isAPI := strings.CutPrefix(r.URL.Path, "/v1/")
	collection, id, _ := strings.Cut(rest, "/")
	switch {
	case !isAPI:
	case rest == "jwks":
		status, body = http.StatusOK, c.jwks()
	case collection == "users":
		if data := c.UserData(id); data != nil {
			status, body = http.StatusOK, data
		}
	case collection == "sessions":
		status, body = http.StatusOK, map[string]string{"object": "session", "id": id, "status": c.sessionStatus(id)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (c *Clerk) sessionStatus(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended[id] {
		return "ended"
	}
	return "active"
}

func (c *Clerk) jwks() any {
	key := signingKey().PublicKey
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]any{"keys": []any{map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": c.kid,
		"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}}}
}

func random(length int) []byte {
	bytes := make([]byte, length)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return bytes
}

func randomID() string { return hex.EncodeToString(random(12)) }
