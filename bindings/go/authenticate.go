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
	if r == nil {
		return nil, wrongUse(ErrArgument, "the request is nil")
	}
	return c.identify(ctx, linesOf(r))
}

func (c *Client) identify(ctx context.Context, asked lines) (*Auth, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if outcome := c.ask(C.CLERKGO_CACHED, &asked); outcome.status != C.CLERK_WOULD_BLOCK {
		return c.conclude(outcome, nil)
	}
	return c.fromClerk(ctx, asked)
}

// fromClerk is for what memory does not know. It has lines of its own, which may outlive the caller's.
func (c *Client) fromClerk(ctx context.Context, asked lines) (*Auth, error) {
	if err := c.mayWait(ctx); err != nil {
		return nil, err
	}
	if c.store != nil {
		return c.inSteps(ctx, &asked)
	}
	outcome, err := c.await(ctx, func() C.clerkgo_outcome { return c.ask(C.CLERKGO_WHOLE, &asked) })
	if err != nil {
		return nil, err
	}
	return c.conclude(outcome, nil)
}

// VerifyToken verifies one JWT and nothing else: no user, no cache, no event; keys may be fetched. It returns what
// Authenticate returns.
func (c *Client) VerifyToken(ctx context.Context, token string) (*Auth, error) {
	if err := c.mayWait(ctx); err != nil {
		return nil, err
	}
	outcome, err := c.await(ctx, func() C.clerkgo_outcome {
		defer runtime.KeepAlive(c)
		return C.clerkgo_verify_token(c.c, dataOf(token), C.size_t(len(token)))
	})
	if err != nil {
		return nil, err
	}
	return c.conclude(outcome, nil)
}

// mayWait refuses calls that may wait when the client is closed, or when they come from inside its own user store or hooks.
func (c *Client) mayWait(ctx context.Context) error {
	if err := c.open(); err != nil {
		return err
	}
	if ctx == nil {
		return wrongUse(ErrArgument, "the context is nil")
	}
	if ctx.Value(inside{c}) != nil || c.hooks.isInside() {
		return wrongUse(ErrReentrant, "")
	}
	return nil
}

// inside marks contexts that a client hands to its user store.
type inside struct{ client *Client }

func (c *Client) ask(how C.int32_t, l *lines) C.clerkgo_outcome {
	defer runtime.KeepAlive(c)
	isDoubled := C.int32_t(0)
	if l.isDoubled {
		isDoubled = 1
	}
	return C.clerkgo_ask(how, c.c, dataOf(l.authorization), C.size_t(len(l.authorization)),
		dataOf(l.second), C.size_t(len(l.second)), isDoubled, dataOf(l.cookie), C.size_t(len(l.cookie)),
		dataOf(l.method), C.size_t(len(l.method)), dataOf(l.fetchDest), C.size_t(len(l.fetchDest)),
		dataOf(l.accept), C.size_t(len(l.accept)))
}

// await runs a call that may wait for Clerk, when it is its turn and nobody has closed the client.
func (c *Client) await(ctx context.Context, call func() C.clerkgo_outcome) (C.clerkgo_outcome, error) {
	if err := c.enter(ctx); err != nil {
		return C.clerkgo_outcome{}, err
	}
	return run(ctx, &c.gate, call, discard)
}

// enter takes a slot.
func (c *Client) enter(ctx context.Context) error {
	if err := c.gate.enter(ctx, c.done); err != nil {
		return err
	}
	// It may have been closed while this call stood in line.
	if err := c.open(); err != nil {
		c.gate.leave()
		return err
	}
	return nil
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
