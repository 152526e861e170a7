package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"time"
)

// pollTimeout is how long one call of the library waits, and so how late Poll returns after ctx is done.
const pollTimeout = 250 * time.Millisecond

// Poll applies what other processes change in the shared cache: revocations, webhook events and invalidations. It needs
// [Config.SharedCache], and runs until ctx is done or the client is closed, in a goroutine of its own:
//
//	go client.Poll(ctx)
//
// Without it, a revocation by another process takes effect for tokens that this client has not cached. While the shared cache cannot be
// used, and after a call that fails, as with a clock that panics, Poll tries again. It returns the error of ctx, [ErrClosed] after
// [Client.Close], [ErrConfig] without a shared cache, or [ErrReentrant] in a callback.
func (c *Client) Poll(ctx context.Context) error {
	for {
		if err := c.checkMayBlock(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		switch status := c.poll(ctx); {
		case status >= 0 || status == C.CLERK_UNAVAILABLE:
		case status == C.CLERK_E_CONFIG || status == C.CLERK_E_REENTRANT:
			return statusError(status, nil)
		default:
			// To end here would keep revoked tokens cached.
			c.pause(ctx)
		}
	}
}

// pause waits before the next call, unless ctx is done or the client is closed.
func (c *Client) pause(ctx context.Context) {
	select {
	case <-time.After(pollTimeout):
	case <-ctx.Done():
	case <-c.closing.Done():
	}
}

func (c *Client) poll(ctx context.Context) C.int32_t {
	defer enterCall(ctx).leave()
	defer runtime.KeepAlive(c)
	return C.clerkgo_poll(c.c, C.int64_t(pollTimeout/time.Millisecond))
}
