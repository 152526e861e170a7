package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
)

// Config holds the settings of a [Client]. A field with its zero value keeps the default; the README of clerk-auth lists all
// settings and their defaults. [Int] and [Bool] return values for settings that may be 0 or false.
type Config struct {
	// FromEnv applies every setting whose environment variable is set, before the fields of this struct.
	FromEnv bool

	// Settings. Generated from src/config/settings.rs by `make generate`; do not edit.

	// Clerk's secret key (`sk_live_…`); fetches signing keys and users.
	SecretKey string `setting:"secret_key"`

	// Publishable key (`pk_live_…`); selects this instance's own suffixed session cookie.
	PublishableKey string `setting:"publishable_key"`

	// Public key for verification without network: PEM (also with escaped or missing line breaks), bare base64, JWK or
	// JWK set.
	JWTKey string `setting:"jwt_key"`

	// Machine secret key; verifies opaque M2M tokens granted to that machine, instead of the secret key.
	MachineSecretKey string `setting:"machine_secret_key"`

	// JWK set as a JSON string, for a start without network.
	JWKS string `setting:"jwks"`

	// Public URL of the JWK set (`https://<frontend API>/.well-known/jwks.json`), fetched without the secret key.
	JWKSURL string `setting:"jwks_url"`

	// Token types that are accepted; machine tokens in the `Authorization` header only. Default: session_token.
	AcceptsToken []string `setting:"accepts_token"`

	// Origins of which `azp` must be one, compared exactly; empty: not checked.
	AuthorizedParties []string `setting:"authorized_parties"`

	// `accept`: a token without `azp` passes `authorized_parties`, as Clerk issues them for navigations without an
	// `Origin` and to servers; a wrong or empty `azp` is rejected all the same. Default: refuse.
	AuthorizedPartiesMissing string `setting:"authorized_parties_missing"`

	// Audiences of which `aud` must contain one; empty: not checked.
	Audience []string `setting:"audience"`

	// Issuers of which `iss` must be one; empty: not checked.
	Issuer []string `setting:"issuer"`

	// Machine (`mch_…`) that an M2M token must be scoped to.
	ExpectedMachineID string `setting:"expected_machine_id"`

	// Tolerated difference between this clock and Clerk's. Default: 5000.
	ClockSkewMs *int64 `setting:"clock_skew_ms"`

	// Reject sessions with pending tasks (choosing an organization, setting up MFA). Default: true.
	TreatPendingAsSignedOut *bool `setting:"treat_pending_as_signed_out"`

	// Accept an `Authorization` value that is a bare token, without `Bearer`. Default: false.
	AllowBareToken *bool `setting:"allow_bare_token"`

	// Check the `__client_uat` cookie too, so that signing out takes effect before the token expires. Default: false.
	CheckClientUat *bool `setting:"check_client_uat"`

	// Read the suffixed session cookie only, not `__session`, which sites on sibling domains may set as well; needs
	// `publishable_key`. Default: false.
	RequireSuffixedCookie *bool `setting:"require_suffixed_cookie"`

	// `check`: a cookie on a method other than GET, HEAD, OPTIONS and TRACE needs a `Sec-Fetch-Site` or `Origin` that
	// shows the request's own origin or one of `authorized_parties`. Default: off.
	Csrf string `setting:"csrf"`

	// How long a session check (a request to Clerk whether the session is active) is cached; 0: no session checks.
	// Default: 0.
	SessionCheckTTLS *int64 `setting:"session_check_ttl_s"`

	// Read tokens from the `Authorization` header only, never from a cookie; not together with `handshake`,
	// `check_client_uat` or `require_suffixed_cookie`, which read cookies. Default: false.
	IgnoreCookies *bool `setting:"ignore_cookies"`

	// How long a verified token is cached, at most until it expires; 0: not cached. Default: 300.
	CacheTTLS *int64 `setting:"cache_ttl_s"`

	// How many verified tokens, and how many users, are cached. Default: 10000.
	CacheCapacity *int64 `setting:"cache_capacity"`

	// How long a verified opaque machine token is cached; 0: not cached, so that revoking it takes effect at once.
	// Default: 0.
	MachineCacheTTLS *int64 `setting:"machine_cache_ttl_s"`

	// How long a fetched user is fresh; 0: fetched for each new token. Default: 300.
	UserTTLS *int64 `setting:"user_ttl_s"`

	// How old a fetched user may be when Clerk is unavailable (stale-if-error); 0: stale users are not used. Default:
	// 3600.
	UserStaleIfErrorS *int64 `setting:"user_stale_if_error_s"`

	// How long a row check (the user's row exists and is active) is cached, and so how late a change of the row by the
	// application may take effect; 0: the store is queried for each request, so that `clerk_authenticate_cached` never
	// has a result. Default: 0.
	RowCheckTTLS *int64 `setting:"row_check_ttl_s"`

	// URL of the cache that processes share: `redis://`, `rediss://` (TLS), `redis+sentinel://host,host/master` or
	// `redis+cluster://host,host`, with `user:password@` before the host if needed; unset: none.
	SharedCache string `setting:"shared_cache"`

	// Secret that the entries of the shared cache are sealed with, at least 32 characters; two while it is rotated, of
	// which the first seals; needs `publishable_key`, which names the instance; unset: `secret_key`.
	SharedCacheSecret []string `setting:"shared_cache_secret"`

	// Certificates (PEM) to trust for `rediss://` instead of the system's.
	SharedCacheCAPEM string `setting:"shared_cache_ca_pem"`

	// Whether requests that need the shared cache, and webhooks that revoke tokens, get 503 without it, and no client
	// is created; `false`: the process goes on with its own caches. Default: false.
	SharedCacheRequired *bool `setting:"shared_cache_required"`

	// How many users a process fetches from Clerk per second where no other process is known not to fetch them as well:
	// without a shared cache, while it cannot be used, or for as long afterwards; 0: not limited. Default: 0.
	ClerkCallsPerS *int64 `setting:"clerk_calls_per_s"`

	// `claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the application's own row; unset: `sync`
	// with a user store, else `claims`.
	UserMode string `setting:"user_mode"`

	// Ready-made user table, instead of a user store: `sqlite:path`, `postgres://user:password@host/database` or
	// `mysql://user:password@host/database` (MySQL, MariaDB).
	Database string `setting:"database"`

	// Whether a row without a Clerk id is linked by an address that Clerk has verified. Default: verified.
	LinkByEmail string `setting:"link_by_email"`

	// Accept a user's API keys and OAuth tokens without the Clerk user and the row; a deactivated row, or a ban of
	// which no webhook was received, then does not reject them. Default: false.
	MachineTokensSkipUser *bool `setting:"machine_tokens_skip_user"`

	// Reject a new Clerk user whose verified address is in a row that the application deactivated. Default: true.
	BlockDeactivatedEmail *bool `setting:"block_deactivated_email"`

	// Deactivate the row of a user that Clerk has deleted when the webhook `user.deleted` arrives, as the application
	// would: nothing activates it again; needs `user_mode` `sync` and columns for the Clerk id and `is_active`.
	// Default: false.
	DeactivateDeletedUsers *bool `setting:"deactivate_deleted_users"`

	// Base URL of the Backend API, with or without `/v1`, for every call; `http` only on loopback. Default:
	// https://api.clerk.com.
	APIURL string `setting:"api_url"`

	// Time limit of a call to Clerk, with all retries: name lookup, connection, TLS, response. Default: 5000.
	TimeoutMs *int64 `setting:"timeout_ms"`

	// Certificates (PEM) to trust instead of the system's.
	CAPEM string `setting:"ca_pem"`

	// HTTP proxy for calls to Clerk; proxy variables of the environment are ignored.
	Proxy string `setting:"proxy"`

	// `User-Agent` of calls to Clerk; unset: `clerk-auth@<version>`.
	UserAgent string `setting:"user_agent"`

	// Signing secrets of webhook endpoints (`whsec_…`), several during rotation.
	WebhookSecrets []string `setting:"webhook_secrets"`

	// Id of the Clerk instance (`ins_…`); webhooks of other instances are ignored.
	InstanceID string `setting:"instance_id"`

	// How long ended sessions and deleted users are rejected after a webhook; must be at least the lifetime of a
	// session token. Default: 86400.
	RevocationTTLS *int64 `setting:"revocation_ttl_s"`

	// `on`: a document request with a stale session cookie is redirected to Clerk and comes back signed in; needs
	// `publishable_key` and `secret_key`. Default: off.
	Handshake string `setting:"handshake"`

	// With `handshake`: renew an expired session with its refresh cookie, without a redirect. Default: true.
	Refresh *bool `setting:"refresh"`

	// Origins under which browsers reach the application (`https://app.example.com`), compared exactly; empty:
	// `authorized_parties`. With neither, any host of a request counts.
	PublicOrigin []string `setting:"public_origin"`

	// Read the host and the scheme of the public URL from `X-Forwarded-Host` and `X-Forwarded-Proto`; only behind a
	// proxy that sets or removes both. Default: false.
	TrustForwarded *bool `setting:"trust_forwarded"`

	// URL of a proxy in front of Clerk's Frontend API, or its path on the application's own origin, such as `/__clerk`.
	ProxyURL string `setting:"proxy_url"`

	// Domain of this application if it is a satellite, such as `satellite.example.net`.
	Domain string `setting:"domain"`

	// Whether the application is a satellite: it shares the sessions of a primary application on another domain.
	// Default: false.
	IsSatellite *bool `setting:"is_satellite"`

	// URL of the primary application's sign-in page; needed by a satellite of a development instance.
	SignInURL string `setting:"sign_in_url"`

	// Whether a satellite asks the primary domain about visitors without cookies at their first request. Default:
	// false.
	SatelliteAutoSync *bool `setting:"satellite_auto_sync"`

	// Origins of satellites to which the primary application of a development instance passes sessions on.
	SatelliteOrigins []string `setting:"satellite_origins"`

	// `development`: production instances read the response of a handshake from cookies only; `always`: from the query
	// too. Default: development.
	HandshakeQuery string `setting:"handshake_query"`

	// Pass the stale session token to Clerk in the redirect, so that it can be renewed even during an outage there.
	// Default: true.
	HandshakeSendSession *bool `setting:"handshake_send_session"`

	// Redirect a visitor who follows a link from another site to Clerk once; only for applications on several domains.
	// Default: false.
	CrossOriginSync *bool `setting:"cross_origin_sync"`

	// Paths that belong to an organization, such as `/orgs/:slug` or `/orgs/:slug/(.*)`.
	OrganizationPatterns []string `setting:"organization_patterns"`

	// Paths that belong to the personal account, such as `/me` or `/me/(.*)`.
	PersonalAccountPatterns []string `setting:"personal_account_patterns"`

	// End of the generated settings.

	// PublicURL returns the URL under which a browser sent the request, for Handshake; "" for the request's own scheme,
	// host and target. A server behind a proxy that ends TLS needs it, or TrustForwarded.
	PublicURL func(*http.Request) string

	// Settings sets further settings by their names in the C library, such as those of a newer version. Applied last.
	Settings map[string]string

	// Store is the application's user table. It sets user_mode to "sync" unless UserMode is set.
	Store UserStore
	// SQLitePath is the SQLite file with the user table clerk_user; an alternative to Store.
	SQLitePath string

	// OnEvent is called for every event, on the goroutine of the call, possibly concurrently. Calls of the client that may
	// block return [ErrReentrant] in it. A panic is recovered and logged to Logger. OnEvent, Logger and Clock must not end
	// their goroutine (runtime.Goexit, which t.Fatal calls): with C frames on the stack, that ends the process.
	OnEvent func(Event)
	// OnAnswer is called after every authentication, with the context of the request, on its goroutine.
	OnAnswer func(context.Context, Answer)
	// Logger receives the events and the log lines of the library. If it is nil, [slog.Default] receives what an operator has to
	// know, at slog.LevelWarn and above, once a minute at most for each; slog.New(slog.DiscardHandler) disables that.
	Logger *slog.Logger
	// Clock returns the time, for tests; time.Now if nil. If it panics, the call returns [ErrInternal].
	Clock func() time.Time

	// MaxBlockingCalls is the maximum number of concurrent calls that wait for Clerk, each of which holds an operating
	// system thread; 64 if 0.
	MaxBlockingCalls int
	// QueueTimeout is the maximum time that a call waits while MaxBlockingCalls others are in flight; 5 seconds if 0.
	QueueTimeout time.Duration

	// Realm is the realm in WWW-Authenticate headers. It must be printable ASCII.
	Realm string
	// ErrorHandler responds to the requests that a middleware does not pass on; [WriteError] if nil.
	ErrorHandler func(http.ResponseWriter, *http.Request, *Error)
}

// Int returns a pointer to value, for settings that may be 0: Config{CacheTTLS: clerkauth.Int(0)}.
func Int(value int64) *int64 { return &value }

// Bool returns a pointer to value, for settings that may be false.
func Bool(value bool) *bool { return &value }

// Seconds returns a duration for a setting in seconds: Config{CacheTTLS: clerkauth.Seconds(5 * time.Minute)}. It rounds up.
func Seconds(d time.Duration) *int64 { return Int(roundUp(d, time.Second)) }

// Milliseconds returns a duration for a setting in milliseconds: Config{TimeoutMs: clerkauth.Milliseconds(2 * time.Second)}.
func Milliseconds(d time.Duration) *int64 { return Int(roundUp(d, time.Millisecond)) }

// roundUp divides away from zero: a negative duration stays invalid, and does not become the 0 that disables something.
func roundUp(d, unit time.Duration) int64 {
	whole := int64(d / unit)
	switch rest := d % unit; {
	case rest > 0:
		whole++
	case rest < 0:
		whole--
	}
	return whole
}

// configBuilder applies settings to a clerk_config.
type configBuilder struct {
	config *C.clerk_config
}

func (b configBuilder) set(name, value string) error {
	var cErr *C.clerk_error
	status := C.clerk_config_set(b.config, cStr(name), cStr(value), &cErr)
	return statusError(status, cErr)
}

func (b configBuilder) setInt(name string, value int64) error {
	var cErr *C.clerk_error
	status := C.clerk_config_set_int(b.config, cStr(name), C.int64_t(value), &cErr)
	return statusError(status, cErr)
}

func (b configBuilder) add(name, item string) error {
	var cErr *C.clerk_error
	status := C.clerk_config_add(b.config, cStr(name), cStr(item), &cErr)
	return statusError(status, cErr)
}

// apply applies all settings of a Config, but not its callbacks and stores.
func (b configBuilder) apply(config *Config) error {
	if config.FromEnv {
		var cErr *C.clerk_error
		status := C.clerk_config_from_env(b.config, &cErr)
		if err := statusError(status, cErr); err != nil {
			return err
		}
	}
	values := reflect.ValueOf(config).Elem()
	for i := range values.NumField() {
		name := values.Type().Field(i).Tag.Get("setting")
		if name == "" || values.Field(i).IsZero() {
			continue
		}
		if err := b.setField(name, values.Field(i)); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(config.Settings))
	for name := range config.Settings {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := b.set(name, config.Settings[name]); err != nil {
			return err
		}
	}
	return nil
}

func (b configBuilder) setField(name string, value reflect.Value) error {
	switch value := value.Interface().(type) {
	case string:
		return b.set(name, value)
	case *int64:
		return b.setInt(name, *value)
	case *bool:
		if *value {
			return b.setInt(name, 1)
		}
		return b.setInt(name, 0)
	case []string:
		return b.setList(name, value)
	default:
		return usageError(ErrInternal, "field of an unknown type for the setting "+name)
	}
}

// hasDatabase reports whether the user table is that of the setting database.
func (c *Config) hasDatabase() bool { return c.Database != "" || c.Settings["database"] != "" }

// hasTable reports whether the library has a user table of its own, for which calls may wait.
func (c *Config) hasTable() bool { return c.SQLitePath != "" || c.hasDatabase() }

// setList replaces a list. Items that a comma-separated list cannot hold are added one by one.
func (b configBuilder) setList(name string, items []string) error {
	isPlain := func(item string) bool { return strings.TrimSpace(item) != "" && !strings.Contains(item, ",") }
	joined := ""
	if !slices.ContainsFunc(items, func(item string) bool { return !isPlain(item) }) {
		joined, items = strings.Join(items, ","), nil
	}
	if err := b.set(name, joined); err != nil {
		return err
	}
	for _, item := range items {
		if err := b.add(name, item); err != nil {
			return err
		}
	}
	return nil
}

// setSchema sets the columns of the store's table and their lengths.
func (b configBuilder) setSchema(schema Schema) error {
	if schema.Columns != nil {
		var set C.uint32_t
		for _, column := range schema.Columns {
			if column.String() == "" {
				return usageError(ErrArgument, "Schema.Columns contains an unknown column")
			}
			set |= 1 << column
		}
		if C.clerk_config_set_user_columns(b.config, set) != C.CLERK_OK {
			return usageError(ErrArgument, "Schema.Columns must contain ColumnClerkID or ColumnEmail")
		}
	}
	for column, characters := range schema.Lengths {
		if C.clerk_config_set_user_column_length(b.config, C.int32_t(column), C.uint32_t(characters)) != C.CLERK_OK {
			return usageError(ErrArgument, "Schema.Lengths contains an invalid length for the column "+column.String())
		}
	}
	return nil
}
