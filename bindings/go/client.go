package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// Client authenticates requests. It is safe for concurrent use; a server needs one.
type Client struct {
	c            *C.clerk_client
	handle       *clientHandle
	closed       atomic.Bool
	closing      context.Context // done after Close
	cancel       context.CancelFunc
	results      resultCache
	limiter      limiter
	callbacks    *callbacks
	store        UserStore
	rows         *rowCache
	hasTable     bool
	hasLogger    bool
	realm        string
	onAnswer     func(context.Context, Answer)
	errorHandler func(http.ResponseWriter, *http.Request, *Error)
	handshake    bool
	publicURL    func(*http.Request) string
}

// clientHandle frees the C client when the Client is unreachable. It is a separate object because a Client's store may
// refer to the Client, and the runtime does not finalize objects in a reference cycle.
type clientHandle struct {
	c *C.clerk_client
	// Keeps the object out of the runtime's tiny allocator, which would delay its finalizer.
	_ [16]byte
}

// New returns a client with the given settings. It validates all of them and makes no request to Clerk; it connects to the
// Database, if that is set. The error is an [*Error]: for an invalid setting it is [ErrConfig], and Setting names the setting.
func New(config Config) (*Client, error) {
	if err := checkABI(loadedABI(), Version()); err != nil {
		return nil, &Error{Status: http.StatusInternalServerError, kind: ErrInternal, cause: err}
	}
	if config.Store != nil && config.hasTable() || config.SQLitePath != "" && config.hasDatabase() {
		return nil, usageError(ErrArgument, "Config.Store, Config.Database and Config.SQLitePath are mutually exclusive")
	}
	if config.MaxBlockingCalls < 0 {
		return nil, usageError(ErrArgument, "Config.MaxBlockingCalls is negative")
	}
	if strings.ContainsFunc(config.Realm, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, usageError(ErrArgument, "Config.Realm must be printable ASCII")
	}
	cConfig := C.clerk_config_new()
	if cConfig == nil {
		return nil, usageError(ErrInternal, "clerk_config_new failed")
	}
	defer C.clerk_config_free(cConfig)
	own := &callbacks{}
	set := &callbackSet{onEvent: config.OnEvent, logger: config.Logger, clock: config.Clock}
	if config.Logger == nil {
		set.logger = slog.New(&throttle{})
	}
	own.set.Store(set)
	if err := configure(configBuilder{cConfig}, &config, own); err != nil {
		return nil, err
	}
	var client *C.clerk_client
	var cErr *C.clerk_error
	status := C.clerk_client_new(cConfig, &client, &cErr)
	if err := statusError(status, cErr); err != nil {
		return nil, err
	}
	closing, cancel := context.WithCancel(context.Background())
	c := &Client{c: client, closing: closing, cancel: cancel, callbacks: own, store: config.Store, hasTable: config.hasTable(), hasLogger: config.Logger != nil,
		realm: config.Realm, onAnswer: config.OnAnswer, errorHandler: config.ErrorHandler, publicURL: config.PublicURL}
	c.handshake = config.Handshake == "on" || config.Settings["handshake"] == "on"
	c.limiter = newLimiter(config.MaxBlockingCalls, config.QueueTimeout)
	if config.Store != nil {
		c.rows = newRowCache(config.CacheCapacity)
	}
	if c.errorHandler == nil {
		c.errorHandler = WriteError
	}
	c.handle = &clientHandle{c: client}
	runtime.SetFinalizer(c.handle, func(h *clientHandle) { C.clerk_client_free(h.c) })
	return c, nil
}

// configure applies a Config. The library releases the callback handles with the config if no client is created.
func configure(to configBuilder, config *Config, own *callbacks) error {
	if err := to.apply(config); err != nil {
		return err
	}
	if config.OnEvent != nil || config.Logger != nil {
		C.clerkgo_set_event_callback(to.config, own.retain())
	}
	level := C.int32_t(C.CLERK_LOG_LEVEL_WARN)
	if config.Logger != nil {
		level = C.CLERK_LOG_LEVEL_INFO
		if config.Logger.Enabled(context.Background(), slog.LevelDebug) {
			level = C.CLERK_LOG_LEVEL_DEBUG
		}
	}
	if config.Logger != nil || os.Getenv("CLERK_LOG") == "" { // else the library writes to standard error
		C.clerkgo_set_log_callback(to.config, level, own.retain())
	}
	if config.Clock != nil {
		C.clerkgo_set_clock_callback(to.config, own.retain())
	}
	if config.SQLitePath != "" {
		var cErr *C.clerk_error
		status := C.clerk_config_set_sqlite_path(to.config, cStr(config.SQLitePath), &cErr)
		return statusError(status, cErr)
	}
	if config.Store == nil {
		return nil
	}
	C.clerkgo_set_user_store(to.config)
	if store, ok := config.Store.(SchemaStore); ok {
		if err := to.setSchema(store.Schema()); err != nil {
			return err
		}
	}
	return checkStore(config.Store)
}

// checkTimeout is the maximum time that New waits for the user store.
const checkTimeout = 5 * time.Second

func checkStore(store UserStore) error {
	checker, ok := store.(StoreChecker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	if err := checker.Check(ctx); errors.Is(err, ErrConfig) {
		return &Error{Status: http.StatusInternalServerError, kind: ErrConfig, cause: err}
	}
	return nil
}

// Close aborts calls to Clerk that are in flight. These, queued and later calls return [ErrClosed]; the caches are not used any
// more. Results that were returned before stay valid. With a shared cache, Close first sends the changes that other processes do
// not know yet, for at most a second. Close may be called more than once; its error is nil for every client that [New] returned.
func (c *Client) Close() error {
	if c == nil || c.c == nil {
		return c.checkOpen()
	}
	if c.closed.Swap(true) {
		return nil
	}
	c.cancel()
	C.clerk_client_shutdown(c.c)
	c.results.clear()
	c.rows.clear()
	// A callback may refer to the client.
	c.callbacks.set.Store(nil)
	runtime.KeepAlive(c)
	return nil
}

func (c *Client) checkOpen() error {
	if c == nil || c.c == nil {
		return usageError(ErrArgument, "the client was not created by New")
	}
	if c.closed.Load() {
		return usageError(ErrClosed, "")
	}
	return nil
}

// WarmUp fetches the JWKS, so that the first request does not have to wait for it. The error is an [*Error] that is
// [ErrAPI], or [ErrUnavailable] if ctx is done first.
func (c *Client) WarmUp(ctx context.Context) error {
	if err := c.checkMayBlock(ctx); err != nil {
		return err
	}
	result, err := c.callBlocking(ctx, func() C.clerkgo_call_result {
		defer runtime.KeepAlive(c)
		return C.clerkgo_warm_up(c.c)
	})
	if err != nil {
		return err
	}
	if result.status != C.CLERK_OK && c.closed.Load() {
		freeCallResult(result)
		return usageError(ErrClosed, "")
	}
	return statusError(result.status, result.error)
}

// InvalidateToken removes the cached result of a token; the next request with it is verified again.
func (c *Client) InvalidateToken(token string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_invalidate_token(c.c, cStr(token)) })
}

// InvalidateUser removes the cached results of a Clerk user, and the cached user.
func (c *Client) InvalidateUser(clerkID string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_invalidate_user(c.c, cStr(clerkID)) })
}

// InvalidateSession removes the cached results of a session.
func (c *Client) InvalidateSession(sessionID string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_invalidate_session(c.c, cStr(sessionID)) })
}

// InvalidateAll clears all caches but the JWKS.
func (c *Client) InvalidateAll() error {
	return c.callOpen(func() C.int32_t {
		defer c.rows.clear()
		defer c.results.clear()
		return C.clerk_client_invalidate_all(c.c)
	})
}

// Explain explains why a token is accepted or rejected, check by check, without trusting it. It rests on what is in memory:
// it makes no network request and does not query the user store. Call [Client.WarmUp] first, so that signatures can be
// checked. For operators; do not send the explanation to clients.
func (c *Client) Explain(token string) (*Explanation, error) {
	if err := c.checkOpen(); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(c)
	var explanation *C.clerk_explanation
	var cErr *C.clerk_error
	status := C.clerk_explain(c.c, cStr(token), &explanation, &cErr)
	if err := statusError(status, cErr); err != nil {
		return nil, err
	}
	defer C.clerk_explanation_free(explanation)
	explained := &Explanation{Text: goString(C.clerk_explanation_text(explanation))}
	if err := json.Unmarshal([]byte(goString(C.clerk_explanation_json(explanation))), explained); err != nil {
		return nil, &Error{Status: http.StatusInternalServerError, kind: ErrInternal, cause: err}
	}
	return explained, nil
}

// Explanation says why a token is accepted or rejected. It contains neither the token nor its signature.
type Explanation struct {
	// Rejected reports whether a check fails. Checks that are skipped may still reject the token.
	Rejected bool `json:"rejected"`
	// Reason is the name of the [Reason] if the token is rejected.
	Reason string `json:"reason"`
	// Summary is the failure that decides, as in the log at debug level.
	Summary string `json:"summary"`
	// Kind is the name of the token's type, such as "session_token"; empty if it has none.
	Kind string `json:"kind"`
	// Verified reports whether the signature was verified. If not, a token that no check rejects may be forged.
	Verified bool    `json:"verified"`
	Checks   []Check `json:"checks"`
	// Text has one line for each check.
	Text string `json:"-"`
}

// Check is one check of an [Explanation], in the order of verification.
type Check struct {
	Name     string `json:"name"`
	Status   string `json:"status"` // "ok", "failed" or "skipped"
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Hint     string `json:"hint"`
	Failure  string `json:"failure"`
}

// RevokeSession rejects all tokens of a session from now on, for revocation_ttl_s.
func (c *Client) RevokeSession(sessionID string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_revoke_session(c.c, cStr(sessionID)) })
}

// RevokeUser rejects all tokens of a Clerk user from now on, for revocation_ttl_s.
func (c *Client) RevokeUser(clerkID string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_revoke_user(c.c, cStr(clerkID)) })
}

// ExportRevocations returns all revocations as JSON, for [Client.ImportRevocations] in another process.
func (c *Client) ExportRevocations() (string, error) {
	return c.copied(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.int32_t {
		return C.clerk_client_export_revocations(c.c, buffer, capacity, needed)
	})
}

// copied returns what a call copies into a buffer.
func (c *Client) copied(call func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.int32_t) (string, error) {
	buffer := make([]byte, 16384)
	for {
		var needed C.size_t
		err := c.callOpen(func() C.int32_t {
			status := call((*C.char)(unsafe.Pointer(unsafe.SliceData(buffer))), C.size_t(len(buffer)), &needed)
			if status == C.CLERK_E_ARGUMENT && int(needed) >= len(buffer) {
				return C.CLERK_OK
			}
			return status
		})
		if err != nil {
			return "", err
		}
		if int(needed) < len(buffer) {
			return string(buffer[:needed]), nil
		}
		buffer = make([]byte, int(needed)+1)
	}
}

// ImportRevocations merges the revocations of another process into those of this client; each keeps its expiry.
func (c *Client) ImportRevocations(json string) error {
	return c.callOpen(func() C.int32_t { return C.clerk_client_import_revocations(c.c, cStr(json), nil) })
}

// callOpen runs a call that never blocks, if the client is open.
func (c *Client) callOpen(call func() C.int32_t) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	defer runtime.KeepAlive(c)
	return statusError(call(), nil)
}

// Stats holds the counters of a client since it was created.
type Stats struct {
	CacheHits    uint64 // requests served from the cache
	CacheMisses  uint64 // tokens that had to be verified
	SignedIn     uint64 // requests signed in after verification
	SignedOut    uint64 // requests rejected
	Unavailable  uint64 // requests whose result could not be determined
	JWKSFetches  uint64 // requests for the JWKS
	UserFetches  uint64 // requests for a user
	CachedTokens uint64 // results in the cache now
	CachedUsers  uint64 // users in the cache now
	// NoCredentials counts requests without a credential.
	NoCredentials uint64
	// WouldBlock counts calls that may not block and had no result.
	WouldBlock uint64
	// StoreErrors counts requests for which the user store failed. Unavailable counts them as well.
	StoreErrors uint64
	// Calls counts calls to Clerk, each attempt, in the order of their endpoints. Calls that have not happened are left out.
	Calls []Calls
	// OpenCircuits are the endpoints to which no calls are sent now, after failures or a 429.
	OpenCircuits []Endpoint
	// RateLimited are those of OpenCircuits after a 429.
	RateLimited []Endpoint
	// JWKSAge is the age of the JWKS; negative if none has been fetched.
	JWKSAge time.Duration
	// SharedCache are the counters of the shared cache.
	SharedCache SharedCacheStats
}

// SharedCacheStats holds the counters of the cache that processes share.
type SharedCacheStats struct {
	State    SharedCacheState
	Hits     uint64 // users that were found
	Misses   uint64 // users that were looked for and not found
	Errors   uint64 // operations that failed
	Rejected uint64 // entries that were ignored: damaged, of another instance or secret, or replayed
	// RevocationLag is how long the last change by another process took to be applied here; negative if there was none.
	RevocationLag time.Duration
}

// Calls is the number of calls to an endpoint of Clerk that ended with a status.
type Calls struct {
	Endpoint Endpoint
	Status   CallStatus
	Count    uint64
}

// Stats returns the counters of the client.
func (c *Client) Stats() (Stats, error) {
	var s C.clerk_stats
	s.struct_size = C.sizeof_clerk_stats
	err := c.callOpen(func() C.int32_t { return C.clerk_client_stats(c.c, &s) })
	if err != nil {
		return Stats{}, err
	}
	var calls []Calls
	for endpoint, statuses := range s.calls {
		for status, count := range statuses {
			if count > 0 {
				calls = append(calls, Calls{Endpoint(endpoint), CallStatus(status), uint64(count)})
			}
		}
	}
	return Stats{
		Calls: calls, OpenCircuits: marked(s.open_circuits[:]), RateLimited: marked(s.rate_limited[:]),
		CacheHits: uint64(s.cache_hits), CacheMisses: uint64(s.cache_misses), SignedIn: uint64(s.signed_in),
		SignedOut: uint64(s.signed_out), Unavailable: uint64(s.unavailable), JWKSFetches: uint64(s.jwks_fetches),
		UserFetches: uint64(s.user_fetches), CachedTokens: uint64(s.cached_tokens), CachedUsers: uint64(s.cached_users),
		JWKSAge:       time.Duration(s.jwks_age_ms) * time.Millisecond,
		NoCredentials: uint64(s.no_credentials), WouldBlock: uint64(s.would_block), StoreErrors: uint64(s.store_errors),
		SharedCache: SharedCacheStats{
			State: SharedCacheState(s.shared_cache_state), Hits: uint64(s.shared_cache_hits),
			Misses: uint64(s.shared_cache_misses), Errors: uint64(s.shared_cache_errors),
			Rejected:      uint64(s.shared_cache_rejected),
			RevocationLag: time.Duration(s.revocation_lag_ms) * time.Millisecond,
		},
	}, nil
}

func marked(endpoints []C.uint64_t) []Endpoint {
	var made []Endpoint
	for endpoint, mark := range endpoints {
		if mark > 0 {
			made = append(made, Endpoint(endpoint))
		}
	}
	return made
}

// MetricsText returns the counters in the text exposition format of Prometheus, text/plain; version=0.0.4. [Client.Metrics] is a
// handler that responds with it.
func (c *Client) MetricsText() (string, error) {
	return c.copied(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.int32_t {
		return C.clerk_client_metrics_text(c.c, buffer, capacity, needed)
	})
}

// Metrics returns a handler for Prometheus. It needs no authentication: do not serve it to the public.
func (c *Client) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := c.MetricsText()
		if err != nil { // the client is closed
			http.Error(w, "no metrics", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, text)
	})
}
