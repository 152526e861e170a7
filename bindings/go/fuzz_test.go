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

func simSays(f *testing.F, arguments ...string) string {
	f.Helper()
	said, err := exec.Command(os.Getenv("CLERK_SIM"), arguments...).Output()
	if err != nil {
		f.Fatalf("CLERK_SIM must name the built clerk-sim; bindings/go/test.sh sets it: %v", err)
	}
	return strings.TrimSpace(string(said))
}

// fuzzNow is when the clients of these tests live: the good token is the same in all processes and runs, so that inputs
// of earlier runs, which Go keeps, hold no other one.
const fuzzNow = 1800000000

func tokenOf(f *testing.F) string {
	f.Helper()
	return simSays(f, "mint", "--user", "user_1", "--sid", "sess_1", "--claim", "fva=[-1,-1]", "--claim", `jti="jti_1"`,
		"--exp-in", "60", "--now", strconv.Itoa(fuzzNow))
}

// offline makes a client that asks nobody.
func offline(f *testing.F) *clerkauth.Client {
	f.Helper()
	client, err := clerkauth.New(clerkauth.Config{
		JWTKey: simSays(f, "key", "--name", "k1", "--form", "pem"), WebhookSecrets: []string{simtest.WebhookSecret},
		Clock: func() time.Time { return time.Unix(fuzzNow, 0) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Close() })
	return client
}

// Whatever the lines are: nobody comes in without the one good token, and nothing breaks.
func FuzzLines(f *testing.F) {
	client := offline(f)
	token := tokenOf(f)
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
		if strings.HasPrefix(said(auth, err), "both") {
			t.Fatal(auth, err)
		}
		if err == nil && (auth.UserID() != "user_1" || !strings.Contains(first+second+cookie+more, token)) {
			t.Fatal(auth.UserID())
		}
		_, _ = client.VerifyToken(background, first)
	})
}

// Whatever the delivery is: without a secret's signature it is not Clerk's.
func FuzzDelivery(f *testing.F) {
	client := offline(f)
	f.Add("msg_1", "1700000000", "v1,AAAA", []byte(`{"type": "user.deleted", "data": {"id": "user_1"}}`))
	f.Add("", "\x00", "v1,", []byte{})
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		header := http.Header{"Svix-Id": {id}, "Svix-Timestamp": {at}, "Svix-Signature": {signature}}
		if applied, err := client.HandleWebhook(background, header, body); err == nil || applied {
			t.Fatal("taken for Clerk's")
		}
	})
}

// Whatever is asked of somebody who has nothing: the answer is no.
func FuzzDemands(f *testing.F) {
	client := offline(f)
	auth, err := client.Authenticate(background, bearer(tokenOf(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("org:admin")
	f.Add("first_factor:99999999999999999999")
	f.Fuzz(func(t *testing.T, demand string) {
		if auth.HasRole(demand) || auth.HasPermission(demand) || auth.HasFeature(demand) || auth.HasPlan(demand) ||
			auth.HasReverification(demand) {
			t.Fatalf("%q", demand)
		}
		_, _ = auth.Claim(demand)
	})
}
