// Package observability records authentications with the client libraries of Prometheus and OpenTelemetry.
package observability

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
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

// Collector has the counters of a client: the metrics of [clerkauth.Client.MetricsText], for a registry that has others as well.
//
//	prometheus.MustRegister(observability.Collector{Client: client})
//
// A program without metrics of its own serves [clerkauth.Client.Metrics] instead.
type Collector struct{ Client *clerkauth.Client }

// Describe sends nothing: which metrics there are depends on the settings of the client.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics; none once the client is closed.
func (c Collector) Collect(metrics chan<- prometheus.Metric) {
	text, err := c.Client.MetricsText()
	if err != nil {
		return
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			labels := prometheus.Labels{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			desc := prometheus.NewDesc(name, family.GetHelp(), nil, labels)
			kind, value := prometheus.CounterValue, metric.GetCounter().GetValue()
			if family.GetType() == dto.MetricType_GAUGE {
				kind, value = prometheus.GaugeValue, metric.GetGauge().GetValue()
			}
			metrics <- prometheus.MustNewConstMetric(desc, kind, value)
		}
	}
}
