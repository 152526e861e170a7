// Package simtest starts a clerk-sim, the stand-in for Clerk, and speaks to its admin API.
package simtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// Sim is a stand-in of its own for one test.
type Sim struct {
	t testing.TB

	URL      string `json:"url"`
	AdminURL string `json:"admin_url"`
}

// Start starts one that ends with the test, or with the test's process. The environment variable CLERK_SIM names it.
func Start(t testing.TB) *Sim {
	t.Helper()
	path := os.Getenv("CLERK_SIM")
	if path == "" {
		t.Fatal("CLERK_SIM must name the built clerk-sim; bindings/go/test.sh sets it")
	}
	command := exec.Command(path, "serve", "--exit-with-stdin")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	check(t, err)
	stdout, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	check(t, err)
	sim := &Sim{t: t}
	check(t, json.Unmarshal(line, sim))
	return sim
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Admin makes a call; body is JSON text or a value to be made JSON of. The answer is read into out if that is not nil.
func (s *Sim) Admin(method, path string, body, out any) {
	s.t.Helper()
	var text []byte
	switch body := body.(type) {
	case nil:
	case string:
		text = []byte(body)
	case json.RawMessage:
		text = body
	default:
		var err error
		text, err = json.Marshal(body)
		check(s.t, err)
	}
	request, err := http.NewRequest(method, s.AdminURL+path, bytes.NewReader(text))
	check(s.t, err)
	answer, err := http.DefaultClient.Do(request)
	check(s.t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	check(s.t, err)
	if answer.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, got)
	}
	if out != nil {
		check(s.t, json.Unmarshal(got, out))
	}
}

// Mint makes a token; the specification is that of clerk-sim's README.
func (s *Sim) Mint(format string, values ...any) string {
	s.t.Helper()
	var minted struct{ Token string }
	s.Admin("POST", "/mint", fmt.Sprintf(format, values...), &minted)
	return minted.Token
}

// Session makes the session token of a user.
func (s *Sim) Session(user string) string { return s.Mint(`{"user": %q}`, user) }

// User makes a user, from a JSON object.
func (s *Sim) User(id, user string) { s.t.Helper(); s.Admin("PUT", "/users/"+id, user, nil) }

// Down refuses connections, or no more.
func (s *Sim) Down(down bool) {
	s.t.Helper()
	s.Admin("PUT", "/down", map[string]bool{"down": down}, nil)
}

// Faults replaces all faults.
func (s *Sim) Faults(faults string) { s.t.Helper(); s.Admin("PUT", "/faults", faults, nil) }

// Count is how often a path was asked for.
func (s *Sim) Count(path string) int {
	s.t.Helper()
	var counts struct {
		ByPath map[string]int `json:"by_path"`
	}
	s.Admin("GET", "/counts", nil, &counts)
	return counts.ByPath[path]
}

// Delivery makes a signed webhook delivery.
func (s *Sim) Delivery(spec string) (http.Header, []byte) {
	s.t.Helper()
	var made struct {
		Headers map[string]string
		Body    string
	}
	s.Admin("POST", "/webhook", spec, &made)
	header := http.Header{}
	for name, value := range made.Headers {
		header.Set(name, value)
	}
	return header, []byte(made.Body)
}

// WebhookSecret is what deliveries are signed with.
const WebhookSecret = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE="
