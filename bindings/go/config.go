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

// Config holds the settings of a [Client]. A field with its zero value keeps the default; the README of clerk-auth lists all
// settings and their defaults. [Int] and [Bool] return values for settings that may be 0 or false.
type Config struct {
	// FromEnv applies every setting whose environment variable is set, before the fields of this struct.
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
	// Logger receives the events and the log lines of the library.
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
