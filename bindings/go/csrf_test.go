package clerkauth_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

func TestCSRFCheckReadsMethodHostOriginAndFetchSite(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) {
		c.Csrf, c.AuthorizedParties = "check", []string{"https://app.example.com"}
	})
	token := sim.Mint(`{"user": "user_1", "azp": "https://app.example.com"}`)
	for _, test := range []struct {
		method  string
		headers [][2]string
		passes  bool
	}{
		{"GET", nil, true},
		{"", nil, true},
		{"POST", nil, false},
		{"get", nil, false},
		{"POST", [][2]string{{"Sec-Fetch-Site", "same-origin"}}, true},
		{"POST", [][2]string{{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "same-origin"}}, false},
		{"POST", [][2]string{{"Sec-Fetch-Site", ""}, {"Origin", "https://shop.example.com"}}, false},
		{"POST", [][2]string{{"Origin", "https://shop.example.com"}}, true},
		{"DELETE", [][2]string{{"Origin", "https://app.example.com"}}, true},
		{"POST", [][2]string{{"Origin", "https://evil.example.com"}}, false},
		{"POST", [][2]string{{"Origin", "https://shop.example.com"}, {"Origin", "https://shop.example.com"}}, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.Host = test.method, "shop.example.com"
		r.Header.Set("Cookie", "__session="+token)
		for _, header := range test.headers {
			r.Header.Add(header[0], header[1])
		}
		auth, err := client.Authenticate(background, r)
		if got := outcome(auth, err); (err == nil) != test.passes || (err != nil && got != "rejected csrf-failed") {
			t.Errorf("%q %v: %s", test.method, test.headers, got)
		}
	}
}

func TestCredentialIsFound(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	r := httptest.NewRequest("GET", "/", nil)
	check := func(token string, source clerkauth.TokenSource) {
		t.Helper()
		gotToken, gotSource, err := client.Credential(r)
		if gotToken != token || gotSource != source || err != nil {
			t.Errorf("got %q, %v, %v", gotToken, gotSource, err)
		}
	}
	check("", clerkauth.TokenSourceNone)
	r.Header.Set("Cookie", "a=b; __session=tok")
	check("tok", clerkauth.TokenSourceCookie)
	r.Header.Set("Authorization", "Bearer other")
	check("other", clerkauth.TokenSourceHeader)
	r.Header.Set("Authorization", "Bearer")
	check("", clerkauth.TokenSourceHeader)
}

func TestTokenHashIsOnAuthAndError(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim)
	auth, err := client.Authenticate(background, bearerRequest(sim.Session("user_1")))
	if err != nil || len(auth.TokenHash()) != 75 {
		t.Errorf("%q, %v", auth.TokenHash(), err)
	}
	_, err = client.Authenticate(background, bearerRequest("abc"))
	assertEqual(t, err.(*clerkauth.Error).TokenHash, "clerk:auth:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
}

func TestRejectedTokenIsExplained(t *testing.T) {
	sim := simtest.Start(t)
	client := newClient(t, sim, func(c *clerkauth.Config) { c.AuthorizedParties = []string{"https://a.example"} })
	assertEqual(t, client.WarmUp(background), nil)
	token := sim.Mint(`{"user": "user_1", "azp": "https://b.example"}`)
	explanation, err := client.Explain(token)
	if err != nil {
		t.Fatal(err)
	}
	assertEqual(t, explanation.Reason, "token-invalid-authorized-parties")
	assertEqual(t, authenticate(client, token), "rejected "+explanation.Reason)
	assertEqual(t, explanation.Summary, `azp "https://b.example" not in authorized_parties`)
	var failed []string
	for _, check := range explanation.Checks {
		if check.Status == "failed" {
			failed = append(failed, check.Name)
		}
	}
	assertEqual(t, strings.Join(failed, " "), "azp")
	if strings.Contains(explanation.Text, token[len(token)-40:]) {
		t.Error("the signature is shown")
	}
	explanation, err = client.Explain("\xff")
	if err != nil || !explanation.Rejected || explanation.Kind != "" {
		t.Errorf("%+v, %v", explanation, err)
	}
}

func TestRevocationsAreExported(t *testing.T) {
	sim := simtest.Start(t)
	first, second := newClient(t, sim), newClient(t, sim)
	tokens := []string{sim.Mint(`{"user": "user_1", "sid": "sess_1"}`), sim.Session("user_2")}
	for _, token := range tokens {
		assertEqual(t, authenticate(second, token), "ok verified")
	}
	assertEqual(t, first.RevokeSession("sess_1"), nil)
	assertEqual(t, first.RevokeUser("user_2"), nil)
	if first.RevokeUser("sess_1") == nil || second.ImportRevocations("{}") == nil {
		t.Error("an invalid argument was accepted")
	}
	for i := range 100 {
		assertEqual(t, first.RevokeSession("sess_more_"+string(rune('a'+i%26))+string(rune('a'+i/26))), nil)
	}
	json, err := first.ExportRevocations()
	assertEqual(t, err, nil)
	assertEqual(t, second.ImportRevocations(json), nil)
	for _, token := range tokens {
		assertEqual(t, authenticate(second, token), "rejected session-revoked")
	}
}
