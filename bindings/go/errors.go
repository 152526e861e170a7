package clerkauth

// #include "bridge.h"
import "C"

import (
	"errors"
	"net/http"
	"time"
	"unsafe"
)

// How a call ends that does not sign anybody in. Every error of this package is an [*Error] that is one of these.
var (
	// ErrSignedOut: something was presented, and it is no good.
	ErrSignedOut = errors.New("signed out")
	// ErrNoCredentials: nothing was presented; the host may go on with a session of its own.
	ErrNoCredentials = errors.New("no credentials")
	// ErrUnavailable: nobody can tell right now. Answer 503, never 401.
	ErrUnavailable = errors.New("unavailable")
	// ErrConfig: a setting is wrong; Setting names it.
	ErrConfig = errors.New("wrong setting")
	// ErrArgument: an argument is missing, out of range or too long.
	ErrArgument = errors.New("wrong argument")
	// ErrClosed: the client is closed.
	ErrClosed = errors.New("the client is closed")
	// ErrReentrant: called from inside the client's own user store or hook, where only answers from memory can be had.
	ErrReentrant = errors.New("called from inside the client's own user store or hook")
	// ErrForked: the process was forked since the client was made.
	ErrForked = errors.New("the process was forked")
	// ErrAPI: Clerk could not be asked.
	ErrAPI = errors.New("Clerk cannot be asked")
	// ErrWebhook: the delivery is not Clerk's. Answer 400.
	ErrWebhook = errors.New("not a delivery of Clerk's")
	// ErrInternal: a fault of this library; nobody is signed in.
	ErrInternal = errors.New("internal error")
)

// Error says why a call did not do what it was asked to.
type Error struct {
	// Reason is why nobody is signed in; 0 if there is no reason of Clerk's.
	Reason Reason
	// Category is what kind of trouble it is; 0 if the call was not an authentication.
	Category Category
	// Status is the HTTP status to answer with: 400, 401, 403, 500 or 503.
	Status int
	// RetryAfter is how long to wait before asking again; 0 if that is not known.
	RetryAfter time.Duration
	// Challenge is the value of a WWW-Authenticate line; "" unless Status is 401 or 403.
	Challenge string
	// Setting is the name of the setting that is wrong.
	Setting string
	// TraceID is Clerk's name for the call that failed, for its support.
	TraceID string
	// HandshakeRecommended says that Clerk's front-end libraries would send this browser to Clerk and back.
	HandshakeRecommended bool

	kind    error
	message string
	cause   error
}

// Error is for the person who runs the server, not for clients.
func (e *Error) Error() string {
	text := "clerkauth: " + e.kind.Error()
	if e.Reason != 0 {
		text += ": " + e.Reason.String()
	}
	if e.message != "" {
		text += ": " + e.message
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Is says whether target is the kind of the error (such as [ErrSignedOut]) or its [Reason].
func (e *Error) Is(target error) bool {
	if reason, ok := target.(Reason); ok {
		return reason != 0 && reason == e.Reason
	}
	return target == e.kind
}

// Unwrap is what stands behind it in Go: the error of the user store or of the context.
func (e *Error) Unwrap() error { return e.cause }

var kinds = map[C.int32_t]error{
	C.CLERK_SIGNED_OUT:     ErrSignedOut,
	C.CLERK_NO_CREDENTIALS: ErrNoCredentials,
	C.CLERK_UNAVAILABLE:    ErrUnavailable,
	C.CLERK_E_ARGUMENT:     ErrArgument,
	C.CLERK_E_UTF8:         ErrArgument,
	C.CLERK_E_CONFIG:       ErrConfig,
	C.CLERK_E_FORKED:       ErrForked,
	C.CLERK_E_API:          ErrAPI,
	C.CLERK_E_REENTRANT:    ErrReentrant,
	C.CLERK_E_WEBHOOK:      ErrWebhook,
}

// unavailable is for what keeps this side from asking: a context that ended, too many calls under way.
func unavailable(cause error) *Error {
	return &Error{Category: CategoryUnavailable, Status: http.StatusServiceUnavailable, kind: ErrUnavailable, cause: cause}
}

func wrongUse(kind error, message string) *Error {
	return &Error{Status: http.StatusInternalServerError, kind: kind, message: message}
}

// errorOf makes an error of a status that is not CLERK_OK, and frees what came with it.
func errorOf(status C.int32_t, result *C.clerk_result, failed *C.clerk_error, realm string, cause error) *Error {
	made := &Error{Status: http.StatusInternalServerError, kind: kinds[status], cause: cause}
	if made.kind == nil {
		made.kind, made.message = ErrInternal, C.GoString(C.clerk_status_name(status))
	}
	if status == C.CLERKGO_E_CLOCK {
		made.message = "Config.Clock panicked"
	}
	if result != nil {
		var view C.clerkgo_result_view
		C.clerkgo_view_result(result, &view)
		made.Reason, made.Category = Reason(view.reason), Category(view.category)
		made.Status = int(view.http_status)
		made.RetryAfter = after(view.retry_after_ms)
		made.HandshakeRecommended = view.handshake_recommended == 1
		made.Challenge = challenge(result, realm)
		C.clerk_result_free(result)
	}
	if failed != nil {
		var view C.clerkgo_error_view
		C.clerkgo_view_error(failed, &view)
		if cause == nil { // the store's own error says it better
			made.message = textOf(view.message)
		}
		made.Setting, made.TraceID = textOf(view.setting), textOf(view.trace_id)
		if made.RetryAfter == 0 {
			made.RetryAfter = after(view.retry_after_ms)
		}
		C.clerk_error_free(failed)
	}
	return made
}

func after(ms C.int64_t) time.Duration {
	if ms <= 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func challenge(result *C.clerk_result, realm string) string {
	for room := make([]byte, 256); ; room = make([]byte, len(room)*4) {
		var needed C.size_t
		status := C.clerk_result_www_authenticate(result, strOf(realm), (*C.char)(unsafe.Pointer(&room[0])), C.size_t(len(room)), &needed)
		switch {
		case status == C.CLERK_OK:
			return string(room[:needed])
		case status != C.CLERK_E_ARGUMENT || int(needed) < len(room):
			return ""
		}
	}
}

// strOf lends a text to C for the length of one call, without a copy.
func strOf(text string) C.clerk_str {
	return C.clerk_str{data: dataOf(text), len: C.size_t(len(text))}
}

func dataOf(text string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(text))) }

// textOf copies a text of C's.
func textOf(text C.clerk_str) string {
	return C.GoStringN(text.data, C.int(text.len))
}
