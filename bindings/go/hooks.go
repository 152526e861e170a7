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
	set    atomic.Pointer[hookSet]
	handle cgo.Handle
	held   atomic.Int32
}

// hold gives the library one more hold on the handle, which it gives back by clerkgoForget.
func (h *hooks) hold() C.uintptr_t {
	if h.held.Add(1) == 1 {
		h.handle = cgo.NewHandle(h)
	}
	return C.uintptr_t(h.handle)
}

// isInside says whether the caller is inside one of these hooks: they run on the thread of the call that needs them.
func (h *hooks) isInside() bool {
	return h.handle != 0 && C.clerkgo_is_inside(C.uintptr_t(h.handle)) == 1
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

// run runs a hook of the host's, and says whether it returned. A panic ends here, and the log is told of it.
func (h *hookSet) run(hook string, body func()) bool {
	value, ok := contained(hook, body)
	if !ok && h.logger != nil {
		contained(hook, func() { h.logger.Error("clerkauth: a hook panicked", "hook", hook, "panic", fmt.Sprint(value)) })
	}
	return ok
}

// contained lets nothing leave a hook but its return: the caller is C. A panic can be caught; the end of the goroutine can
// not, and would leave the library in the middle of a call for good.
func contained(hook string, body func()) (panicked any, ok bool) {
	defer func() {
		if ok {
			return
		}
		if panicked = recover(); panicked == nil {
			go panic("clerkauth: the hook " + hook + " ended its goroutine (runtime.Goexit, as t.Fatal does)")
			select {}
		}
	}()
	body()
	return nil, true
}

//export clerkgoForget
func clerkgoForget(handle C.uintptr_t) {
	if h := cgo.Handle(handle); h.Value().(*hooks).held.Add(-1) == 0 {
		h.Delete()
	}
}

//export clerkgoEvent
func clerkgoEvent(handle C.uintptr_t, view *C.clerkgo_event) {
	set := hookSetOf(handle)
	event := Event{
		Kind: EventKind(view.kind), UserKey: textOf(view.user_key), ClerkID: textOf(view.clerk_id),
		TokenHash: textOf(view.token_hash), Reason: Reason(view.reason), Source: Source(view.source),
		RetryAfter: after(view.retry_after_ms),
	}
	set.run("event", func() {
		if set.logger != nil {
			event.log(context.Background(), set.logger)
		}
		if set.onEvent != nil {
			set.onEvent(event)
		}
	})
}

//export clerkgoLog
func clerkgoLog(handle C.uintptr_t, level C.int32_t, message *C.char, length C.size_t) {
	set := hookSetOf(handle)
	if set.logger == nil {
		return
	}
	levels := map[C.int32_t]slog.Level{
		C.CLERK_LOG_LEVEL_ERROR: slog.LevelError, C.CLERK_LOG_LEVEL_WARN: slog.LevelWarn, C.CLERK_LOG_LEVEL_INFO: slog.LevelInfo,
	}
	known, ok := levels[level]
	if !ok {
		known = slog.LevelDebug
	}
	text := C.GoStringN(message, C.int(length))
	set.run("log", func() { set.logger.Log(context.Background(), known, text) })
}

// clerkgoClock says whether the time could be told.
//
//export clerkgoClock
func clerkgoClock(handle C.uintptr_t, ms *C.int64_t) C.int32_t {
	set := hookSetOf(handle)
	now := time.Now
	if set.clock != nil {
		now = set.clock
	}
	if !set.run("clock", func() { *ms = C.int64_t(now().UnixMilli()) }) {
		return 0
	}
	return 1
}
