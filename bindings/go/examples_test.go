package clerkauth_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// started builds and starts an example, and gives its address.
func started(t *testing.T, name string, environment ...string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if said, err := exec.Command("go", "build", "-o", path, "./examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	command := exec.Command(path)
	command.Env = append(os.Environ(), environment...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func call(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(body))
}

func TestTheFirstExampleOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	first, _, _ := strings.Cut(rest, "```")
	if first != string(program) {
		t.Error("the first example of the README is not examples/hello/main.go")
	}
	sim := simtest.Start(t)
	url := started(t, "hello", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL)
	status, body := call(t, "GET", url, sim.Session("user_1"))
	expect(t, status, 200)
	expect(t, body, "hello user_1")
	status, _ = call(t, "GET", url, "")
	expect(t, status, 401)
}

func TestTheShop(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	url := started(t, "shop", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL,
		"CLERK_WEBHOOK_SIGNING_SECRET="+simtest.WebhookSecret)
	token := sim.Session("user_ada")
	clerk := sim.Mint(`{"user": "user_ada", "org": {"id": "org_1", "slug": "acme", "role": "clerk", "permissions": ["org:orders:refund"]}}`)
	for _, try := range []struct {
		method, path, token, body string
		status                    int
	}{
		{"GET", "/", "", "welcome", 200},
		{"GET", "/", token, "welcome back, Ada", 200},
		{"GET", "/orders", "", `{"error":"no_credentials"}`, 401},
		{"GET", "/orders", token, "Ada, customer 1, has no orders", 200},
		{"POST", "/refund", token, `{"error":"forbidden"}`, 403},
		{"POST", "/refund", clerk, "refunded by user_ada for acme", 200},
	} {
		status, body := call(t, try.method, url+try.path, try.token)
		if status != try.status || body != try.body {
			t.Errorf("%s %s: %d %q", try.method, try.path, status, body)
		}
	}
	header, body := sim.Delivery(`{"type": "user.deleted", "id": "user_ada"}`)
	request, err := http.NewRequest("POST", url+"/webhooks/clerk", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	answer, err := http.DefaultClient.Do(request)
	expect(t, err == nil && answer.StatusCode == 200, true)
	status, _ := call(t, "GET", url+"/orders", token)
	expect(t, status, 401)
}
