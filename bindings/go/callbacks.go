package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/cgo"
	"sync/atomic"
	"time"
)

// callbacks is what the C library calls back into. The set is nil once the client is closed.
type callbacks struct {
	set    atomic.Pointer[callbackSet]
	handle cgo.Handle
	refs   atomic.Int32
}

// retain returns the handle with one more reference, which the library releases by clerkgoRelease.
func (c *callbacks) retain() C.uintptr_t {
	if c.refs.Add(1) == 1 {
		c.handle = cgo.NewHandle(c)
	}
	return C.uintptr_t(c.handle)
}

// inCallback reports whether the caller runs in one of these callbacks; they run on the thread of the call.
func (c *callbacks) inCallback() bool {
	return c.handle != 0 && C.clerkgo_in_callback(C.uintptr_t(c.handle)) == 1
}

type callbackSet struct {
	onEvent func(Event)
	logger  *slog.Logger
	clock   func() time.Time
}

func callbackSetOf(handle C.uintptr_t) *callbackSet {
	if set := cgo.Handle(handle).Value().(*callbacks).set.Load(); set != nil {
		return set
	}
	return &callbackSet{}
}

// run runs a callback of the application and reports whether it returned. A panic is recovered and logged.
func (s *callbackSet) run(name string, body func()) bool {
	value, ok := recoverCallback(name, body)
	if !ok && s.logger != nil {
		recoverCallback(name, func() { s.logger.Error("clerkauth: a callback panicked", "callback", name, "panic", fmt.Sprint(value)) })
	}
	return ok
}

// recoverCallback runs body and recovers a panic, which must not unwind into C. It ends the process if body ends its
// goroutine: Goexit cannot be recovered and would leave C frames on the stack.
func recoverCallback(name string, body func()) (panicked any, ok bool) {
	defer func() {
		if ok {
			return
		}
		if panicked = recover(); panicked == nil {
			go panic("clerkauth: the " + name + " callback ended its goroutine (runtime.Goexit, as t.Fatal does)")
			select {}
		}
	}()
	body()
	return nil, true
}

// callScope is the time of a call into the library, in which lines and events are logged with the context of the request.
type callScope struct {
	handle cgo.Handle
	before C.uintptr_t
}

// enterCall begins a scope on this thread; the caller defers leave. It allocates, so that calls for cached results do without it
// unless there is a Logger.
func enterCall(ctx context.Context) callScope {
	if ctx == nil {
		return callScope{}
	}
	runtime.LockOSThread()
	handle := cgo.NewHandle(ctx)
	return callScope{handle, C.clerkgo_set_context(C.uintptr_t(handle))}
}

func (s callScope) leave() {
	if s.handle == 0 {
		return
	}
	C.clerkgo_set_context(s.before)
	s.handle.Delete()
	runtime.UnlockOSThread()
}

func contextOf(handle C.uintptr_t) context.Context {
	if handle == 0 {
		return context.Background()
	}
	return cgo.Handle(handle).Value().(context.Context)
}

//export clerkgoRelease
func clerkgoRelease(handle C.uintptr_t) {
	if h := cgo.Handle(handle); h.Value().(*callbacks).refs.Add(-1) == 0 {
		h.Delete()
	}
}

//export clerkgoEvent
func clerkgoEvent(handle, current C.uintptr_t, view *C.clerkgo_event) {
	set := callbackSetOf(handle)
	event := Event{
		Kind: EventKind(view.kind), UserKey: goString(view.user_key), ClerkID: goString(view.clerk_id),
		TokenHash: goString(view.token_hash), Reason: Reason(view.reason), Source: Source(view.source),
		RetryAfter: milliseconds(view.retry_after_ms), HandshakeSource: HandshakeSource(view.handshake_source),
		DroppedLines: int(view.dropped_lines),
	}
	set.run("event", func() {
		if set.logger != nil {
			event.log(contextOf(current), set.logger)
		}
		if set.onEvent != nil {
			set.onEvent(event)
		}
	})
}

//export clerkgoLog
func clerkgoLog(handle, current C.uintptr_t, level C.int32_t, message *C.char, length C.size_t) {
	set := callbackSetOf(handle)
	if set.logger == nil {
		return
	}
	slogLevel := slog.LevelDebug
	switch level {
	case C.CLERK_LOG_LEVEL_ERROR:
		slogLevel = slog.LevelError
	case C.CLERK_LOG_LEVEL_WARN:
		slogLevel = slog.LevelWarn
	case C.CLERK_LOG_LEVEL_INFO:
		slogLevel = slog.LevelInfo
	}
	line := C.GoStringN(message, C.int(length))
	set.run("log", func() { set.logger.Log(contextOf(current), slogLevel, line) })
}

// clerkgoClock writes the time and returns 1, or returns 0 if the clock panicked.
//
//export clerkgoClock
func clerkgoClock(handle C.uintptr_t, ms *C.int64_t) C.int32_t {
	set := callbackSetOf(handle)
	now := time.Now
	if set.clock != nil {
		now = set.clock
	}
	if !set.run("clock", func() { *ms = C.int64_t(now().UnixMilli()) }) {
		return 0
	}
	return 1
}
