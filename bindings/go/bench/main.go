// Command bench measures a cached authentication in Go and in C, SHA-256 of the token, and jwt.Verify of clerk-sdk-go with a
// given key. They run in turns in one process; the best turn of each counts. There are up to three rounds, in case the machine
// is busy.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwt"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/bench/cloop"
)

func main() {
	log.SetFlags(0)
	limit := flag.Float64("limit", 0, "fail if the middleware takes this many ns longer than C; 0 is no limit")
	slack := flag.Float64("slack", 0, "share of the gate that is allowed in addition")
	flag.Parse()
	sha256, err := cloop.LoadSHA256(os.Getenv("CLERK_ANCHOR"))
	check(err)
	sim := os.Getenv("CLERK_SIM")
	token := output(sim, "mint", "--user", "user_1", "--sid", "sess_1", "--azp", "https://app.example.com", "--exp-in", "3600",
		"--org-id", "org_1", "--org-role", "admin", "--org-permissions", "org:invoices:create,org:invoices:read",
		"--claim", `iss="https://clerk.example.com"`)
	pem, jwk := output(sim, "key", "--name", "k1", "--form", "pem"), output(sim, "key", "--name", "k1", "--form", "jwk")
	authorization := "Bearer " + token

	client, err := clerkauth.New(clerkauth.Config{JWTKey: pem})
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

	candidates := []*candidate{
		{name: "C, in a loop", run: func(times int) int { return inC.Run(authorization, times) }},
		{name: "Go, Authenticate", run: func(times int) (good int) {
			for range times {
				if auth, err := client.Authenticate(ctx, request); err == nil && auth.UserID() == "user_1" {
					good++
				}
			}
			return good
		}},
		{name: "Go, RequireAuth and FromContext", run: func(times int) int {
			before := handled
			for range times {
				handler.ServeHTTP(nil, request)
			}
			return handled - before
		}},
		{name: "SHA-256 of the token", run: func(times int) int { return sha256.Run(token, times) }},
		{name: "clerk-sdk-go, jwt.Verify with a given key", run: func(times int) (good int) {
			for range times {
				if claims, err := jwt.Verify(ctx, &jwt.VerifyParams{Token: token, JWK: key}); err == nil && claims.Subject == "user_1" {
					good++
				}
			}
			return good
		}},
	}
	inC.Run(authorization, 1) // fill the caches
	handler.ServeHTTP(nil, request)
	difference := func() float64 { return candidates[2].best - candidates[0].best }
	ratio := func() float64 { return candidates[1].best / candidates[3].best }
	isOver := func() bool { return *limit > 0 && difference() > *limit || ratio() > gate*(1+*slack) }
	for round := 0; round == 0 || round < 3 && isOver(); round++ {
		for range 80 {
			for _, c := range candidates {
				c.turn()
			}
		}
	}
	fmt.Printf("token of %d bytes\n", len(token))
	for _, c := range candidates {
		fmt.Printf("%-46s %9.0f ns\n", c.name, c.best)
	}
	fmt.Printf("%-46s %9.0f ns\n", "Difference of middleware and C", difference())
	verdict := "pass"
	switch {
	case ratio() > gate*(1+*slack):
		verdict = "FAIL"
	case ratio() <= target:
		verdict = "pass, target met"
	}
	fmt.Printf("%-52s %9.2f ×    ≤ %.2f    ≤ %.2f  %s\n", "cached hit from Go / SHA-256 of the token", ratio(), target, gate, verdict)
	if *limit > 0 && difference() > *limit {
		log.Fatalf("more than %.0f ns", *limit)
	}
	if verdict == "FAIL" {
		os.Exit(1)
	}
}

// Authenticate, as a multiple of SHA-256 of the token.
const target, gate = 1.35, 1.5

type candidate struct {
	name  string
	run   func(times int) (good int)
	times int // number of runs in the last turn
	best  float64
}

// turn measures for at least 20 ms, which includes the cost of garbage collection.
func (c *candidate) turn() {
	for times := max(100, c.times); ; times *= 2 {
		start := time.Now()
		if good := c.run(times); good != times {
			log.Fatalf("%s: only %d of %d", c.name, good, times)
		}
		elapsed := time.Since(start)
		if elapsed < 20*time.Millisecond {
			continue
		}
		c.times = times
		if each := float64(elapsed.Nanoseconds()) / float64(times); c.best == 0 || each < c.best {
			c.best = each
		}
		return
	}
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
