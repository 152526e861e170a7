// Command metrics has the results of authentication at /metrics, in the text format of Prometheus, and the counters of the client
// at /debug/vars, as JSON.
//
//	CLERK_SECRET_KEY=sk_test_... metrics
package main

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// buckets are the upper limits of the histogram, in seconds.
var buckets = [...]float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5}

type histogram struct {
	counts [len(buckets)]uint64
	count  uint64
	sum    float64
}

// metrics counts the answers of a client by outcome: a source, or a reason from a closed list.
type metrics struct {
	mu       sync.Mutex
	outcomes map[string]*histogram
}

// observe is a [clerkauth.Config.OnAnswer]. An application with OpenTelemetry records a span here: ctx is the request's context, so
// that the span is a child of the request's.
//
//	started := trace.WithTimestamp(time.Now().Add(-answer.Duration))
//	_, span := tracer.Start(ctx, "clerk.authenticate", started, trace.WithAttributes(attribute.String("clerk.outcome", outcome(answer))))
//	span.End()
func (m *metrics) observe(_ context.Context, answer clerkauth.Answer) {
	seconds, name := answer.Duration.Seconds(), outcome(answer)
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.outcomes[name]
	if found == nil {
		found = &histogram{}
		m.outcomes[name] = found
	}
	found.count++
	found.sum += seconds
	for i, limit := range buckets {
		if seconds <= limit {
			found.counts[i]++
		}
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

func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.outcomes))
	for name := range m.outcomes {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintln(w, "# HELP clerk_authentication_seconds Duration of authentications by outcome.")
	fmt.Fprintln(w, "# TYPE clerk_authentication_seconds histogram")
	for _, name := range names {
		found := m.outcomes[name]
		for i, limit := range buckets {
			fmt.Fprintf(w, "clerk_authentication_seconds_bucket{outcome=%q,le=\"%g\"} %d\n", name, limit, found.counts[i])
		}
		fmt.Fprintf(w, "clerk_authentication_seconds_bucket{outcome=%q,le=\"+Inf\"} %d\n", name, found.count)
		fmt.Fprintf(w, "clerk_authentication_seconds_sum{outcome=%q} %g\n", name, found.sum)
		fmt.Fprintf(w, "clerk_authentication_seconds_count{outcome=%q} %d\n", name, found.count)
	}
}

func main() {
	counted := &metrics{outcomes: map[string]*histogram{}}
	client, err := clerkauth.New(clerkauth.Config{FromEnv: true, OnAnswer: counted.observe})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("clerk", expvar.Func(func() any {
		stats, err := client.Stats()
		if err != nil { // the client is closed
			return nil
		}
		return stats
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /debug/vars", expvar.Handler())
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		client.Metrics().ServeHTTP(w, r)
		counted.write(w)
	})
	mux.Handle("/", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, auth.UserID())
	})))
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}
