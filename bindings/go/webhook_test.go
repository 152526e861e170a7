package clerkauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func withWebhooks(config *clerkauth.Config) { config.WebhookSecrets = []string{simtest.WebhookSecret} }

func TestWebhookUpdatesUser(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	token := sim.Session("user_ada")
	assertEqual(t, authenticate(client, token), "ok verified 1")
	sim.Admin("PATCH", "/users/user_ada", `{"first_name": "Augusta", "banned": true, "updated_at": 1800000000000}`, nil)
	header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)

	// If the store fails, panics or is late, the delivery is retried, and is processed then.
	full := errors.New("disk full")
	for name, before := range map[string]func(context.Context, string) error{
		"error": func(context.Context, string) error { return full },
		"panic": func(context.Context, string) error { panic(full) },
	} {
		store.intercept(before)
		applied, err := client.HandleWebhook(background, header, body)
		assertEqual(t, applied, false)
		assertErrorIs(t, err, clerkauth.ErrUnavailable, full)
		var authErr *clerkauth.Error
		if !errors.As(err, &authErr) || authErr.Status != 503 {
			t.Errorf("%s: %v", name, err)
		}
	}
	store.intercept(func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithTimeout(background, 30*time.Millisecond)
	_, err := client.HandleWebhook(ctx, header, body)
	cancel()
	assertErrorIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	store.intercept(func(ctx context.Context, _ string) error {
		assertEqual(t, ctx.Value(contextKey{}).(string), "mine")
		return nil
	})
	applied, err := client.HandleWebhook(context.WithValue(background, contextKey{}, "mine"), header, body)
	assertEqual(t, err, nil)
	assertEqual(t, applied, true)
	store.intercept(nil)
	assertEqual(t, store.rows[0].FirstName, "Augusta")
	assertEqual(t, store.rows[0].IsActive, false)
	applied, err = client.HandleWebhook(background, header, body)
	assertEqual(t, err == nil && !applied, true)
	assertEqual(t, authenticate(client, token), "rejected user-inactive")

	header, body = sim.Delivery(`{"type": "user.deleted", "id": "user_ada"}`)
	applied, err = client.HandleWebhook(background, header, body)
	assertEqual(t, err == nil && applied, true)
	assertEqual(t, authenticate(client, token), "rejected user-not-found")
}

func TestInvalidWebhookIsRejected(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withWebhooks)
	assertRejected := func(header http.Header, body []byte) {
		t.Helper()
		_, err := client.HandleWebhook(background, header, body)
		assertErrorIs(t, err, clerkauth.ErrWebhook)
		var authErr *clerkauth.Error
		assertEqual(t, errors.As(err, &authErr) && authErr.Status == 400, true)
	}
	assertRejected(sim.Delivery(`{"type": "user.deleted", "id": "user_1", "bad_signature": true}`))
	assertRejected(sim.Delivery(`{"type": "user.deleted", "id": "user_1", "timestamp": 1000000000}`))
	header, body := sim.Delivery(`{"type": "user.deleted", "id": "user_1"}`)
	assertRejected(header, append(body, ' '))
	assertRejected(nil, body)
	assertRejected(header, nil)
	twice := header.Clone()
	twice.Add("Svix-Id", twice.Get("Svix-Id"))
	assertRejected(twice, body)
	assertEqual(t, authenticate(client, sim.Session("user_1")), "ok verified")

	// The valid one is processed, without a user store, too.
	applied, err := client.HandleWebhook(background, header, body)
	assertEqual(t, err == nil && applied, true)
	assertEqual(t, authenticate(client, sim.Session("user_1")), "rejected user-not-found")
}

// countedBody counts what is read of a body of 1 MiB.
type countedBody struct{ read int }

func (b *countedBody) Read(p []byte) (int, error) {
	n := min(len(p), 1<<20-b.read)
	if b.read += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestWebhookWithoutSignatureIsRejectedBeforeItsBodyIsRead(t *testing.T) {
	client := newClient(t, simtest.Start(t), withWebhooks)
	handler := client.WebhookHandler()
	for _, names := range [][]string{
		{}, {"Svix-Id", "Svix-Timestamp"}, {"Svix-Id", "Svix-Timestamp", "Webhook-Signature"}, {"Webhook-Id", "Webhook-Signature"},
	} {
		body := &countedBody{}
		request := httptest.NewRequest("POST", "/", body)
		for i := range 250 {
			request.Header.Set(fmt.Sprintf("X-Other-%d", i), strings.Repeat("x", 4096))
		}
		for _, name := range names {
			request.Header.Set(name, "x")
		}
		response := httptest.NewRecorder()
		allocated := allocatedBy(func() { handler.ServeHTTP(response, request) })
		assertEqual(t, response.Code, 400)
		assertEqual(t, body.read, 0)
		if allocated > 64<<10 {
			t.Errorf("%v: %d bytes", names, allocated)
		}
	}
}

func TestWebhookHandler(t *testing.T) {
	sim := simtest.Start(t)
	store := &memoryStore{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	server := httptest.NewServer(client.WebhookHandler())
	defer server.Close()
	post := func(header http.Header, body []byte) int {
		t.Helper()
		request, err := http.NewRequest("POST", server.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header.Clone()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	sim.User("user_ada", ada)
	header, body := sim.Delivery(`{"type": "user.created", "id": "user_ada"}`)
	store.intercept(func(context.Context, string) error { return errors.New("no") })
	assertEqual(t, post(header, body), 503)
	store.intercept(nil)
	assertEqual(t, post(header, body), 200)
	assertEqual(t, post(header, body), 200)
	assertEqual(t, len(store.rows), 1)
	assertEqual(t, post(http.Header{}, body), 400)
	assertEqual(t, post(header, []byte(strings.Repeat("x", 1<<20+1))), 400)
	response, err := http.Get(server.URL)
	assertEqual(t, err == nil && response.StatusCode == 405 && response.Header.Get("Allow") == "POST", true)
}
