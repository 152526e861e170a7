package clerkauth_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func withWebhooks(config *clerkauth.Config) { config.WebhookSecrets = []string{simtest.WebhookSecret} }

func TestWhatClerkSaysCountsAtOnce(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	store := &table{}
	client := newClient(t, sim, withStore(store), withWebhooks)
	token := sim.Session("user_ada")
	expect(t, ask(client, token), "in verified 1")
	sim.Admin("PATCH", "/users/user_ada", `{"first_name": "Augusta", "banned": true, "updated_at": 1800000000000}`, nil)
	header, body := sim.Delivery(`{"type": "user.updated", "id": "user_ada"}`)

	// The table fails, in its own words, or panics, or is late: the delivery has to come again, and then it counts.
	full := errors.New("disk full")
	for name, before := range map[string]func(context.Context, string) error{
		"error": func(context.Context, string) error { return full },
		"panic": func(context.Context, string) error { panic(full) },
	} {
		store.does(before)
		applied, err := client.HandleWebhook(background, header, body)
		expect(t, applied, false)
		expectIs(t, err, clerkauth.ErrUnavailable, full)
		var failed *clerkauth.Error
		if !errors.As(err, &failed) || failed.Status != 503 {
			t.Errorf("%s: %v", name, err)
		}
	}
	store.does(func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithTimeout(background, 30*time.Millisecond)
	_, err := client.HandleWebhook(ctx, header, body)
	cancel()
	expectIs(t, err, clerkauth.ErrUnavailable, context.DeadlineExceeded)
	store.does(func(ctx context.Context, _ string) error {
		expect(t, ctx.Value(contextKey{}).(string), "mine")
		return nil
	})
	applied, err := client.HandleWebhook(context.WithValue(background, contextKey{}, "mine"), header, body)
	expect(t, err, nil)
	expect(t, applied, true)
	store.does(nil)
	expect(t, store.rows[0].FirstName, "Augusta")
	expect(t, store.rows[0].IsActive, false)
	applied, err = client.HandleWebhook(background, header, body)
	expect(t, err == nil && !applied, true)
	expect(t, ask(client, token), "out user-inactive")

	header, body = sim.Delivery(`{"type": "user.deleted", "id": "user_ada"}`)
	applied, err = client.HandleWebhook(background, header, body)
	expect(t, err == nil && applied, true)
	expect(t, ask(client, token), "out user-not-found")
}

func TestWhatIsNotClerksChangesNothing(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, withWebhooks)
	refused := func(header http.Header, body []byte) {
		t.Helper()
		_, err := client.HandleWebhook(background, header, body)
		expectIs(t, err, clerkauth.ErrWebhook)
		var failed *clerkauth.Error
		expect(t, errors.As(err, &failed) && failed.Status == 400, true)
	}
	refused(sim.Delivery(`{"type": "user.deleted", "id": "user_1", "bad_signature": true}`))
	refused(sim.Delivery(`{"type": "user.deleted", "id": "user_1", "timestamp": 1000000000}`))
	header, body := sim.Delivery(`{"type": "user.deleted", "id": "user_1"}`)
	refused(header, append(body, ' '))
	refused(nil, body)
	refused(header, nil)
	twice := header.Clone()
	twice.Add("Svix-Id", twice.Get("Svix-Id"))
	refused(twice, body)
	expect(t, ask(client, sim.Session("user_1")), "in verified")

	// The good one counts, without a user table, too.
	applied, err := client.HandleWebhook(background, header, body)
	expect(t, err == nil && applied, true)
	expect(t, ask(client, sim.Session("user_1")), "out user-not-found")
}

func TestWebhookHandler(t *testing.T) {
	sim := simtest.Start(t)
	store := &table{}
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
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	sim.User("user_ada", ada)
	header, body := sim.Delivery(`{"type": "user.created", "id": "user_ada"}`)
	store.does(func(context.Context, string) error { return errors.New("no") })
	expect(t, post(header, body), 503)
	store.does(nil)
	expect(t, post(header, body), 200)
	expect(t, post(header, body), 200)
	expect(t, len(store.rows), 1)
	expect(t, post(http.Header{}, body), 400)
	expect(t, post(header, []byte(strings.Repeat("x", 1<<20+1))), 400)
	answer, err := http.Get(server.URL)
	expect(t, err == nil && answer.StatusCode == 405 && answer.Header.Get("Allow") == "POST", true)
}
