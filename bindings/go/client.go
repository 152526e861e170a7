package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Client answers who is calling. It is shared by all goroutines.
type Client struct {
	c          *C.clerk_client
	owner      *owner
	closed     atomic.Bool
	done       chan struct{} // closed by Close
	remembered remembered
	gate       gate
	hooks      *hooks
	store      UserStore
	hasSQLite  bool
	realm      string
	fail       func(http.ResponseWriter, *http.Request, *Error)
}

// owner frees the library's client when nobody holds the Client any more: every call holds it until the call has ended.
// It is an object by itself because a Client's store may hold the Client, and what is part of a circle has no finalizer.
type owner struct {
	c *C.clerk_client
	// Go packs objects of less than 16 bytes without Go pointers together, and frees them together.
	_ [16]byte
}

// New makes a client. Whatever is wrong with the settings is found here: the error is an [*Error] that is [ErrConfig] and
// names the setting. It connects to nothing yet.
func New(config Config) (*Client, error) {
	if err := checkABI(loadedABI(), Version()); err != nil {
		return nil, &Error{Status: http.StatusInternalServerError, kind: ErrInternal, cause: err}
	}
	if config.Store != nil && config.SQLitePath != "" {
		return nil, wrongUse(ErrArgument, "Config.Store and Config.SQLitePath exclude one another")
	}
	if config.MaxBlocking < 0 {
		return nil, wrongUse(ErrArgument, "Config.MaxBlocking is negative")
	}
	if strings.ContainsFunc(config.Realm, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, wrongUse(ErrArgument, "Config.Realm holds more than printable ASCII")
	}
	made := C.clerk_config_new()
	if made == nil {
		return nil, wrongUse(ErrInternal, "no config can be made")
	}
	defer C.clerk_config_free(made)
	own := &hooks{}
	own.set.Store(&hookSet{onEvent: config.OnEvent, logger: config.Logger, clock: config.Clock})
	if err := configure(settings{made}, &config, own); err != nil {
		return nil, err
	}
	var client *C.clerk_client
	var failed *C.clerk_error
	status := C.clerk_client_new(made, &client, &failed)
	if err := check(status, failed); err != nil {
		return nil, err
	}
	c := &Client{c: client, done: make(chan struct{}), hooks: own, store: config.Store, hasSQLite: config.SQLitePath != "",
		realm: config.Realm, fail: config.OnFailure}
	c.gate = newGate(config.MaxBlocking, config.MaxBlockingWait)
	if c.fail == nil {
		c.fail = Fail
	}
	c.owner = &owner{c: client}
	runtime.SetFinalizer(c.owner, func(o *owner) { C.clerk_client_free(o.c) })
	return c, nil
}

// configure fills a config. Handles are given back by the library, also when no client comes of it.
func configure(to settings, from *Config, own *hooks) error {
	if err := to.apply(from); err != nil {
		return err
	}
	if from.OnEvent != nil || from.Logger != nil {
		C.clerkgo_on_event(to.config, own.hold())
	}
	if from.Logger != nil {
		level := C.int32_t(C.CLERK_LOG_LEVEL_INFO)
		if from.Logger.Enabled(context.Background(), slog.LevelDebug) {
			level = C.CLERK_LOG_LEVEL_DEBUG
		}
		C.clerkgo_on_log(to.config, level, own.hold())
	}
	if from.Clock != nil {
		C.clerkgo_on_clock(to.config, own.hold())
	}
	if from.SQLitePath != "" {
		var failed *C.clerk_error
		status := C.clerk_config_set_sqlite_path(to.config, strOf(from.SQLitePath), &failed)
		return check(status, failed)
	}
	if from.Store == nil {
		return nil
	}
	C.clerkgo_on_user_store(to.config)
	if store, ok := from.Store.(SchemaStore); ok {
		return to.schema(store.Schema())
	}
	return nil
}

// Close breaks off calls to Clerk that are under way and forgets everything. Calls that stand in line or come later get
// [ErrClosed]. Closing twice is fine. The error is nil for every client that [New] made.
func (c *Client) Close() error {
	if c == nil || c.c == nil {
		return c.open()
	}
	if c.closed.Swap(true) {
		return nil
	}
	close(c.done)
	C.clerk_client_shutdown(c.c)
	C.clerk_client_invalidate_all(c.c)
	c.remembered.clear()
	// What hooks hold on to may hold on to the client.
	c.hooks.set.Store(nil)
	runtime.KeepAlive(c)
	return nil
}

func (c *Client) open() error {
	if c == nil || c.c == nil {
		return wrongUse(ErrArgument, "the client was not made by New")
	}
	if c.closed.Load() {
		return wrongUse(ErrClosed, "")
	}
	return nil
}

// WarmUp fetches the key set now, so that the first request need not wait. An error is an [*Error] that is [ErrAPI], or
// [ErrUnavailable] when ctx ended first.
func (c *Client) WarmUp(ctx context.Context) error {
	if err := c.mayWait(ctx); err != nil {
		return err
	}
	done, err := c.await(ctx, func() C.clerkgo_outcome {
		defer runtime.KeepAlive(c)
		return C.clerkgo_warm_up(c.c)
	})
	if err != nil {
		return err
	}
	return check(done.status, done.error)
}

// InvalidateToken forgets what is remembered of one token: the next request with it is verified anew.
func (c *Client) InvalidateToken(token string) error {
	return c.change(func() C.int32_t { return C.clerk_client_invalidate_token(c.c, strOf(token)) })
}

// InvalidateUser forgets all tokens of a Clerk user, and the user.
func (c *Client) InvalidateUser(clerkID string) error {
	return c.change(func() C.int32_t { return C.clerk_client_invalidate_user(c.c, strOf(clerkID)) })
}

// InvalidateSession forgets all tokens of a session.
func (c *Client) InvalidateSession(sessionID string) error {
	return c.change(func() C.int32_t { return C.clerk_client_invalidate_session(c.c, strOf(sessionID)) })
}

// InvalidateAll forgets everything but the key set.
func (c *Client) InvalidateAll() error {
	return c.change(func() C.int32_t {
		defer c.remembered.clear()
		return C.clerk_client_invalidate_all(c.c)
	})
}

func (c *Client) change(call func() C.int32_t) error {
	if err := c.open(); err != nil {
		return err
	}
	defer runtime.KeepAlive(c)
	return check(call(), nil)
}

// Stats is what a client has done since it was made.
type Stats struct {
	CacheHits    uint64 // answers from the cache
	CacheMisses  uint64 // tokens that had to be verified
	SignedIn     uint64 // requests signed in after verification
	SignedOut    uint64 // requests refused
	Unavailable  uint64 // requests that nobody could judge
	JWKSFetches  uint64 // times the key set was asked for
	UserFetches  uint64 // times a user was asked for
	CachedTokens uint64 // tokens remembered now
	CachedUsers  uint64 // users remembered now
	// JWKSAge is the age of the key set; negative without one.
	JWKSAge time.Duration
}

// Stats says what the client has done.
func (c *Client) Stats() (Stats, error) {
	var s C.clerk_stats
	s.struct_size = C.sizeof_clerk_stats
	err := c.change(func() C.int32_t { return C.clerk_client_stats(c.c, &s) })
	if err != nil {
		return Stats{}, err
	}
	return Stats{
		CacheHits: uint64(s.cache_hits), CacheMisses: uint64(s.cache_misses), SignedIn: uint64(s.signed_in),
		SignedOut: uint64(s.signed_out), Unavailable: uint64(s.unavailable), JWKSFetches: uint64(s.jwks_fetches),
		UserFetches: uint64(s.user_fetches), CachedTokens: uint64(s.cached_tokens), CachedUsers: uint64(s.cached_users),
		JWKSAge: time.Duration(s.jwks_age_ms) * time.Millisecond,
	}, nil
}
