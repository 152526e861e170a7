package clerkauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

type requestID struct{}

// contextLog records each line with the id of the request whose context it was logged with.
type contextLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *contextLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *contextLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *contextLog) WithGroup(string) slog.Handler            { return l }

func (l *contextLog) Handle(ctx context.Context, record slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprint(ctx.Value(requestID{}), " ", record.Message))
	return nil
}

func (l *contextLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func withID(id string) context.Context {
	return context.WithValue(context.Background(), requestID{}, id)
}

func bearer(token string) *http.Request {
	request, _ := http.NewRequest("GET", "/", nil)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request
}

func TestLogLinesHaveTheContextOfTheirRequest(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	for _, hasStore := range []bool{false, true} {
		var log contextLog
		client := newClient(t, sim, func(c *clerkauth.Config) {
			c.Logger = slog.New(&log)
			c.WebhookSecrets = []string{simtest.WebhookSecret}
			if hasStore {
				withStore(&memoryStore{})(c)
			}
		})
		log.take()
		expect := func(id, message string) {
			t.Helper()
			lines := log.take()
			for _, line := range lines {
				if !strings.HasPrefix(line, id+" ") {
					t.Errorf("not %s: %s", id, line)
				}
			}
			if !strings.Contains(strings.Join(lines, "\n"), message) {
				t.Errorf("no %s: %q", message, lines)
			}
		}
		token := sim.Session("user_ada")
		ask := func(id, token string) { _, _ = client.Authenticate(withID(id), bearer(token)) }
		ask("first", token)
		expect("first", "auth_success")
		ask("cached", token)
		expect("cached", "auth_success")
		ask("rejected", "nonsense")
		expect("rejected", "auth_failed")
		cancelable, cancel := context.WithCancel(withID("cancelable"))
		_, _ = client.Authenticate(cancelable, bearer(sim.Session("user_ada")))
		cancel()
		expect("cancelable", "auth_success")
		header, body := sim.Delivery(`{"type": "user.deleted", "id": "user_ada"}`)
		if _, err := client.HandleWebhook(withID("webhook"), header, body); err != nil {
			t.Error(err)
		}
		expect("webhook", "user_deleted")
		// A call without the context of a request.
		sim.Faults(`[{"path": "/jwks", "status": 500}]`)
		_ = client.WarmUp(withID("warm"))
		expect("warm", "failed")
		sim.Faults(`[]`)
	}
}

func TestConcurrentRequestsLogWithTheirOwnContext(t *testing.T) {
	sim := simtest.Start(t)
	var log contextLog
	client := newClient(t, sim, func(c *clerkauth.Config) { c.Logger = slog.New(&log) })
	if err := client.WarmUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	log.take()
	const requests = 50
	var group sync.WaitGroup
	for i := range requests {
		group.Add(1)
		go func() {
			defer group.Done()
			_, _ = client.Authenticate(withID(fmt.Sprint("request-", i)), bearer(fmt.Sprint("nonsense-", i)))
		}()
	}
	group.Wait()
	seen := map[string]int{}
	for _, line := range log.take() {
		id, message, _ := strings.Cut(line, " ")
		if strings.Contains(message, "auth_failed") {
			seen[id]++
		}
	}
	assertEqual(t, len(seen), requests)
	for id, count := range seen {
		if count != 1 || !strings.HasPrefix(id, "request-") {
			t.Errorf("%s: %d", id, count)
		}
	}
}
