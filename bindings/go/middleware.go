package clerkauth

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// answer is a context with what a middleware found out, for those behind it. One object, where two context.WithValue
// would be four.
type answer struct {
	context.Context
	client *Client
	given  credentials
	auth   *Auth
	err    *Error
}

type answerKey struct{ client *Client }

type latestKey struct{}

// RequireAuth lets in only requests of somebody who is signed in; others are answered by Config.OnFailure. Behind it
// [FromContext] says who it is. chi, gorilla/mux and the like take it as it is: r.Use(client.RequireAuth).
func (c *Client) RequireAuth(next http.Handler) http.Handler { return c.Require(nil)(next) }

// Require is RequireAuth with a demand: somebody who is signed in and for whom it is false gets 403.
func (c *Client) Require(demand func(*Auth) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, found := c.found(r)
			switch {
			case found.err != nil:
				c.refuse(w, r, found.err)
			case demand != nil && !demand(found.auth):
				c.refuse(w, r, c.forbidden())
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// WithAuth lets every request in. Behind it [FromContext] says who sent it, if somebody is signed in, and
// [ErrorFromContext] why nobody is: an outage is [ErrUnavailable] there, and no reason to answer 401.
func (c *Client) WithAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, _ = c.found(r)
		next.ServeHTTP(w, r)
	})
}

// refuse answers by Config.OnFailure; a client that New did not make has none.
func (c *Client) refuse(w http.ResponseWriter, r *http.Request, err *Error) {
	if c == nil || c.fail == nil {
		Fail(w, r, err)
		return
	}
	c.fail(w, r, err)
}

// found authenticates, unless a middleware of this client has done so before, for the same credentials: a handler may make
// requests of its own in the context of the one that it was given.
func (c *Client) found(r *http.Request) (*http.Request, *answer) {
	ctx, asked := r.Context(), linesOf(r)
	if before, ok := ctx.Value(answerKey{c}).(*answer); ok && before.given == asked.credentials {
		return r, before
	}
	auth, err := c.identify(ctx, asked)
	found := &answer{Context: ctx, client: c, given: asked.credentials, auth: auth}
	if err != nil {
		found.auth, found.err = nil, asError(err)
	}
	return r.WithContext(found), found
}

func (a *answer) Value(key any) any {
	switch key := key.(type) {
	case answerKey:
		if key.client == a.client {
			return a
		}
	case latestKey:
		return a
	}
	return a.Context.Value(key)
}

func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Status: http.StatusInternalServerError, kind: ErrInternal, cause: err}
}

// FromContext is who sent the request, as the innermost middleware found out. false, and a nil Auth, if nobody is signed
// in or there was no middleware.
func FromContext(ctx context.Context) (*Auth, bool) {
	found, ok := ctx.Value(latestKey{}).(*answer)
	if !ok || found.err != nil || !found.auth.IsAuthenticated() {
		return nil, false
	}
	return found.auth, true
}

// ErrorFromContext says why nobody is signed in behind [Client.WithAuth]; nil if somebody is. Without a middleware it is
// an [*Error] that is [ErrArgument].
func ErrorFromContext(ctx context.Context) error {
	found, ok := ctx.Value(latestKey{}).(*answer)
	switch {
	case !ok:
		return wrongUse(ErrArgument, "no middleware of clerkauth has seen the request")
	case found.err != nil:
		return found.err
	}
	return nil
}

// SessionClaimsFromContext are the claims of who sent the request, under clerk-sdk-go's names.
func SessionClaimsFromContext(ctx context.Context) (*SessionClaims, bool) {
	auth, _ := FromContext(ctx)
	claims := auth.SessionClaims()
	return claims, claims != nil
}

// forbidden is for somebody whom the host does not let in here.
func (c *Client) forbidden() *Error {
	challenge := `Bearer error="insufficient_scope"`
	if c.realm != "" {
		challenge = "Bearer realm=" + strconv.Quote(c.realm) + `, error="insufficient_scope"`
	}
	return &Error{
		Category: CategoryForbidden, Status: http.StatusForbidden, Challenge: challenge,
		kind: ErrSignedOut, message: "the host's demand is not met",
	}
}

// Fail answers a request that is not let in: the status, WWW-Authenticate, Retry-After, and the category's word as JSON.
// Nothing else about the reason reaches the client.
func Fail(w http.ResponseWriter, _ *http.Request, err *Error) {
	header := w.Header()
	if err.Challenge != "" {
		header.Set("WWW-Authenticate", err.Challenge)
	}
	if err.RetryAfter > 0 {
		seconds := (err.RetryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(err.Status)
	word := err.Category.String()
	if word == "" {
		word = "internal_error"
	}
	_, _ = w.Write([]byte(`{"error":"` + word + "\"}\n"))
}
