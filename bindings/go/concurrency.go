//go:build cgo

package clerkauth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errBusy is the cause of [ErrUnavailable] when no slot became free in time.
var errBusy = errors.New("too many calls are waiting for Clerk (Config.MaxBlockingCalls)")

// limiter bounds the number of concurrent calls that may block in C. Each of them holds an operating system thread, and
// the Go runtime never returns threads to the system.
type limiter struct {
	slots   chan struct{}
	timeout time.Duration
}

func newLimiter(slots int, timeout time.Duration) limiter {
	if slots == 0 {
		slots = 64
	}
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	return limiter{make(chan struct{}, slots), timeout}
}

// acquire waits for a free slot. It fails when ctx is done, closed is closed, or the timeout passes.
func (l *limiter) acquire(ctx context.Context, closed <-chan struct{}) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(l.timeout)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-closed:
		return usageError(ErrClosed, "")
	case <-ctx.Done():
		return contextError(ctx)
	case <-timer.C:
		return unavailableError(errBusy)
	}
}

func (l *limiter) release() { <-l.slots }

// contextError returns [ErrUnavailable] for a context that is done. It wraps ctx.Err() and the context's cause.
func contextError(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return unavailableError(fmt.Errorf("%w: %w", ctx.Err(), cause))
	}
	return unavailableError(ctx.Err())
}

// callWithContext runs call, for which the caller has acquired a slot, and releases the slot when call returns. A cgo call
// cannot be interrupted: if ctx is done first, callWithContext returns at once, and drop receives the late result.
func callWithContext[T any](ctx context.Context, l *limiter, call func() T, drop func(T)) (T, error) {
	var zero T
	if ctx.Done() == nil {
		defer l.release()
		return call(), nil
	}
	var claimed atomic.Bool // set by whichever of the two goroutines is first
	done := make(chan T, 1)
	go func() {
		defer l.release()
		result := call()
		if claimed.CompareAndSwap(false, true) {
			done <- result
		} else {
			drop(result)
		}
	}()
	select {
	case result := <-done:
		return result, nil
	case <-ctx.Done():
		if claimed.CompareAndSwap(false, true) {
			return zero, contextError(ctx)
		}
		return <-done, nil
	}
}
