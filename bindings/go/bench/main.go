// Command bench measures a cached authentication in Go and in C, and other packages, beside what every implementation needs:
// SHA-256 of the token for a cached result, RSA by aws-lc for a verification. They run in turns in one process, by its CPU
// time; the medians count. With CLERK_BENCH_POINTS each result is appended to that file.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	golangjwt "github.com/golang-jwt/jwt/v5"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/bench/cloop"
)

func main() {
	log.SetFlags(0)
	// On one processor, so that the garbage collector does not use another one because it is idle.
	runtime.GOMAXPROCS(1)
	limit := flag.Float64("limit", 0, "fail if the middleware takes this many ns longer than C; 0 is no limit")
	slack := flag.Float64("slack", 0, "share of the gate that is allowed in addition")
	flag.Parse()
	sim := os.Getenv("CLERK_SIM")
	token := output(sim, "mint", "--user", "user_1", "--sid", "sess_1", "--azp", "https://app.example.com", "--exp-in", "3600",
		"--org-id", "org_1", "--org-role", "admin", "--org-permissions", "org:invoices:create,org:invoices:read",
		"--claim", `iss="https://clerk.example.com"`)
	pem, jwk := output(sim, "key", "--name", "k1", "--form", "pem"), output(sim, "key", "--name", "k1", "--form", "jwk")
	authorization := "Bearer " + token
	anchor, err := cloop.LoadAnchor(os.Getenv("CLERK_ANCHOR"), pem, token)
	check(err)
	public, err := golangjwt.ParseRSAPublicKeyFromPEM([]byte(pem))
	check(err)
	parser := golangjwt.NewParser(golangjwt.WithValidMethods([]string{"RS256"}), golangjwt.WithExpirationRequired())

	client, err := clerkauth.New(clerkauth.Config{JWTKey: pem})
	check(err)
	uncached, err := clerkauth.New(clerkauth.Config{JWTKey: pem, CacheTTLS: clerkauth.Int(0)})
	check(err)
	inC, err := cloop.New(pem)
	check(err)
	key := &clerk.JSONWebKey{}
	check(json.Unmarshal([]byte(jwk), key))
	request, err := http.NewRequest("GET", "http://localhost/", nil)
	check(err)
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Accept", "application/json")
	ctx := context.Background()
	handled := 0
	handler := client.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if auth, ok := clerkauth.FromContext(r.Context()); ok && auth.UserID() == "user_1" && auth.SessionID() == "sess_1" {
			handled++
		}
	}))

	authenticate := func(client *clerkauth.Client) func(int) int {
		return repeat(func() bool {
			auth, err := client.Authenticate(ctx, request)
			return err == nil && auth.UserID() == "user_1"
		})
	}
	hash := &candidate{name: "SHA-256 of the token", run: anchor.SHA256}
	rsa := &candidate{name: "RSA-2048 by aws-lc", run: anchor.RS256}
	loop := &candidate{name: "C, in a loop", limit: hash, run: func(times int) int { return inC.Run(authorization, times) }}
	hit := &candidate{name: "Go, Authenticate", limit: hash, point: "clerk-auth (Go)", run: authenticate(client)}
	middleware := &candidate{name: "Go, RequireAuth and FromContext", limit: hash, run: func(times int) int {
		before := handled
		for range times {
			handler.ServeHTTP(nil, request)
		}
		return handled - before
	}}
	candidates := []*candidate{hash, rsa, loop, hit, middleware,
		{name: "Go, Authenticate without cache", limit: rsa, point: "clerk-auth (Go)", run: authenticate(uncached)},
		{name: "clerk-sdk-go, jwt.Verify", limit: rsa, point: "clerk-sdk-go, key given (Go)", run: repeat(func() bool {
			claims, err := jwt.Verify(ctx, &jwt.VerifyParams{Token: token, JWK: key})
			return err == nil && claims.Subject == "user_1"
		})},
		{name: "golang-jwt, ParseWithClaims", limit: rsa, point: "golang-jwt, key given (Go)", run: repeat(func() bool {
			claims := &golangjwt.RegisteredClaims{}
			_, err := parser.ParseWithClaims(token, claims, func(*golangjwt.Token) (any, error) { return public, nil })
			return err == nil && claims.Subject == "user_1"
		})},
	}
	inC.Run(authorization, 1) // fill the caches
	handler.ServeHTTP(nil, request)
	for turn := range turns {
		// The start rotates, so that no candidate always runs behind the same one.
		for i := range candidates {
			candidates[(turn+i)%len(candidates)].turn()
		}
	}
	fmt.Printf("token of %d bytes; CPU time, median of %d turns\n", len(token), turns)
	points := io.Discard
	if name := os.Getenv("CLERK_BENCH_POINTS"); name != "" {
		file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		check(err)
		defer file.Close()
		points = file
	}
	for _, c := range candidates {
		fmt.Printf("%-46s %9.0f ns\n", c.name, median(c.ns))
		if c.point != "" {
			kind := map[*candidate]string{hash: "warm", rsa: "cold"}[c.limit]
			fmt.Fprintf(points, "%s\t%s\t%.0f\t%.3f\n", kind, c.point, median(c.ns), c.ratio())
		}
	}
	difference, ratio := median(middleware.less(loop)), hit.ratio()
	fmt.Printf("%-46s %9.0f ns\n", "Difference of middleware and C", difference)
	verdict := "pass"
	switch {
	case ratio > gate*(1+*slack):
		verdict = "FAIL"
	case ratio <= target:
		verdict = "pass, target met"
	}
	fmt.Printf("%-52s %9.2f ×    ≤ %.2f    ≤ %.2f  %s\n", "cached hit from Go / SHA-256 of the token", ratio, target, gate, verdict)
	if *limit > 0 && difference > *limit {
		log.Fatalf("more than %.0f ns", *limit)
	}
	if verdict == "FAIL" {
		os.Exit(1)
	}
}

// Authenticate, as a multiple of SHA-256 of the token.
const target, gate = 1.35, 1.5

// How often each candidate is measured.
const turns = 41

type candidate struct {
	name, point string
	run         func(times int) (good int)
	limit       *candidate
	times       int       // number of runs in a turn
	ns          []float64 // of one run, by turn
}

func repeat(call func() bool) func(int) int {
	return func(times int) (good int) {
		for range times {
			if call() {
				good++
			}
		}
		return good
	}
}

// turn measures for about 20 ms, which includes the cost of garbage collection.
func (c *candidate) turn() {
	for times := max(10, c.times); ; times *= 2 {
		before := cpuTime()
		if good := c.run(times); good != times {
			log.Fatalf("%s: only %d of %d", c.name, good, times)
		}
		elapsed := cpuTime() - before
		if c.times == 0 && elapsed < 15*time.Millisecond {
			continue
		}
		c.times = times
		c.ns = append(c.ns, float64(elapsed.Nanoseconds())/float64(times))
		return
	}
}

// ratio returns the median of the ratios of the turns.
func (c *candidate) ratio() float64 {
	ratios := make([]float64, len(c.ns))
	for turn, ns := range c.ns {
		ratios[turn] = ns / c.limit.ns[turn]
	}
	return median(ratios)
}

// less returns how much longer c takes than other, by turn.
func (c *candidate) less(other *candidate) []float64 {
	differences := make([]float64, len(c.ns))
	for turn, ns := range c.ns {
		differences[turn] = ns - other.ns[turn]
	}
	return differences
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// cpuTime returns the CPU time of this process, which other processes do not change.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func output(command string, arguments ...string) string {
	stdout, err := exec.Command(command, arguments...).Output()
	if err != nil {
		log.Fatalf("%s %s: %v (CLERK_SIM must be the path of clerk-sim)", command, arguments[0], err)
	}
	return strings.TrimSpace(string(stdout))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
