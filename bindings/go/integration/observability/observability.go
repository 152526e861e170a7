// Package observability records authentications with the client libraries of Prometheus and OpenTelemetry.
package observability

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// OnAnswer returns a [clerkauth.Config.OnAnswer] that observes a histogram by outcome, and records a span for each authentication as a
// child of the request's span.
func OnAnswer(registry prometheus.Registerer, provider trace.TracerProvider) func(context.Context, clerkauth.Answer) {
	authentications := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "clerk_authentication_seconds",
		Help:    "Duration of authentications by outcome: the source of an identity, or the reason of a rejection.",
		Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5},
	}, []string{"outcome"})
	registry.MustRegister(authentications)
	tracer := provider.Tracer("clerkauth")
	return func(ctx context.Context, answer clerkauth.Answer) {
		result := outcome(answer)
		authentications.WithLabelValues(result).Observe(answer.Duration.Seconds())
		ended := time.Now()
		_, span := tracer.Start(ctx, "clerk.authenticate", trace.WithTimestamp(ended.Add(-answer.Duration)),
			trace.WithAttributes(attribute.String("clerk.outcome", result)))
		if errors.Is(answer.Err, clerkauth.ErrUnavailable) {
			span.SetStatus(codes.Error, result)
		}
		span.End(trace.WithTimestamp(ended))
	}
}

func outcome(answer clerkauth.Answer) string {
	var failed *clerkauth.Error
	switch {
	case answer.Err == nil:
		return answer.Auth.Source().String()
	case errors.As(answer.Err, &failed) && failed.Reason != 0:
		return failed.Reason.String()
	}
	return "error"
}

// Register adds the counters of a client to a registry.
func Register(registry prometheus.Registerer, client *clerkauth.Client) {
	for name, value := range map[string]func(clerkauth.Stats) uint64{
		"clerk_cache_hits_total":   func(stats clerkauth.Stats) uint64 { return stats.CacheHits },
		"clerk_cache_misses_total": func(stats clerkauth.Stats) uint64 { return stats.CacheMisses },
		"clerk_user_fetches_total": func(stats clerkauth.Stats) uint64 { return stats.UserFetches },
		"clerk_jwks_fetches_total": func(stats clerkauth.Stats) uint64 { return stats.JWKSFetches },
		"clerk_store_errors_total": func(stats clerkauth.Stats) uint64 { return stats.StoreErrors },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name}, func() float64 {
			stats, err := client.Stats()
			if err != nil { // the client is closed
				return 0
			}
			return float64(value(stats))
		}))
	}
}
