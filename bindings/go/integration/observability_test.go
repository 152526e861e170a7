package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	observability.Register(registry, client)

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
	hits := "# TYPE clerk_cache_hits_total counter\nclerk_cache_hits_total 1\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(hits), "clerk_cache_hits_total"); err != nil {
		t.Error(err)
	}
}
