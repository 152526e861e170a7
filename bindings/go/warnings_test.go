package clerkauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/clerktest"
)

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(data)
}

// defaultLog collects the lines of slog.Default during the test.
func defaultLog(t *testing.T) *lockedBuffer {
	buffer, before := &lockedBuffer{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(buffer, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return buffer
}

func clientWith(t *testing.T, clerk *clerktest.Clerk, change func(*clerkauth.Config)) *clerkauth.Client {
	t.Helper()
	config := clerk.Config()
	change(&config)
	client, err := clerkauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestWithoutLoggerWarningsReachTheDefaultLogOnce(t *testing.T) {
	clerk := clerktest.New(t)
	ahead := time.Now().Add(time.Hour).Unix()
	for name, test := range map[string]struct {
		change func(*clerkauth.Config)
		token  string
		want   []string
	}{
		"store": {func(c *clerkauth.Config) { c.Store = brokenStore{&memoryStore{}} }, clerk.Token(), []string{"store-error", "no such table, [address]"}},
		"Clerk": {func(c *clerkauth.Config) {
			c.APIURL, c.UserMode, c.TimeoutMs = "http://127.0.0.1:9", "profile", clerkauth.Milliseconds(300*time.Millisecond)
		}, clerk.Token(), []string{"level=WARN", "cannot be authenticated"}},
		"clock": {func(*clerkauth.Config) {}, clerk.Token(clerktest.Claim("iat", ahead), clerktest.Claim("nbf", ahead), clerktest.Claim("exp", ahead+60)),
			[]string{"clock of this machine"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := defaultLog(t)
			client := clientWith(t, clerk, test.change)
			for range 3 {
				request := httptest.NewRequest("GET", "/", nil)
				request.Header.Set("Authorization", "Bearer "+test.token)
				if _, err := client.Authenticate(context.Background(), request); err == nil {
					t.Error("signed in")
				}
			}
			for _, want := range test.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q lacks %q", log, want)
				}
			}
			last := test.want[len(test.want)-1]
			if lines := strings.Count(log.String(), last); lines != 1 {
				t.Errorf("%d lines", lines)
			}
			if strings.Contains(log.String(), test.token) {
				t.Error("the log has the token")
			}
		})
	}
	t.Run("rejected tokens are not logged", func(t *testing.T) {
		log := defaultLog(t)
		client := clerk.Client()
		if _, err := client.VerifyToken(context.Background(), "forged"); err == nil {
			t.Error("signed in")
		}
		_, _ = client.Authenticate(context.Background(), clerk.Request("GET", "/", clerktest.ExpiresIn(-time.Minute)))
		assertEqual(t, log.String(), "")
	})
}

type brokenStore struct{ *memoryStore }

func (brokenStore) FindByClerkID(context.Context, string) (*clerkauth.User, error) {
	return nil, errors.New("no such table, ada@example.com")
}

type traceKey struct{}

func TestOnAnswerHasContextResultAndDuration(t *testing.T) {
	clerk := clerktest.New(t)
	var answers []string
	client := clientWith(t, clerk, func(c *clerkauth.Config) {
		c.OnAnswer = func(ctx context.Context, answer clerkauth.Answer) {
			var failed *clerkauth.Error
			reason := ""
			if errors.As(answer.Err, &failed) {
				reason = failed.Reason.String()
			}
			answers = append(answers, fmt.Sprint(ctx.Value(traceKey{}), " ", answer.Auth.UserID(), reason, " ", answer.Duration >= 0))
		}
	})
	ctx := context.WithValue(context.Background(), traceKey{}, "trace-1")
	for _, request := range []*http.Request{clerk.Request("GET", "/", clerktest.User("user_ada")),
		clerk.Request("GET", "/", clerktest.ExpiresIn(-time.Minute)), httptest.NewRequest("GET", "/", nil)} {
		_, _ = client.Authenticate(ctx, request)
	}
	assertEqual(t, strings.Join(answers, ", "), "trace-1 user_ada true, trace-1 token-expired true, trace-1 session-token-missing true")
}

// waitingStore is a database that does not respond.
type waitingStore struct {
	clerkauth.UserStore
	called chan struct{}
}

func (w waitingStore) FindByClerkID(ctx context.Context, _ string) (*clerkauth.User, error) {
	w.called <- struct{}{}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestCloseEndsTheContextOfTheStore(t *testing.T) {
	clerk := clerktest.New(t)
	store := waitingStore{&memoryStore{}, make(chan struct{})}
	client := clientWith(t, clerk, func(c *clerkauth.Config) { c.Store = store })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result := make(chan error)
	go func() {
		_, err := client.Authenticate(ctx, clerk.Request("GET", "/"))
		result <- err
	}()
	<-store.called
	assertEqual(t, client.Close(), nil)
	assertEqual(t, errors.Is(<-result, clerkauth.ErrClosed), true)
	assertEqual(t, ctx.Err(), nil)
}

func TestOnAnswerPanicLeavesTheResult(t *testing.T) {
	clerk := clerktest.New(t)
	var lines bytes.Buffer
	client := clientWith(t, clerk, func(c *clerkauth.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		c.OnAnswer = func(context.Context, clerkauth.Answer) { panic("metrics are down") }
	})
	auth, err := client.Authenticate(context.Background(), clerk.Request("GET", "/", clerktest.User("user_ada")))
	assertEqual(t, auth.UserID(), "user_ada")
	assertEqual(t, err, nil)
	assertEqual(t, strings.Contains(lines.String(), "callback=OnAnswer panic=\"metrics are down\""), true)
}

func TestOptionalAuthRejectsInvalidTokensOnly(t *testing.T) {
	clerk := clerktest.New(t)
	handler := clerk.Client().OptionalAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		_, _ = io.WriteString(w, "hello "+auth.UserID())
	}))
	for want, request := range map[string]*http.Request{
		"200 hello ":                           httptest.NewRequest("GET", "/", nil),
		"200 hello user_ada":                   clerk.Request("GET", "/", clerktest.User("user_ada")),
		`401 {"error":"invalid_token"}` + "\n": clerk.Request("GET", "/", clerktest.ExpiresIn(-time.Minute)),
	} {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		assertEqual(t, fmt.Sprint(response.Code, " ", response.Body), want)
	}
}

func TestRequireReverificationPanicsAtAnInvalidLevel(t *testing.T) {
	client := clerktest.New(t).Client()
	for level, want := range map[string]bool{"stict": true, "": true, "first_factor": true, "first_factor:0": true, "first_factor:-1": true,
		"first_factor:10m": true, "third_factor:10": true, "strict:10": true, "lax": false, "second_factor:1440": false} {
		func() {
			defer func() {
				if got := recover() != nil; got != want {
					t.Errorf("%q: panics: %v", level, got)
				}
			}()
			client.RequireReverification(level)
		}()
	}
}

func TestRequireReverificationRespondsInClerksForm(t *testing.T) {
	clerk := clerktest.New(t)
	handler := clerk.Client().RequireReverification("first_factor:5")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "done")
	}))
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, clerk.Request("POST", "/", clerktest.FactorAges(1, -1)))
	assertEqual(t, response.Body.String(), "done")
	response = httptest.NewRecorder()
	handler.ServeHTTP(response, clerk.Request("POST", "/", clerktest.FactorAges(9, -1)))
	var body struct {
		ClerkError struct {
			Reason   string
			Metadata struct {
				Reverification struct {
					Level        string
					AfterMinutes int
				}
			}
		} `json:"clerk_error"`
	}
	if err := json.Unmarshal(response.Body.Bytes(), &body); err != nil {
		t.Fatal(err, response.Body)
	}
	assertEqual(t, fmt.Sprint(response.Code, body.ClerkError), "403 {reverification-error {{first_factor 5}}}")
}

func TestReceiveWebhookReturnsTheEvent(t *testing.T) {
	clerk := clerktest.New(t)
	client := clerk.Client()
	clerk.SetUser(clerktest.Profile{ID: "user_ada", Username: "ada"})
	header, body := clerk.Webhook("user.updated", clerk.UserData("user_ada"))
	for _, applied := range []bool{true, false} {
		event, err := client.ReceiveWebhook(context.Background(), header, body)
		if err != nil {
			t.Fatal(err)
		}
		assertEqual(t, fmt.Sprint(event.Type, event.Applied, event.ID == header.Get("Svix-Id"), strings.Contains(string(event.Data), `"ada"`)),
			fmt.Sprint("user.updated", applied, true, true))
	}
	_, err := client.ReceiveWebhook(context.Background(), header, append(body, ' '))
	assertErrorIs(t, err, clerkauth.ErrWebhook)
}

func TestCloseAbortsCallsWithErrClosed(t *testing.T) {
	release := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer api.Close()
	defer close(release)
	clerk := clerktest.New(t)
	for name, store := range map[string]clerkauth.UserStore{"without a store": nil, "with a store": &memoryStore{}} {
		t.Run(name, func(t *testing.T) {
			client := clientWith(t, clerk, func(c *clerkauth.Config) {
				c.APIURL, c.UserMode, c.Store = api.URL, "profile", store
				if store != nil {
					c.UserMode = ""
				}
			})
			failed := make(chan error)
			go func() {
				_, err := client.Authenticate(context.Background(), clerk.Request("GET", "/"))
				failed <- err
			}()
			time.Sleep(300 * time.Millisecond)
			assertEqual(t, client.Close(), nil)
			assertErrorIs(t, <-failed, clerkauth.ErrClosed)
		})
	}
}

func TestDurationsOfSettingsRoundUp(t *testing.T) {
	assertEqual(t, *clerkauth.Seconds(5 * time.Minute), 300)
	assertEqual(t, *clerkauth.Seconds(time.Nanosecond), 1)
	assertEqual(t, *clerkauth.Seconds(0), 0)
	assertEqual(t, *clerkauth.Milliseconds(2 * time.Second), 2000)
	assertEqual(t, *clerkauth.Milliseconds(time.Microsecond), 1)
	assertEqual(t, *clerkauth.Seconds(-time.Nanosecond), -1)
	assertEqual(t, *clerkauth.Milliseconds(-500 * time.Microsecond), -1)
	assertEqual(t, *clerkauth.Seconds(math.MaxInt64), math.MaxInt64/int64(time.Second)+1)
}

func TestVariableSendsLinesToStandardErrorInsteadOfTheDefaultLog(t *testing.T) {
	log := defaultLog(t)
	clerk := clerktest.New(t)
	t.Setenv("CLERK_LOG", "off")
	withoutParties := func(config *clerkauth.Config) { config.AuthorizedParties = nil }
	clientWith(t, clerk, withoutParties)
	if strings.Contains(log.String(), "authorized_parties") {
		t.Errorf("a line of the library: %s", log)
	}
	t.Setenv("CLERK_LOG", "loud")
	var failed *clerkauth.Error
	config := clerk.Config()
	if _, err := clerkauth.New(config); !errors.As(err, &failed) || failed.Setting != "CLERK_LOG" {
		t.Errorf("an unknown level: %v", err)
	}
	t.Setenv("CLERK_LOG", "")
	clientWith(t, clerk, withoutParties)
	if !strings.Contains(log.String(), "authorized_parties") {
		t.Errorf("no line of the library: %s", log)
	}
}
