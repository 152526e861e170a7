//go:build cgo

package clerkauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// authContext is a context that carries the result of a middleware. It is one allocation where two context.WithValue would
// be four.
type authContext struct {
	context.Context
	client *Client
	params requestParams
	at     time.Duration
	auth   *Auth
	err    *Error
	isSent bool
}

// page returns what the handshake adds to the response, unless it was sent.
func (a *authContext) page() *Page {
	switch {
	case a.isSent:
		return nil
	case a.err != nil:
		return a.err.Page
	}
	return a.auth.Page()
}

// maxReuse is how long an inner middleware may reuse the result of an outer one. A context can live as long as a connection.
const maxReuse = time.Second

// isReusable reports whether the result is the one of a request with these parameters, and new.
func (a *authContext) isReusable(params *requestParams) bool {
	return a.params == *params && uptime()-a.at < maxReuse
}

var start = time.Now()

// uptime returns the time since the start of the process. It reads one clock, where time.Now reads two.
func uptime() time.Duration { return time.Since(start) }

// clientKey finds the result of one client's middleware, innermostKey that of the innermost one.
type clientKey struct{ client *Client }

type innermostKey struct{}

func (a *authContext) Value(key any) any {
	switch key := key.(type) {
	case clientKey:
		if key.client == a.client {
			return a
		}
	case innermostKey:
		return a
	}
	return a.Context.Value(key)
}

// RequireAuth returns a middleware that passes on signed-in requests only; [Config.ErrorHandler] responds to others. next
// gets the [Auth] from [FromContext]. Routers with a Use method, such as chi and gorilla/mux, take it as it is:
// r.Use(client.RequireAuth).
func (c *Client) RequireAuth(next http.Handler) http.Handler { return c.Require(nil)(next) }

// Require returns a middleware like [Client.RequireAuth] that also responds with 403 to requests for which allowed returns
// false.
func (c *Client) Require(allowed func(*Auth) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, result := c.authenticateRequest(r)
			switch {
			case result.page().write(w):
			case result.err != nil:
				c.handleError(w, r, result.err)
			case allowed != nil && !allowed(result.auth):
				c.handleError(w, r, c.forbidden())
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// WithAuth returns a middleware that passes on every request. next gets the [Auth] from [FromContext] if the request is
// signed in, and the error from [ErrorFromContext] if it is not. Do not respond with 401 to [ErrUnavailable].
func (c *Client) WithAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, result := c.authenticateRequest(r)
		if !result.page().write(w) {
			next.ServeHTTP(w, r)
		}
	})
}

// OptionalAuth returns a middleware like [Client.WithAuth] that passes on requests without credentials and signed-in ones.
// [Config.ErrorHandler] responds to a request with an invalid token, and to one whose result is unavailable.
func (c *Client) OptionalAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, result := c.authenticateRequest(r)
		switch {
		case result.page().write(w):
		case result.err != nil && !isAnonymous(result.err):
			c.handleError(w, r, result.err)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func isAnonymous(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Anonymous
}

// RequireReverification returns a middleware like [Client.RequireAuth] for routes that need a factor which was verified recently
// (see [Auth.HasReverification]). It responds to others in the form for which Clerk's frontend libraries ask for the factor. It
// panics if there is no such level, which would reject every request.
func (c *Client) RequireReverification(level string) func(http.Handler) http.Handler {
	if !reverificationLevel.MatchString(level) {
		panic("clerkauth: RequireReverification: invalid level " + strconv.Quote(level))
	}
	return func(next http.Handler) http.Handler {
		return c.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if auth, _ := FromContext(r.Context()); auth.HasReverification(level) {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("WWW-Authenticate", c.forbidden().WWWAuthenticate)
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(reverificationError(level))
		}))
	}
}

var reverificationLevel = regexp.MustCompile(`^(strict_mfa|strict|moderate|lax|(first|second|multi)_factor:[1-9][0-9]{0,8})$`)

func reverificationError(level string) any {
	var reverification any = level
	if factor, minutes, found := strings.Cut(level, ":"); found {
		after, _ := strconv.Atoi(minutes)
		reverification = map[string]any{"level": factor, "afterMinutes": after}
	}
	return map[string]any{"clerk_error": map[string]any{"type": "forbidden", "reason": "reverification-error",
		"metadata": map[string]any{"reverification": reverification}}}
}

// handleError calls Config.ErrorHandler, which a client that New did not create has not.
func (c *Client) handleError(w http.ResponseWriter, r *http.Request, err *Error) {
	if c == nil || c.errorHandler == nil {
		WriteError(w, r, err)
		return
	}
	c.errorHandler(w, r, err)
}

// authenticateRequest authenticates r and returns it with the result in its context. It reuses the result of an outer
// middleware of the same client for the same header lines and for a second only: a handler may build requests of its own in
// that context, and a context may outlive the token.
func (c *Client) authenticateRequest(r *http.Request) (*http.Request, *authContext) {
	result := &authContext{Context: r.Context(), client: c}
	c.readParams(&result.params, r)
	if outer, ok := result.Context.Value(clientKey{c}).(*authContext); ok && outer.isReusable(&result.params) {
		// The outer middleware has sent the page.
		*result = *outer
		result.isSent = true
		return r, result
	}
	auth, err := c.authenticate(result.Context, &result.params)
	if err != nil {
		result.err = asError(err)
	} else {
		result.auth = auth
	}
	result.at = uptime()
	return r.WithContext(result), result
}

func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Status: http.StatusInternalServerError, kind: ErrInternal, cause: err}
}

// FromContext returns the result of the innermost middleware. It returns nil and false if the request is not signed in or
// did not pass a middleware.
func FromContext(ctx context.Context) (*Auth, bool) {
	result, ok := ctx.Value(innermostKey{}).(*authContext)
	if !ok || result.err != nil || !result.auth.IsAuthenticated() {
		return nil, false
	}
	return result.auth, true
}

// ContextWithAuth returns a context in which [FromContext] returns auth, for the tests of handlers without their middleware and
// for middlewares of one's own. A nil auth is a request that is not signed in, with the error [ErrNoCredentials].
func ContextWithAuth(ctx context.Context, auth *Auth) context.Context {
	result := &authContext{Context: ctx, auth: auth}
	if !auth.IsAuthenticated() {
		result.auth, result.err = nil, &Error{Category: CategoryNoCredentials, Status: http.StatusUnauthorized, kind: ErrNoCredentials, Anonymous: true}
	}
	return result
}

// ErrorFromContext returns why the request is not signed in, for handlers behind [Client.WithAuth]; nil if it is. The error
// is [ErrArgument] if the request did not pass a middleware.
func ErrorFromContext(ctx context.Context) error {
	result, ok := ctx.Value(innermostKey{}).(*authContext)
	switch {
	case !ok:
		return usageError(ErrArgument, "the request did not pass a middleware of clerkauth")
	case result.err != nil:
		return result.err
	}
	return nil
}

// SessionClaimsFromContext returns the claims of the request's token under the names of clerk-sdk-go; false if the request
// is not signed in or its token is opaque.
func SessionClaimsFromContext(ctx context.Context) (*SessionClaims, bool) {
	auth, _ := FromContext(ctx)
	claims := auth.SessionClaims()
	return claims, claims != nil
}

func (c *Client) forbidden() *Error {
	challenge := `Bearer error="insufficient_scope"`
	if c.realm != "" {
		challenge = "Bearer realm=" + strconv.Quote(c.realm) + `, error="insufficient_scope"`
	}
	return &Error{
		Category: CategoryForbidden, Status: http.StatusForbidden, WWWAuthenticate: challenge,
		kind: ErrSignedOut, message: "the condition of Client.Require is not met",
	}
}

// WriteError writes the response to a request that was not accepted: the status, WWW-Authenticate, Retry-After, and the
// category as JSON, such as {"error":"invalid_token"}. It reveals nothing else to the client.
//
// With a [Page] it writes the redirect instead, or also the cookies, unless a middleware has sent them.
func WriteError(w http.ResponseWriter, _ *http.Request, err *Error) {
	header := w.Header()
	if err.Page != nil && len(header["Set-Cookie"]) == 0 && err.Page.write(w) {
		return
	}
	if err.WWWAuthenticate != "" {
		header.Set("WWW-Authenticate", err.WWWAuthenticate)
	}
	if err.RetryAfter > 0 {
		seconds := (err.RetryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(err.Status)
	code := err.Category.String()
	if code == "" {
		code = "internal_error"
	}
	_, _ = w.Write([]byte(`{"error":"` + code + "\"}\n"))
}
