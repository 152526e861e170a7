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
// used, Poll tries again. It returns the error of ctx, [ErrClosed] after [Client.Close], or [ErrConfig] without a shared cache.
func (c *Client) Poll(ctx context.Context) error {
	for {
		if err := c.checkMayBlock(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if status := c.poll(ctx); status != C.CLERK_UNAVAILABLE {
			if err := statusError(status, nil); err != nil {
				return err
			}
		}
	}
}

func (c *Client) poll(ctx context.Context) C.int32_t {
	defer enterCall(ctx).leave()
	defer runtime.KeepAlive(c)
	return C.clerkgo_poll(c.c, C.int64_t(pollTimeout/time.Millisecond))
}
