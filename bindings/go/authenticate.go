package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"net/http"
	"runtime"
)

// Authenticate says who sent the request. Somebody is signed in if, and only if, the error is nil; else there is no Auth,
// and the error is an [*Error] that is [ErrSignedOut], [ErrNoCredentials], [ErrUnavailable] or one of wrong use.
//
// Answers that are remembered come at once. Others may have to wait for Clerk, in turn and within timeout_ms; when ctx
// ends first, the outcome is [ErrUnavailable], with the context's error as its cause.
func (c *Client) Authenticate(ctx context.Context, r *http.Request) (*Auth, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, wrongUse(ErrArgument, "the request is nil")
	}
	asked := linesOf(r)
	if outcome := c.fromMemory(&asked); outcome.status != C.CLERK_WOULD_BLOCK {
		return c.conclude(outcome, nil)
	}
	return c.fromClerk(ctx, asked)
}

// fromClerk is for what memory does not know.
func (c *Client) fromClerk(ctx context.Context, asked lines) (*Auth, error) {
	if err := c.mayWait(ctx); err != nil {
		return nil, err
	}
	if c.store != nil {
		return c.inSteps(ctx, asked)
	}
	outcome, err := await(ctx, &c.gate, func() C.clerkgo_outcome { return c.waiting(&asked) }, discard)
	if err != nil {
		return nil, unavailable(err)
	}
	return c.conclude(outcome, nil)
}

// VerifyToken verifies one JWT and nothing else: no user, no cache, no event; keys may be fetched. It returns what
// Authenticate returns.
func (c *Client) VerifyToken(ctx context.Context, token string) (*Auth, error) {
	if err := c.mayWait(ctx); err != nil {
		return nil, err
	}
	outcome, err := await(ctx, &c.gate, func() C.clerkgo_outcome {
		defer runtime.KeepAlive(c)
		return C.clerkgo_verify_token(c.c, dataOf(token), C.size_t(len(token)))
	}, discard)
	if err != nil {
		return nil, unavailable(err)
	}
	return c.conclude(outcome, nil)
}

// mayWait refuses calls that may wait when the client is closed, or when they come from inside its own user store.
func (c *Client) mayWait(ctx context.Context) error {
	if err := c.open(); err != nil {
		return err
	}
	if ctx == nil {
		return wrongUse(ErrArgument, "the context is nil")
	}
	if ctx.Value(inside{c}) != nil {
		return wrongUse(ErrReentrant, "")
	}
	return nil
}

// inside marks contexts that a client hands to its user store.
type inside struct{ client *Client }

func (c *Client) fromMemory(l *lines) C.clerkgo_outcome {
	defer runtime.KeepAlive(c)
	if l.all != nil {
		many := pack(l.all)
		defer many.free()
		return C.clerkgo_from_memory(c.c, many.headers, many.count, nil, 0, nil, 0,
			dataOf(l.method), C.size_t(len(l.method)), nil, 0, nil, 0)
	}
	return C.clerkgo_from_memory(c.c, nil, 0,
		dataOf(l.authorization), C.size_t(len(l.authorization)), dataOf(l.cookie), C.size_t(len(l.cookie)),
		dataOf(l.method), C.size_t(len(l.method)), dataOf(l.fetchDest), C.size_t(len(l.fetchDest)),
		dataOf(l.accept), C.size_t(len(l.accept)))
}

// waiting asks Clerk if need be; the library answers for the user table itself, or there is none.
func (c *Client) waiting(l *lines) C.clerkgo_outcome {
	defer runtime.KeepAlive(c)
	many := pack(l.all)
	defer many.free()
	if l.all != nil {
		l.authorization, l.cookie = "", ""
	}
	return C.clerkgo_authenticate(c.c, many.headers, many.count,
		dataOf(l.authorization), C.size_t(len(l.authorization)), dataOf(l.cookie), C.size_t(len(l.cookie)),
		dataOf(l.method), C.size_t(len(l.method)), dataOf(l.fetchDest), C.size_t(len(l.fetchDest)),
		dataOf(l.accept), C.size_t(len(l.accept)))
}

// begin is the same for a user table that is asked from here.
func (c *Client) begin(l *lines) C.clerkgo_outcome {
	defer runtime.KeepAlive(c)
	many := pack(l.all)
	defer many.free()
	if l.all != nil {
		l.authorization, l.cookie = "", ""
	}
	return C.clerkgo_begin(c.c, many.headers, many.count,
		dataOf(l.authorization), C.size_t(len(l.authorization)), dataOf(l.cookie), C.size_t(len(l.cookie)),
		dataOf(l.method), C.size_t(len(l.method)), dataOf(l.fetchDest), C.size_t(len(l.fetchDest)),
		dataOf(l.accept), C.size_t(len(l.accept)))
}

// conclude turns an outcome into what the caller gets. Only CLERK_OK with an identity is somebody.
func (c *Client) conclude(outcome C.clerkgo_outcome, cause error) (*Auth, error) {
	if outcome.status != C.CLERK_OK {
		return nil, errorOf(outcome.status, outcome.result, outcome.error, c.realm, cause)
	}
	if auth := c.remembered.find(outcome.result); auth != nil {
		auth.id.hit()
		return auth, nil
	}
	auth := authOf(outcome.result)
	if auth == nil {
		return nil, wrongUse(ErrInternal, "an answer without an identity")
	}
	if auth.Source() == SourceCache {
		c.remembered.keep(auth)
	}
	return auth, nil
}

// discard frees an outcome that nobody waits for any more.
func discard(outcome C.clerkgo_outcome) {
	C.clerk_result_free(outcome.result)
	C.clerk_error_free(outcome.error)
	C.clerk_pending_free(outcome.pending)
}
