package clerkauth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errBusy stands behind [ErrUnavailable] when too many calls wait for Clerk already.
var errBusy = errors.New("too many calls are waiting for Clerk (Config.MaxBlocking)")

// gate lets so many calls wait in C at once: each holds an operating system thread, and Go never gives threads back.
type gate struct {
	slots chan struct{}
	wait  time.Duration
}

func newGate(slots int, wait time.Duration) gate {
	if slots == 0 {
		slots = 64
	}
	if wait <= 0 {
		wait = 5 * time.Second
	}
	return gate{make(chan struct{}, slots), wait}
}

// enter waits for a slot, until ctx ends, closed is closed, or patience does.
func (g *gate) enter(ctx context.Context, closed <-chan struct{}) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(g.wait)
	defer patience.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-closed:
		return wrongUse(ErrClosed, "")
	case <-ctx.Done():
		return ended(ctx)
	case <-patience.C:
		return unavailable(errBusy)
	}
}

// ended is for a ctx that has ended; the words of whoever ended it are there as well.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return unavailable(fmt.Errorf("%w: %w", ctx.Err(), cause))
	}
	return unavailable(ctx.Err())
}

func (g *gate) leave() { <-g.slots }

// run makes a call for which a slot is taken. A call into C cannot be interrupted: when ctx ends first, the caller goes on,
// and what the call comes to later is dropped. The slot is free again when the call itself has ended.
func run[T any](ctx context.Context, g *gate, call func() T, drop func(T)) (T, error) {
	var none T
	if ctx.Done() == nil {
		defer g.leave()
		return call(), nil
	}
	var settled atomic.Bool
	done := make(chan T, 1)
	go func() {
		defer g.leave()
		made := call()
		if settled.CompareAndSwap(false, true) {
			done <- made
		} else {
			drop(made)
		}
	}()
	select {
	case made := <-done:
		return made, nil
	case <-ctx.Done():
		if settled.CompareAndSwap(false, true) {
			return none, ended(ctx)
		}
		return <-done, nil
	}
}
