package clerkauth_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// issuer signs the session tokens of the examples, in place of Clerk.
type issuer struct{ key *rsa.PrivateKey }

var exampleIssuer = newIssuer()

func newIssuer() issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return issuer{key}
}

// publicKey returns the public key as PEM, as the Clerk dashboard shows it.
func (i issuer) publicKey() string {
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// token returns a session token of a user that expires in the given number of seconds.
func (i issuer) token(user string, expiresIn int64) string {
	now := time.Now().Unix()
	encode := func(value any) string {
		data, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := encode(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": "https://clerk.example.com", "sub": user, "sid": "sess_1",
		"iat": now - 120, "nbf": now - 120, "exp": now + expiresIn, "v": 2, "sts": "active",
	})
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// get sends a request with a token and returns the status and the body of the response.
func get(handler http.HandlerFunc, token string) string {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	recorder := httptest.NewRecorder()
	handler(recorder, r)
	return fmt.Sprintf("%d %s", recorder.Code, strings.TrimSpace(recorder.Body.String()))
}

const exampleWebhookSecret = "whsec_ZXhhbXBsZS13ZWJob29rLXNlY3JldC0wMDAx"

// signedDelivery returns a webhook delivery with a Svix signature.
func signedDelivery(path, body string) *http.Request {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleWebhookSecret, "whsec_"))
	if err != nil {
		panic(err)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "msg_1.%s.%s", timestamp, body)
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Svix-Id", "msg_1")
	r.Header.Set("Svix-Timestamp", timestamp)
	r.Header.Set("Svix-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return r
}

// exampleAPI serves the user of the examples, in place of Clerk's Backend API.
func exampleAPI() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/users/user_ada") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id": "user_ada", "object": "user", "username": "ada", "first_name": "Ada", "last_name": null,
			"banned": false, "locked": false, "created_at": 1700000000000, "updated_at": 1700000000000,
			"primary_email_address_id": "idn_1", "email_addresses": [{"id": "idn_1", "object": "email_address",
			"email_address": "ada@example.com", "verification": {"status": "verified", "strategy": "email_code"}}]}`)
	}))
}
