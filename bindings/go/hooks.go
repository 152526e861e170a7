package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"sync/atomic"
	"time"
)

// hooks is what the library calls back to. The set is gone once the client is closed.
type hooks struct {
	set atomic.Pointer[hookSet]
}

type hookSet struct {
	onEvent func(Event)
	logger  *slog.Logger
	clock   func() time.Time
}

func hookSetOf(handle C.uintptr_t) *hookSet {
	if set := cgo.Handle(handle).Value().(*hooks).set.Load(); set != nil {
		return set
	}
	return &hookSet{}
}

// survive ends a panic that must not leave the hook, and tells the log of it.
func (h *hookSet) survive(hook string) {
	value := recover()
	if value == nil || h.logger == nil {
		return
	}
	defer func() { _ = recover() }() // it may be the logger that panics
	h.logger.Error("clerkauth: a hook panicked", "hook", hook, "panic", fmt.Sprint(value))
}

//export clerkgoForget
func clerkgoForget(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

//export clerkgoEvent
func clerkgoEvent(handle C.uintptr_t, view *C.clerkgo_event) {
	set := hookSetOf(handle)
	defer set.survive("event")
	event := Event{
		Kind: EventKind(view.kind), UserKey: textOf(view.user_key), ClerkID: textOf(view.clerk_id),
		TokenHash: textOf(view.token_hash), Reason: Reason(view.reason), Source: Source(view.source),
		RetryAfter: after(view.retry_after_ms),
	}
	if set.logger != nil {
		event.log(context.Background(), set.logger)
	}
	if set.onEvent != nil {
		set.onEvent(event)
	}
}

//export clerkgoLog
func clerkgoLog(handle C.uintptr_t, level C.int32_t, message *C.char, length C.size_t) {
	set := hookSetOf(handle)
	defer set.survive("log")
	if set.logger == nil {
		return
	}
	levels := map[C.int32_t]slog.Level{
		C.CLERK_LEVEL_ERROR: slog.LevelError, C.CLERK_LEVEL_WARN: slog.LevelWarn, C.CLERK_LEVEL_INFO: slog.LevelInfo,
	}
	known, ok := levels[level]
	if !ok {
		known = slog.LevelDebug
	}
	set.logger.Log(context.Background(), known, C.GoStringN(message, C.int(length)))
}

// A clock that panics says 1970: no token is good then.
//
//export clerkgoClock
func clerkgoClock(handle C.uintptr_t) (ms C.int64_t) {
	set := hookSetOf(handle)
	defer set.survive("clock")
	if set.clock == nil {
		return C.int64_t(time.Now().UnixMilli())
	}
	return C.int64_t(set.clock().UnixMilli())
}
