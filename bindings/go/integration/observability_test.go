package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/clerktest"
	"github.com/clerk-auth/clerk-auth/bindings/go/integration/observability"
)

func TestAuthenticationsAreMetricsAndSpans(t *testing.T) {
	registry, spans := prometheus.NewRegistry(), tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	clerk := clerktest.New(t)
	config := clerk.Config()
	config.OnAnswer = observability.OnAnswer(registry, provider)
	client, err := clerkauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	ctx, parent := provider.Tracer("server").Start(context.Background(), "GET /")
	handler := client.RequireAuth(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	token := clerk.Request("GET", "/")
	anonymous := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, request := range []*http.Request{token, token, anonymous} {
		handler.ServeHTTP(httptest.NewRecorder(), request.WithContext(ctx))
	}
	parent.End()

	found, err := testutil.GatherAndCount(registry, "clerk_authentication_seconds")
	if err != nil || found != 3 {
		t.Errorf("%d outcomes instead of 3: %v", found, err)
	}
	for _, outcome := range []string{"verified", "cache", "session-token-missing"} {
		spansOf := 0
		for _, span := range spans.Ended() {
			for _, attribute := range span.Attributes() {
				if attribute.Value.AsString() == outcome && span.Parent().SpanID() == parent.SpanContext().SpanID() {
					spansOf++
					if span.Status().Code == codes.Error {
						t.Errorf("%s is no error of the server", outcome)
					}
				}
			}
		}
		if spansOf != 1 {
			t.Errorf("%s: %d spans instead of one", outcome, spansOf)
		}
	}
	registry.MustRegister(observability.Collector{Client: client})
	hits := "# HELP clerk_auth_cache_hits_total Results from the cache.\n# TYPE clerk_auth_cache_hits_total counter\nclerk_auth_cache_hits_total 1\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(hits), "clerk_auth_cache_hits_total"); err != nil {
		t.Error(err)
	}
}

// Every series of the text is in the registry, with its value.
func TestCollectorHasAllMetrics(t *testing.T) {
	clerk := clerktest.New(t)
	client := clerk.Client()
	client.RequireAuth(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), clerk.Request("GET", "/"))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(observability.Collector{Client: client})
	text, err := client.MetricsText()
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
	series, err := testutil.GatherAndCount(registry)
	if lines := strings.Count("\n"+text, "\nclerk_auth_"); err != nil || lines < 20 || series != lines {
		t.Errorf("%d series of %d lines: %v", series, lines, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if series, err := testutil.GatherAndCount(registry); err != nil || series != 0 {
		t.Errorf("%d series of a closed client: %v", series, err)
	}
}

// The rules of `promtool check metrics`.
func TestMetricsTextHasNoLintProblems(t *testing.T) {
	clerk := clerktest.New(t)
	client := clerk.Client()
	client.RequireAuth(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), clerk.Request("GET", "/"))
	recorder := httptest.NewRecorder()
	client.Metrics().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if content := recorder.Header().Get("Content-Type"); content != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type is %q", content)
	}
	text := recorder.Body.String()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v\n%s", err, problems, text)
	}
	if signedIn := "clerk_auth_signed_in_total 1"; !strings.Contains(text, signedIn+"\n") {
		t.Errorf("no %s in\n%s", signedIn, text)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	recorder = httptest.NewRecorder()
	client.Metrics().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("%d from a closed client", recorder.Code)
	}
}
