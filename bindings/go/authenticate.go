package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"
)

// Authenticate authenticates a request. The request is signed in if and only if the error is nil. Otherwise the Auth is
// nil, and the error is an [*Error] that is [ErrSignedOut], [ErrNoCredentials] or [ErrUnavailable], or reports wrong use.
//
// A cached result is returned at once, even if ctx is done. Other calls may wait for Clerk, at most timeout_ms; if ctx is
// done first, the error is [ErrUnavailable] and wraps the context's error.
func (c *Client) Authenticate(ctx context.Context, r *http.Request) (*Auth, error) {
	if r == nil {
		return nil, usageError(ErrArgument, "the request is nil")
	}
	var params requestParams
	c.readParams(&params, r)
	return c.authenticate(ctx, &params)
}

func (c *Client) authenticate(ctx context.Context, params *requestParams) (*Auth, error) {
	if c == nil || c.onAnswer == nil {
		return c.authenticateOnce(ctx, params)
	}
	started := time.Now()
	auth, err := c.authenticateOnce(ctx, params)
	c.answer(ctx, Answer{Auth: auth, Err: err, Duration: time.Since(started)})
	return auth, err
}

// answer calls Config.OnAnswer and logs a panic of it, which must not change the result.
func (c *Client) answer(ctx context.Context, answer Answer) {
	defer func() {
		if value := recover(); value != nil {
			logger := slog.Default()
			if set := c.callbacks.set.Load(); set != nil && set.logger != nil {
				logger = set.logger
			}
			logger.ErrorContext(ctx, "clerkauth: a callback panicked", "callback", "OnAnswer", "panic", fmt.Sprint(value))
		}
	}()
	c.onAnswer(ctx, answer)
}

func (c *Client) authenticateOnce(ctx context.Context, params *requestParams) (*Auth, error) {
	if err := c.checkOpen(); err != nil {
		return nil, err
	}
	if result := c.callInline(ctx, C.CLERKGO_CACHED, params, 0); result.status != C.CLERK_WOULD_BLOCK {
		auth, err := c.finish(result, nil)
		if err != nil {
			c.warn(ctx, err)
		}
		return auth, err
	}
	return c.authenticateBlocking(ctx, *params)
}

// authenticateBlocking authenticates a request that has no cached result. It copies params, since a call may outlive ctx.
func (c *Client) authenticateBlocking(ctx context.Context, params requestParams) (*Auth, error) {
	if err := c.checkMayBlock(ctx); err != nil {
		return nil, err
	}
	// The request begins here, not when it has a slot.
	mark := C.clerk_client_mark(c.c)
	if c.store != nil {
		auth, err := c.authenticateStepwise(ctx, &params, mark)
		c.warn(ctx, err)
		return auth, err
	}
	result, err := c.callBlocking(ctx, func() C.clerkgo_call_result { return c.call(C.CLERKGO_BLOCKING, &params, mark) })
	if err != nil {
		return nil, err
	}
	auth, err := c.finish(result, nil)
	c.warn(ctx, err)
	return auth, err
}

// VerifyToken verifies a session JWT. It fetches no user, uses no cache and emits no event, but may fetch the JWKS. It
// returns what [Client.Authenticate] returns.
func (c *Client) VerifyToken(ctx context.Context, token string) (*Auth, error) {
	if err := c.checkMayBlock(ctx); err != nil {
		return nil, err
	}
	result, err := c.callBlocking(ctx, func() C.clerkgo_call_result {
		defer runtime.KeepAlive(c)
		return C.clerkgo_verify_token(c.c, cData(token), C.size_t(len(token)))
	})
	if err != nil {
		return nil, err
	}
	return c.finish(result, nil)
}

// TokenSource is where the token of a request was found.
type TokenSource int32

// The sources of a token.
const (
	TokenSourceNone   TokenSource = C.CLERK_TOKEN_SOURCE_NONE
	TokenSourceHeader TokenSource = C.CLERK_TOKEN_SOURCE_HEADER
	TokenSourceCookie TokenSource = C.CLERK_TOKEN_SOURCE_COOKIE
)

// Credential finds the token that Authenticate would verify; "" if there is none or it is malformed. It verifies nothing and
// emits no event.
func (c *Client) Credential(r *http.Request) (token string, source TokenSource, err error) {
	if r == nil {
		return "", TokenSourceNone, usageError(ErrArgument, "the request is nil")
	}
	var params requestParams
	c.readParams(&params, r)
	var found C.clerkgo_credential
	err = c.callOpen(func() C.int32_t {
		p, hasSecond := &params, C.int32_t(0)
		if p.hasSecondAuthorization {
			hasSecond = 1
		}
		found = C.clerkgo_find_credential(c.c, cData(p.authorization), C.size_t(len(p.authorization)),
			cData(p.secondAuthorization), C.size_t(len(p.secondAuthorization)), hasSecond, cData(p.cookie), C.size_t(len(p.cookie)),
			cData(p.method), C.size_t(len(p.method)), cData(p.fetchDest), C.size_t(len(p.fetchDest)),
			cData(p.accept), C.size_t(len(p.accept)), cData(p.host), C.size_t(len(p.host)),
			cData(p.origin), C.size_t(len(p.origin)), cData(p.fetchSite), C.size_t(len(p.fetchSite)),
			cData(p.page), C.size_t(len(p.page)))
		return found.status
	})
	if err != nil {
		return "", TokenSourceNone, err
	}
	lines := params.cookie
	if source = TokenSource(found.source); source == TokenSourceHeader {
		lines = params.authorization
	}
	return lines[found.offset:][:found.len], source, nil
}

// checkMayBlock rejects calls that may block on a closed client, or from within its own user store or callbacks.
func (c *Client) checkMayBlock(ctx context.Context) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if ctx == nil {
		return usageError(ErrArgument, "the context is nil")
	}
	if ctx.Value(storeKey{c}) != nil || c.callbacks.inCallback() {
		return usageError(ErrReentrant, "")
	}
	return nil
}

// storeKey marks the contexts that a client passes to its user store.
type storeKey struct{ client *Client }

// callInline is call for a mode that never waits. It enters a scope only if there is a Logger for the context.
func (c *Client) callInline(ctx context.Context, mode C.int32_t, p *requestParams, mark C.uint64_t) C.clerkgo_call_result {
	if c.hasLogger {
		defer enterCall(ctx).leave()
	}
	return c.call(mode, p, mark)
}

// call calls the library's function for the mode, without a limit.
func (c *Client) call(mode C.int32_t, p *requestParams, mark C.uint64_t) C.clerkgo_call_result {
	defer runtime.KeepAlive(c)
	hasSecond := C.int32_t(0)
	if p.hasSecondAuthorization {
		hasSecond = 1
	}
	return C.clerkgo_authenticate(mode, c.c, mark, cData(p.authorization), C.size_t(len(p.authorization)),
		cData(p.secondAuthorization), C.size_t(len(p.secondAuthorization)), hasSecond, cData(p.cookie), C.size_t(len(p.cookie)),
		cData(p.method), C.size_t(len(p.method)), cData(p.fetchDest), C.size_t(len(p.fetchDest)),
		cData(p.accept), C.size_t(len(p.accept)), cData(p.host), C.size_t(len(p.host)),
		cData(p.origin), C.size_t(len(p.origin)), cData(p.fetchSite), C.size_t(len(p.fetchSite)),
		cData(p.page), C.size_t(len(p.page)))
}

// callBlocking acquires a slot and runs a call that may wait for Clerk.
func (c *Client) callBlocking(ctx context.Context, call func() C.clerkgo_call_result) (C.clerkgo_call_result, error) {
	if err := c.acquireSlot(ctx); err != nil {
		return C.clerkgo_call_result{}, err
	}
	inContext := func() C.clerkgo_call_result {
		defer enterCall(ctx).leave()
		return call()
	}
	return callWithContext(ctx, &c.limiter, inContext, freeCallResult)
}

func (c *Client) acquireSlot(ctx context.Context) error {
	if err := c.limiter.acquire(ctx, c.closing.Done()); err != nil {
		return err
	}
	// The client may have been closed while the call was queued.
	if err := c.checkOpen(); err != nil {
		c.limiter.release()
		return err
	}
	return nil
}

// finish converts a call result and takes ownership of it. Only CLERK_OK with a subject gives an Auth.
func (c *Client) finish(result C.clerkgo_call_result, cause error) (*Auth, error) {
	if result.status == C.CLERK_UNAVAILABLE && c.closed.Load() {
		freeCallResult(result)
		return nil, usageError(ErrClosed, "")
	}
	if result.status != C.CLERK_OK {
		return nil, newError(result.status, result.result, result.error, c.realm, cause)
	}
	if auth := c.results.get(result.result); auth != nil {
		auth.result.addRef()
		return auth, nil
	}
	auth := newAuth(result.result)
	if auth == nil {
		return nil, usageError(ErrInternal, "a signed-in result without a subject")
	}
	auth.rows = c.rows
	if auth.Source() == SourceCache && auth.page == nil {
		c.results.put(auth)
	}
	return auth, nil
}

// freeCallResult frees the result of a call whose caller has stopped waiting.
func freeCallResult(result C.clerkgo_call_result) {
	C.clerk_result_free(result.result)
	C.clerk_error_free(result.error)
	C.clerk_pending_free(result.pending)
}
