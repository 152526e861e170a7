package clerkauth_test

import (
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func simOutput(f *testing.F, arguments ...string) string {
	f.Helper()
	output, err := exec.Command(os.Getenv("CLERK_SIM"), arguments...).Output()
	if err != nil {
		f.Fatalf("CLERK_SIM must be the path of clerk-sim; bindings/go/test.sh sets it: %v", err)
	}
	return strings.TrimSpace(string(output))
}

// fuzzNow is the time of the clients in these tests: the valid token is the same in all processes and runs, and so in the
// cached inputs of earlier runs.
const fuzzNow = 1800000000

func validToken(f *testing.F) string {
	f.Helper()
	return simOutput(f, "mint", "--user", "user_1", "--sid", "sess_1", "--claim", "fva=[-1,-1]", "--claim", `jti="jti_1"`,
		"--exp-in", "60", "--now", strconv.Itoa(fuzzNow))
}

// newOfflineClient returns a client that needs no network.
func newOfflineClient(f *testing.F) *clerkauth.Client {
	f.Helper()
	client, err := clerkauth.New(clerkauth.Config{
		JWTKey: simOutput(f, "key", "--name", "k1", "--form", "pem"), WebhookSecrets: []string{simtest.WebhookSecret},
		Clock: func() time.Time { return time.Unix(fuzzNow, 0) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Close() })
	return client
}

// No combination of headers is accepted without the valid token.
func FuzzHeaders(f *testing.F) {
	client := newOfflineClient(f)
	token := validToken(f)
	f.Add("Bearer "+token, "", "", "")
	f.Add("", "", "a=b; __session="+token, "")
	f.Add("Bearer "+token, "Bearer "+token, "", "__session="+token)
	f.Add("bearer\t"+token[:40], "", "__session=\"\"", "\x00\xff")
	f.Fuzz(func(t *testing.T, first, second, cookie, more string) {
		header := http.Header{"Authorization": {first}, "Cookie": {cookie}}
		if second != "" {
			header["Authorization"] = append(header["Authorization"], second)
		}
		if more != "" {
			header["Cookie"] = append(header["Cookie"], more)
		}
		auth, err := client.Authenticate(background, &http.Request{Method: "GET", Header: header})
		if strings.HasPrefix(outcome(auth, err), "not exactly one") {
			t.Fatal(auth, err)
		}
		if err == nil && (auth.UserID() != "user_1" || !strings.Contains(first+second+cookie+more, token)) {
			t.Fatal(auth.UserID())
		}
		_, _ = client.VerifyToken(background, first)
	})
}

// No delivery is accepted without a valid signature.
func FuzzWebhook(f *testing.F) {
	client := newOfflineClient(f)
	f.Add("msg_1", "1700000000", "v1,AAAA", []byte(`{"type": "user.deleted", "data": {"id": "user_1"}}`))
	f.Add("", "\x00", "v1,", []byte{})
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		header := http.Header{"Svix-Id": {id}, "Svix-Timestamp": {at}, "Svix-Signature": {signature}}
		if applied, err := client.HandleWebhook(background, header, body); err == nil || applied {
			t.Fatal("accepted")
		}
	})
}

// Every check fails for a user without an organization.
func FuzzAuthChecks(f *testing.F) {
	client := newOfflineClient(f)
	auth, err := client.Authenticate(background, bearerRequest(validToken(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("org:admin")
	f.Add("first_factor:99999999999999999999")
	f.Fuzz(func(t *testing.T, value string) {
		if auth.HasRole(value) || auth.HasPermission(value) || auth.HasFeature(value) || auth.HasPlan(value) ||
			auth.HasReverification(value) {
			t.Fatalf("%q", value)
		}
		_, _ = auth.Claim(value)
	})
}
