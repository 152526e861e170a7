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

	SecretKey               string   `setting:"secret_key"`
	PublishableKey          string   `setting:"publishable_key"`
	JWTKey                  string   `setting:"jwt_key"`
	MachineSecretKey        string   `setting:"machine_secret_key"`
	JWKS                    string   `setting:"jwks"`
	JWKSURL                 string   `setting:"jwks_url"`
	APIURL                  string   `setting:"api_url"`
	AuthorizedParties       []string `setting:"authorized_parties"`
	Audience                []string `setting:"audience"`
	Issuer                  []string `setting:"issuer"`
	AcceptsToken            []string `setting:"accepts_token"`
	ClockSkewMs             *int64   `setting:"clock_skew_ms"`
	TimeoutMs               *int64   `setting:"timeout_ms"`
	CacheTTLS               *int64   `setting:"cache_ttl_s"`
	CacheCapacity           *int64   `setting:"cache_capacity"`
	UserTTLS                *int64   `setting:"user_ttl_s"`
	UserStaleIfErrorS       *int64   `setting:"user_stale_if_error_s"`
	RowCheckTTLS            *int64   `setting:"row_check_ttl_s"`
	UserMode                string   `setting:"user_mode"`
	LinkByEmail             string   `setting:"link_by_email"`
	TreatPendingAsSignedOut *bool    `setting:"treat_pending_as_signed_out"`
	AllowBareToken          *bool    `setting:"allow_bare_token"`
	CheckClientUAT          *bool    `setting:"check_client_uat"`
	MachineCacheTTLS        *int64   `setting:"machine_cache_ttl_s"`
	ExpectedMachineID       string   `setting:"expected_machine_id"`
	SessionCheckTTLS        *int64   `setting:"session_check_ttl_s"`
	RevocationTTLS          *int64   `setting:"revocation_ttl_s"`
	CAPEM                   string   `setting:"ca_pem"`
	Proxy                   string   `setting:"proxy"`
	UserAgent               string   `setting:"user_agent"`
	WebhookSecrets          []string `setting:"webhook_secrets"`
	InstanceID              string   `setting:"instance_id"`

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
