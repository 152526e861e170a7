package clerkauth

// #include "bridge.h"
import "C"

import (
	"errors"
	"net/http"
	"time"
	"unsafe"
)

// The kinds of errors. Every error of this package is an [*Error] that is one of these, by [errors.Is].
var (
	// ErrSignedOut reports that the request has credentials, and they were rejected.
	ErrSignedOut = errors.New("signed out")
	// ErrNoCredentials reports that the request has no credentials.
	ErrNoCredentials = errors.New("no credentials")
	// ErrUnavailable reports that the result cannot be determined now. Respond with 503, never with 401.
	ErrUnavailable = errors.New("unavailable")
	// ErrConfig reports that a setting is invalid; Setting names it.
	ErrConfig = errors.New("invalid setting")
	// ErrArgument reports that an argument is missing, out of range or too long.
	ErrArgument = errors.New("invalid argument")
	// ErrClosed reports that the client is closed.
	ErrClosed = errors.New("client is closed")
	// ErrReentrant reports a call that may block from within the client's own user store or callbacks.
	ErrReentrant = errors.New("called from within the client's own user store or callback")
	// ErrForked reports that the process was forked after the client was created.
	ErrForked = errors.New("process was forked after the client was created")
	// ErrAPI reports that a call to Clerk's API failed.
	ErrAPI = errors.New("call to Clerk's API failed")
	// ErrWebhook reports that a webhook delivery was rejected. Respond with 400.
	ErrWebhook = errors.New("webhook delivery rejected")
	// ErrInternal reports a bug in this library or a panic in Config.Clock. The request is not signed in.
	ErrInternal = errors.New("internal error")
)

// Error describes why a call failed.
type Error struct {
	// Reason is why the request is not signed in; 0 if the call was not an authentication or failed before it.
	Reason Reason
	// Category groups the reasons by what to respond; 0 if the call was not an authentication.
	Category Category
	// Status is the HTTP status to respond with: 400, 401, 403, 500 or 503; 307 with a redirect of Page.
	Status int
	// RetryAfter is how long to wait before the next attempt; 0 if unknown.
	RetryAfter time.Duration
	// WWWAuthenticate is the value of the WWW-Authenticate header; "" unless Status is 401 or 403.
	WWWAuthenticate string
	// TokenHash is the hash of the token, as events have it; "" if the request carries none.
	TokenHash string
	// Setting is the name of the invalid setting.
	Setting string
	// TraceID is the clerk_trace_id of the failed API call, for Clerk's support.
	TraceID string
	// HandshakeRecommended reports whether Clerk's own SDKs would redirect this request to a handshake.
	HandshakeRecommended bool
	// Anonymous reports whether the request showed no token: it has no credentials, or with [Config.Handshake] no session cookie
	// was read. [Client.OptionalAuth] passes such a request on, unless its Page is a redirect.
	Anonymous bool
	// Page is what the browser handshake adds to the response; nil if nothing. [WriteError] and the middlewares send it.
	Page *Page

	kind    error
	message string
	cause   error
}

// Error returns a description for the operator of the server. Do not send it to clients.
func (e *Error) Error() string {
	description := "clerkauth: " + e.kind.Error()
	if e.Reason != 0 {
		description += ": " + e.Reason.String()
	}
	if e.message != "" {
		description += ": " + e.message
	}
	if e.cause != nil {
		description += ": " + e.cause.Error()
	}
	return description
}

// Is reports whether target is the kind of the error, such as [ErrSignedOut], or its [Reason].
func (e *Error) Is(target error) bool {
	if reason, ok := target.(Reason); ok {
		return reason != 0 && reason == e.Reason
	}
	return target == e.kind
}

// Unwrap returns the underlying error of the user store or of the context; nil if there is none.
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

// unavailableError reports that this package made no call: the context is done, or no slot became free.
func unavailableError(cause error) *Error {
	return &Error{Category: CategoryUnavailable, Status: http.StatusServiceUnavailable, kind: ErrUnavailable, cause: cause}
}

func usageError(kind error, message string) *Error {
	return &Error{Status: http.StatusInternalServerError, kind: kind, message: message}
}

// statusError returns nil for CLERK_OK, and else an error that takes ownership of cErr.
func statusError(status C.int32_t, cErr *C.clerk_error) error {
	if status == C.CLERK_OK {
		return nil
	}
	return newError(status, nil, cErr, "", nil)
}

// newError returns the error of a status that is not CLERK_OK. It takes ownership of result and cErr.
func newError(status C.int32_t, result *C.clerk_result, cErr *C.clerk_error, realm string, cause error) *Error {
	err := &Error{Status: http.StatusInternalServerError, kind: kinds[status], cause: cause}
	if err.kind == nil {
		err.kind, err.message = ErrInternal, C.GoString(C.clerk_status_name(status))
	}
	if status == C.CLERKGO_E_CLOCK {
		err.message = "Config.Clock panicked"
	}
	if result != nil {
		var view C.clerkgo_result_view
		C.clerkgo_read_result(result, &view)
		err.Reason, err.Category = Reason(view.reason), Category(view.category)
		err.Status = int(view.http_status)
		err.RetryAfter = milliseconds(view.retry_after_ms)
		err.TokenHash = goString(view.token_hash)
		err.HandshakeRecommended = view.handshake_recommended == 1
		err.Anonymous = view.is_anonymous == 1
		err.WWWAuthenticate = wwwAuthenticate(result, realm)
		err.Page = newPage(result, &view)
		C.clerk_result_free(result)
	}
	if cErr != nil {
		var view C.clerkgo_error_view
		C.clerkgo_read_error(cErr, &view)
		if cause == nil { // the store's own error is more specific
			err.message = goString(view.message)
		}
		err.Setting, err.TraceID = goString(view.setting), goString(view.trace_id)
		if err.RetryAfter == 0 {
			err.RetryAfter = milliseconds(view.retry_after_ms)
		}
		C.clerk_error_free(cErr)
	}
	return err
}

// milliseconds converts a duration of the library, in which a negative number means none.
func milliseconds(ms C.int64_t) time.Duration {
	if ms <= 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func wwwAuthenticate(result *C.clerk_result, realm string) string {
	for buffer := make([]byte, 256); ; buffer = make([]byte, len(buffer)*4) {
		var needed C.size_t
		status := C.clerk_result_www_authenticate(result, cStr(realm), (*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), &needed)
		switch {
		case status == C.CLERK_OK:
			return string(buffer[:needed])
		case status != C.CLERK_E_ARGUMENT || int(needed) < len(buffer):
			return ""
		}
	}
}

// cStr lends a string to C for the duration of one call, without a copy.
func cStr(s string) C.clerk_str {
	return C.clerk_str{data: cData(s), len: C.size_t(len(s))}
}

func cData(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }

// goString copies a string of the library.
func goString(s C.clerk_str) string {
	return C.GoStringN(s.data, C.int(s.len))
}
