package clerkauth_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// startProgram builds and starts a program in examples, and returns its address.
func startProgram(t *testing.T, name string, environment ...string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if output, err := exec.Command("go", "build", "-o", path, "./examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
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

func fetch(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

func TestREADMEHasHelloExample(t *testing.T) {
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
		t.Error("the first example of the README differs from examples/hello/main.go")
	}
	sim := simtest.Start(t)
	url := startProgram(t, "hello", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL)
	status, body := fetch(t, "GET", url, sim.Session("user_1"))
	assertEqual(t, status, 200)
	assertEqual(t, body, "hello user_1")
	status, _ = fetch(t, "GET", url, "")
	assertEqual(t, status, 401)
}

func TestShopExample(t *testing.T) {
	sim := simtest.Start(t)
	sim.User("user_ada", ada)
	url := startProgram(t, "shop", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL,
		"CLERK_WEBHOOK_SIGNING_SECRET="+simtest.WebhookSecret)
	token := sim.Session("user_ada")
	clerk := sim.Mint(`{"user": "user_ada", "org": {"id": "org_1", "slug": "acme", "role": "clerk", "permissions": ["org:orders:refund"]}}`)
	for _, test := range []struct {
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
		status, body := fetch(t, test.method, url+test.path, test.token)
		if status != test.status || body != test.body {
			t.Errorf("%s %s: %d %q", test.method, test.path, status, body)
		}
	}
	header, body := sim.Delivery(`{"type": "user.deleted", "id": "user_ada"}`)
	request, err := http.NewRequest("POST", url+"/webhooks/clerk", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	assertEqual(t, err == nil && response.StatusCode == 200, true)
	status, _ := fetch(t, "GET", url+"/orders", token)
	assertEqual(t, status, 401)
}

func TestTenantsExample(t *testing.T) {
	sim := simtest.Start(t)
	url := startProgram(t, "tenants", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL)
	token := func(party string) string { return sim.Mint(`{"user": "user_1", "azp": "` + party + `"}`) }
	ask := func(host, token string) (int, string) {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, strings.TrimSpace(string(body))
	}
	shop, admin := token("https://shop.example.com"), token("https://admin.example.com")
	// Twice: a result that one client has cached is none of the other's.
	for range 2 {
		for _, test := range []struct {
			host, token, body string
			status            int
		}{
			{"shop.example.com", shop, "user_1 at shop.example.com", 200},
			{"admin.example.com", admin, "user_1 at admin.example.com", 200},
			{"admin.example.com", shop, `{"error":"invalid_token"}`, 401},
			{"shop.example.com", admin, `{"error":"invalid_token"}`, 401},
			{"other.example.com", shop, "", 421},
		} {
			if status, body := ask(test.host, test.token); status != test.status || body != test.body {
				t.Errorf("%s: %d %q", test.host, status, body)
			}
		}
	}
}

func TestMetricsExample(t *testing.T) {
	sim := simtest.Start(t)
	url := startProgram(t, "metrics", "CLERK_SECRET_KEY=sk_test_go", "CLERK_API_URL="+sim.URL)
	token := sim.Session("user_1")
	for _, token := range []string{token, token, "", "nonsense"} {
		fetch(t, "GET", url, token)
	}
	status, metrics := fetch(t, "GET", url+"/metrics", "")
	assertEqual(t, status, 200)
	for _, line := range []string{
		`clerk_authentication_seconds_count{outcome="verified"} 1`,
		`clerk_authentication_seconds_count{outcome="cache"} 1`,
		`clerk_authentication_seconds_count{outcome="session-token-missing"} 1`,
		`clerk_authentication_seconds_bucket{outcome="token-invalid",le="+Inf"} 1`,
		"clerk_auth_cache_hits_total 1",
		"clerk_auth_jwks_fetches_total 1",
	} {
		if !strings.Contains(metrics+"\n", line+"\n") {
			t.Errorf("missing: %s\n%s", line, metrics)
		}
	}
	status, variables := fetch(t, "GET", url+"/debug/vars", "")
	assertEqual(t, status, 200)
	var published struct {
		Clerk struct {
			CacheHits   int
			Calls       []struct{ Endpoint, Status string }
			SharedCache struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(variables), &published); err != nil {
		t.Fatal(err)
	}
	assertEqual(t, published.Clerk.CacheHits, 1)
	assertEqual(t, published.Clerk.Calls[0].Endpoint+" "+published.Clerk.Calls[0].Status, "jwks success")
	assertEqual(t, published.Clerk.SharedCache.State, "off")
}
