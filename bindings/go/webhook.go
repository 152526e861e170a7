package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"slices"
	"unsafe"
)

// maxWebhookBody is the longest body that the library accepts.
const maxWebhookBody = 1 << 20

// HandleWebhook verifies and processes a webhook delivery, given all its headers and its unmodified body. It verifies the
// Svix signature and the timestamp, ignores repeated deliveries, updates cached users and the user store, and rejects
// revoked sessions and deleted users from then on.
//
// applied is false for a valid delivery that changes nothing here. The error is an [*Error] whose Status is the response:
// it is [ErrWebhook] (400) for an invalid delivery, and [ErrUnavailable] (503) if the user store or Clerk failed, or the
// same delivery is being processed, so that it is retried.
func (c *Client) HandleWebhook(ctx context.Context, header http.Header, body []byte) (applied bool, err error) {
	if err := c.checkMayBlock(ctx); err != nil {
		return false, err
	}
	session := c.newStoreSession(ctx)
	defer session.end()
	result, err := c.processWebhook(ctx, session, signatureOf(header), body)
	if err != nil {
		return false, err
	}
	switch result.status {
	case C.CLERK_OK:
		return true, nil
	case C.CLERK_WEBHOOK_IGNORED:
		return false, nil
	case C.CLERK_UNAVAILABLE:
		failed := newError(result.status, nil, result.error, "", session.err)
		failed.Category, failed.Status = CategoryUnavailable, http.StatusServiceUnavailable
		return false, failed
	}
	failed := newError(result.status, nil, result.error, "", nil)
	if result.status == C.CLERK_E_WEBHOOK {
		failed.Status = http.StatusBadRequest
	}
	return false, failed
}

// WebhookEvent is an event that Clerk has signed.
type WebhookEvent struct {
	// ID is the id of the delivery, the same when Clerk repeats it.
	ID string `json:"-"`
	// Type is the type, such as "user.updated".
	Type string `json:"type"`
	// Data is what the event is about, such as the user.
	Data json.RawMessage `json:"data"`
	// Applied reports whether the event changed something here; as what [Client.HandleWebhook] returns.
	Applied bool `json:"-"`
}

// ReceiveWebhook verifies and processes a webhook delivery like [Client.HandleWebhook], and returns its event, also one that
// changes nothing here.
func (c *Client) ReceiveWebhook(ctx context.Context, header http.Header, body []byte) (*WebhookEvent, error) {
	applied, err := c.HandleWebhook(ctx, header, body)
	if err != nil {
		return nil, err
	}
	event := &WebhookEvent{Applied: applied}
	if err := json.Unmarshal(body, event); err != nil {
		return nil, &Error{Status: http.StatusBadRequest, kind: ErrWebhook, cause: err}
	}
	if event.ID = header.Get("Svix-Id"); event.ID == "" {
		event.ID = header.Get("Webhook-Id")
	}
	return event, nil
}

// signatureHeaders are what the library reads: Svix's own names, and those of Standard Webhooks.
var signatureHeaders = []string{
	"Svix-Id", "Svix-Timestamp", "Svix-Signature", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
}

// signatureOf returns the headers that the library reads, and at most two lines of each, which it rejects.
func signatureOf(from http.Header) []header {
	var headers []header
	for name, values := range from {
		if canonical := http.CanonicalHeaderKey(name); slices.Contains(signatureHeaders, canonical) {
			for _, value := range values[:min(len(values), 2)] {
				headers = append(headers, header{canonical, value})
			}
		}
	}
	return headers
}

// hasSignature reports whether a request has the headers of either kind.
func hasSignature(from http.Header) bool {
	isMissing := func(name string) bool { return len(from[name]) == 0 }
	return !slices.ContainsFunc(signatureHeaders[:3], isMissing) || !slices.ContainsFunc(signatureHeaders[3:], isMissing)
}

// processWebhook calls the library. With a user store, Database or SQLitePath it may wait for the table, and for Clerk.
func (c *Client) processWebhook(ctx context.Context, session *storeSession, all []header, body []byte) (C.clerkgo_call_result, error) {
	defer runtime.KeepAlive(c)
	headers := newCHeaders(all)
	defer headers.free()
	data := (*C.char)(unsafe.Pointer(unsafe.SliceData(body)))
	if c.store == nil {
		if c.hasTable {
			if err := c.acquireSlot(ctx); err != nil {
				return C.clerkgo_call_result{}, err
			}
			defer c.limiter.release()
		}
		defer enterCall(ctx).leave()
		return C.clerkgo_handle_webhook(c.c, headers.data, headers.count, data, C.size_t(len(body))), nil
	}
	result := func() C.clerkgo_call_result {
		defer enterCall(ctx).leave()
		return C.clerkgo_begin_webhook(c.c, headers.data, headers.count, data, C.size_t(len(body)))
	}()
	if result.status != C.CLERK_PENDING {
		return result, nil
	}
	if err := c.runPending(ctx, session, result.pending); err != nil {
		return C.clerkgo_call_result{}, err
	}
	return c.finishPending(ctx, result.pending), nil
}

// WebhookHandler returns a handler for webhook deliveries. It needs the unmodified body: no middleware may read it before.
func (c *Client) WebhookHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		var body []byte
		// Without a signature it is rejected, whatever the body is.
		if hasSignature(r.Header) {
			var err error
			if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhookBody)); err != nil {
				http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
				return
			}
		}
		if _, err := c.HandleWebhook(r.Context(), r.Header, body); err != nil {
			status := asError(err).Status
			http.Error(w, http.StatusText(status), status)
		}
	})
}
