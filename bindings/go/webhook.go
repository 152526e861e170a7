package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"unsafe"
)

// longestDelivery is the longest body that the library looks at.
const longestDelivery = 1 << 20

// HandleWebhook takes a webhook delivery of Clerk's: all its header lines and its body as it came. It is checked (Svix
// signature, time, once only) and applied: users are brought up to date, in the user store too; ended sessions and
// deleted users are no longer let in.
//
// applied is false for deliveries that are Clerk's and change nothing here. An error is an [*Error] whose Status is to be
// answered: it is [ErrWebhook] (400) for what is not Clerk's, or [ErrUnavailable] (503) when the user store failed; Clerk
// delivers again then.
func (c *Client) HandleWebhook(ctx context.Context, header http.Header, body []byte) (applied bool, err error) {
	if err := c.mayWait(ctx); err != nil {
		return false, err
	}
	var all []line
	for name, values := range header {
		for _, value := range values {
			all = append(all, line{name, value})
		}
	}
	call := c.storeCall(ctx)
	done, err := c.heard(ctx, call, all, body)
	if err != nil {
		return false, err
	}
	switch done.status {
	case C.CLERK_OK:
		return true, nil
	case C.CLERK_WEBHOOK_IGNORED:
		return false, nil
	case C.CLERK_UNAVAILABLE:
		failed := errorOf(done.status, nil, done.error, "", call.err)
		failed.Category, failed.Status = CategoryUnavailable, http.StatusServiceUnavailable
		return false, failed
	}
	failed := errorOf(done.status, nil, done.error, "", nil)
	if done.status == C.CLERK_E_WEBHOOK {
		failed.Status = http.StatusBadRequest
	}
	return false, failed
}

// heard takes the delivery in. Nothing in it waits for Clerk; but the library's own table may be busy for a while.
func (c *Client) heard(ctx context.Context, call *storeCall, all []line, body []byte) (C.clerkgo_outcome, error) {
	defer runtime.KeepAlive(c)
	headers := pack(all)
	defer headers.free()
	at := (*C.char)(unsafe.Pointer(unsafe.SliceData(body)))
	if c.store == nil {
		if c.hasSQLite {
			if err := c.enter(ctx); err != nil {
				return C.clerkgo_outcome{}, err
			}
			defer c.gate.leave()
		}
		return C.clerkgo_handle_webhook(c.c, headers.headers, headers.count, at, C.size_t(len(body))), nil
	}
	outcome := C.clerkgo_begin_webhook(c.c, headers.headers, headers.count, at, C.size_t(len(body)))
	if outcome.status != C.CLERK_PENDING {
		return outcome, nil
	}
	if err := c.drive(ctx, call, outcome.pending); err != nil {
		return C.clerkgo_outcome{}, err
	}
	return C.clerkgo_finish(outcome.pending), nil
}

// WebhookHandler answers Clerk's deliveries. It must see the body as it came: no middleware may have read it.
func (c *Client) WebhookHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestDelivery))
		if err != nil {
			http.Error(w, "the body cannot be read", http.StatusBadRequest)
			return
		}
		if _, err := c.HandleWebhook(r.Context(), r.Header, body); err != nil {
			status := http.StatusInternalServerError
			var failed *Error
			if errors.As(err, &failed) {
				status = failed.Status
			}
			http.Error(w, http.StatusText(status), status)
		}
	})
}
