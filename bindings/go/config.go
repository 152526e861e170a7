package clerkauth

// #include "bridge.h"
import "C"

import (
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
)

// Config holds the settings of a [Client]. The zero value of a field leaves the default; the table in the README of
// clerk-auth says what each is. [Int] and [Bool] make the values of those that may be 0 or false.
type Config struct {
	// FromEnv takes over every setting whose environment variable is set; the fields here come after it.
	FromEnv bool

	// Settings. Generated from src/config/settings.rs by `make generate`; do not edit.

	// Clerk's secret key (`sk_live_…`); fetches signing keys and users.
	SecretKey string `setting:"secret_key"`

	// Publishable key (`pk_live_…`); selects this instance's own suffixed session cookie.
	PublishableKey string `setting:"publishable_key"`

	// Public key for verification without network: PEM (also with escaped or missing line ends), bare base64, JWK or
	// JWK set.
	JWTKey string `setting:"jwt_key"`

	// Machine secret key; verifies opaque M2M tokens granted to that machine, instead of the secret key.
	MachineSecretKey string `setting:"machine_secret_key"`

	// JWK set as a JSON string, for a start without network.
	JWKS string `setting:"jwks"`

	// Public URL of the JWK set (`https://<frontend API>/.well-known/jwks.json`), fetched without the secret key.
	JWKSURL string `setting:"jwks_url"`

	// Kinds of tokens that are accepted; machine tokens are accepted in the header only. Default: session_token.
	AcceptsToken []string `setting:"accepts_token"`

	// Origins of which `azp` must be one, compared exactly; empty: not checked.
	AuthorizedParties []string `setting:"authorized_parties"`

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

	// How long a session check (Clerk says that the session is active) is cached; 0: no session checks. Default: 0.
	SessionCheckTTLS *int64 `setting:"session_check_ttl_s"`

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

	// How long a row check (the user's row exists and is active) is cached; 0: the store is queried for each request.
	// Default: 0.
	RowCheckTTLS *int64 `setting:"row_check_ttl_s"`

	// `claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the application's own row; unset: `sync`
	// with a user store, else `claims`.
	UserMode string `setting:"user_mode"`

	// Whether a row without a Clerk id is linked by an address that Clerk has verified. Default: verified.
	LinkByEmail string `setting:"link_by_email"`

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

	// Webhooks of other instances (`ins_…`) are ignored.
	InstanceID string `setting:"instance_id"`

	// How long ended sessions and deleted users are rejected after a webhook; must be at least the lifetime of a
	// session token. Default: 86400.
	RevocationTTLS *int64 `setting:"revocation_ttl_s"`

	// End of the generated settings.

	// Settings reaches settings by their name in the C library, also those that a newer library has. Applied last.
	Settings map[string]string

	// Store is the host's user table. With one, user_mode is "sync" unless it is set.
	Store UserStore
	// SQLitePath keeps the users in the table clerk_user of that file instead.
	SQLitePath string

	// OnEvent is told of each event, on the goroutine of the call, several at once. It costs each call a little, and must
	// not call what may wait for Clerk: that gives [ErrReentrant]. A panic in it harms nobody and is told to Logger; but
	// neither OnEvent nor Logger nor Clock may end its goroutine (runtime.Goexit, which t.Fatal calls): C code is on the
	// stack, and the process ends, saying so.
	OnEvent func(Event)
	// Logger is given the events and the log lines of the library.
	Logger *slog.Logger
	// Clock tells the time instead of the system; for tests. When it panics, the call ends with [ErrInternal].
	Clock func() time.Time

	// MaxBlocking is how many calls may wait for Clerk at once, each on an operating system thread; 64 if it is 0.
	MaxBlocking int
	// MaxBlockingWait is how long a call waits for its turn when so many are under way; five seconds if it is 0.
	MaxBlockingWait time.Duration

	// Realm is named in WWW-Authenticate lines: printable ASCII.
	Realm string
	// OnFailure answers requests that the middleware does not let in; [Fail] if it is nil.
	OnFailure func(http.ResponseWriter, *http.Request, *Error)
}

// Int is for settings that may be 0: Config{CacheTTLS: clerkauth.Int(0)}.
func Int(value int64) *int64 { return &value }

// Bool is for settings that may be false.
func Bool(value bool) *bool { return &value }

// settings is a clerk_config that is being filled.
type settings struct {
	config *C.clerk_config
}

// check makes an error of a status that is not CLERK_OK.
func check(status C.int32_t, failed *C.clerk_error) error {
	if status == C.CLERK_OK {
		return nil
	}
	return errorOf(status, nil, failed, "", nil)
}

func (s settings) set(name, value string) error {
	var failed *C.clerk_error
	status := C.clerk_config_set(s.config, strOf(name), strOf(value), &failed)
	return check(status, failed)
}

func (s settings) setInt(name string, value int64) error {
	var failed *C.clerk_error
	status := C.clerk_config_set_int(s.config, strOf(name), C.int64_t(value), &failed)
	return check(status, failed)
}

func (s settings) add(name, item string) error {
	var failed *C.clerk_error
	status := C.clerk_config_add(s.config, strOf(name), strOf(item), &failed)
	return check(status, failed)
}

// apply takes over all settings of a config; hooks and stores are not its business.
func (s settings) apply(from *Config) error {
	if from.FromEnv {
		var failed *C.clerk_error
		status := C.clerk_config_from_env(s.config, &failed)
		if err := check(status, failed); err != nil {
			return err
		}
	}
	values := reflect.ValueOf(from).Elem()
	for i := range values.NumField() {
		name := values.Type().Field(i).Tag.Get("setting")
		if name == "" || values.Field(i).IsZero() {
			continue
		}
		if err := s.field(name, values.Field(i)); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(from.Settings))
	for name := range from.Settings {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := s.set(name, from.Settings[name]); err != nil {
			return err
		}
	}
	return nil
}

func (s settings) field(name string, value reflect.Value) error {
	switch value := value.Interface().(type) {
	case string:
		return s.set(name, value)
	case *int64:
		return s.setInt(name, *value)
	case *bool:
		if *value {
			return s.setInt(name, 1)
		}
		return s.setInt(name, 0)
	case []string:
		return s.list(name, value)
	default:
		return wrongUse(ErrInternal, "a setting of an unknown type: "+name)
	}
}

// list replaces what the environment says.
func (s settings) list(name string, items []string) error {
	isPlain := func(item string) bool { return strings.TrimSpace(item) != "" && !strings.Contains(item, ",") }
	whole := ""
	if !slices.ContainsFunc(items, func(item string) bool { return !isPlain(item) }) {
		whole, items = strings.Join(items, ","), nil
	}
	if err := s.set(name, whole); err != nil {
		return err
	}
	for _, item := range items {
		if err := s.add(name, item); err != nil {
			return err
		}
	}
	return nil
}

// schema tells which columns the store's table has.
func (s settings) schema(schema Schema) error {
	if schema.Columns != nil {
		var set C.uint32_t
		for _, column := range schema.Columns {
			if column.String() == "" {
				return wrongUse(ErrArgument, "Schema.Columns holds an unknown column")
			}
			set |= 1 << column
		}
		if C.clerk_config_set_user_columns(s.config, set) != C.CLERK_OK {
			return wrongUse(ErrArgument, "Schema.Columns needs ColumnClerkID or ColumnEmail")
		}
	}
	for column, characters := range schema.Lengths {
		if C.clerk_config_set_user_column_length(s.config, C.int32_t(column), C.uint32_t(characters)) != C.CLERK_OK {
			return wrongUse(ErrArgument, "Schema.Lengths: no such limit for "+column.String())
		}
	}
	return nil
}
