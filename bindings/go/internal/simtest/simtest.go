// Package simtest starts clerk-sim, a fake Clerk API, and calls its admin API.
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

// Sim is a running clerk-sim.
type Sim struct {
	t testing.TB

	URL      string `json:"url"`
	AdminURL string `json:"admin_url"`
}

// Start starts a clerk-sim that ends with the test, or with the test's process. The environment variable CLERK_SIM is the
// path of the program.
func Start(t testing.TB) *Sim {
	t.Helper()
	path := os.Getenv("CLERK_SIM")
	if path == "" {
		t.Fatal("CLERK_SIM must be the path of clerk-sim; bindings/go/test.sh sets it")
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

// Admin calls the admin API. The body is a JSON string or a value to marshal; the response is unmarshaled into out unless
// that is nil.
func (s *Sim) Admin(method, path string, body, out any) {
	s.t.Helper()
	var data []byte
	switch body := body.(type) {
	case nil:
	case string:
		data = []byte(body)
	case json.RawMessage:
		data = body
	default:
		var err error
		data, err = json.Marshal(body)
		check(s.t, err)
	}
	request, err := http.NewRequest(method, s.AdminURL+path, bytes.NewReader(data))
	check(s.t, err)
	response, err := http.DefaultClient.Do(request)
	check(s.t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	check(s.t, err)
	if response.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, got)
	}
	if out != nil {
		check(s.t, json.Unmarshal(got, out))
	}
}

// Mint returns a token; the README of clerk-sim describes the specification.
func (s *Sim) Mint(format string, values ...any) string {
	s.t.Helper()
	var minted struct{ Token string }
	s.Admin("POST", "/mint", fmt.Sprintf(format, values...), &minted)
	return minted.Token
}

// Session returns a session token of a user.
func (s *Sim) Session(user string) string { return s.Mint(`{"user": %q}`, user) }

// User sets a user, given as a JSON object.
func (s *Sim) User(id, user string) { s.t.Helper(); s.Admin("PUT", "/users/"+id, user, nil) }

// Down makes the API refuse connections, or accept them again.
func (s *Sim) Down(down bool) {
	s.t.Helper()
	s.Admin("PUT", "/down", map[string]bool{"down": down}, nil)
}

// Faults replaces the list of faults.
func (s *Sim) Faults(faults string) { s.t.Helper(); s.Admin("PUT", "/faults", faults, nil) }

// Count returns the number of requests for a path.
func (s *Sim) Count(path string) int {
	s.t.Helper()
	var counts struct {
		ByPath map[string]int `json:"by_path"`
	}
	s.Admin("GET", "/counts", nil, &counts)
	return counts.ByPath[path]
}

// Delivery returns a signed webhook delivery.
func (s *Sim) Delivery(spec string) (http.Header, []byte) {
	s.t.Helper()
	var delivery struct {
		Headers map[string]string
		Body    string
	}
	s.Admin("POST", "/webhook", spec, &delivery)
	header := http.Header{}
	for name, value := range delivery.Headers {
		header.Set(name, value)
	}
	return header, []byte(delivery.Body)
}

// WebhookSecret is the secret that signs the deliveries.
const WebhookSecret = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE="
