package clerktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/clerktest"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	auth, _ := clerkauth.FromContext(r.Context())
	_, _ = fmt.Fprint(w, "hello ", auth.UserID())
})

func TestTokenIsAcceptedByItsOwnInstanceOnly(t *testing.T) {
	clerk := clerktest.New(t)
	client := clerk.Client()
	response := httptest.NewRecorder()
	client.RequireAuth(hello).ServeHTTP(response, clerk.Request("GET", "/", clerktest.User("user_ada")))
	if response.Code != http.StatusOK || response.Body.String() != "hello user_ada" {
		t.Error(response.Code, response.Body)
	}
	if clerk.Requests() != 0 {
		t.Error("a request for the token")
	}
	for want, token := range map[clerkauth.Reason]string{
		clerkauth.ReasonTokenExpired: clerk.Token(clerktest.ExpiresIn(-time.Minute)),
		clerkauth.ReasonTokenInvalid: clerk.Token() + "!",
	} {
		if _, err := client.VerifyToken(context.Background(), token); !errors.Is(err, want) {
			t.Error(want, err)
		}
	}
	others := []string{clerk.Token(clerktest.Claim("iss", "https://other.example")), clerktest.New(t).Token()}
	for _, token := range others {
		if _, err := client.VerifyToken(context.Background(), token); !errors.Is(err, clerkauth.ErrSignedOut) {
			t.Error(err)
		}
	}
}

func TestTokenHasOrganizationPermissionsFeaturesAndPlan(t *testing.T) {
	clerk := clerktest.New(t)
	auth, ok := clerkauth.FromContext(clerk.Context(context.Background(), clerktest.User("user_ada"), clerktest.Session("sess_1"),
		clerktest.Org("org_1", "org:admin", "org:invoices:create", "org:invoices:read", "org:reports:read"), clerktest.OrgSlug("acme"),
		clerktest.Features("export"), clerktest.Plan("gold"), clerktest.FactorAges(1, 2)))
	if !ok || auth.UserID() != "user_ada" || auth.SessionID() != "sess_1" || auth.OrgID() != "org_1" || auth.OrgSlug() != "acme" {
		t.Errorf("%+v", auth)
	}
	permissions := auth.OrgPermissions()
	slices.Sort(permissions)
	if !slices.Equal(permissions, []string{"org:invoices:create", "org:invoices:read", "org:reports:read"}) {
		t.Error(permissions)
	}
	if !auth.HasRole("org:admin") || !auth.HasFeature("org:export") || !auth.HasPlan("gold") || auth.HasPermission("org:reports:create") {
		t.Error("checks")
	}
	if ages, _ := auth.FactorVerificationAge(); ages != [2]int64{1, 2} {
		t.Error(ages)
	}
	if err := clerkauth.ErrorFromContext(clerkauth.ContextWithAuth(context.Background(), nil)); !errors.Is(err, clerkauth.ErrNoCredentials) {
		t.Error(err)
	}
}

func TestUsersWebhooksAndSessionsReachAClient(t *testing.T) {
	clerk := clerktest.New(t)
	config := clerk.Config()
	config.UserMode = "profile"
	config.SessionCheckTTLS = clerkauth.Int(5)
	client, err := clerkauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	clerk.SetUser(clerktest.Profile{ID: "user_ada", Email: "ada@example.com", Username: "ada"})
	request := clerk.Request("GET", "/", clerktest.User("user_ada"))
	if auth, err := client.Authenticate(context.Background(), request); err != nil || auth.Email() != "ada@example.com" {
		t.Error(auth.Email(), err)
	}
	clerk.SetUser(clerktest.Profile{ID: "user_ada", Banned: true})
	header, body := clerk.Webhook("user.updated", clerk.UserData("user_ada"))
	if applied, err := client.HandleWebhook(context.Background(), header, body); err != nil || !applied {
		t.Error(applied, err)
	}
	if _, err := client.Authenticate(context.Background(), request); !errors.Is(err, clerkauth.ReasonUserInactive) {
		t.Error(err)
	}
	clerk.EndSession("sess_ended")
	if _, err := client.Authenticate(context.Background(), clerk.Request("GET", "/", clerktest.Session("sess_ended"))); !errors.Is(err, clerkauth.ErrSignedOut) {
		t.Error(err)
	}
	if clerk.DeleteUser("user_ada"); clerk.UserData("user_ada") != nil {
		t.Error("the user exists")
	}
}
