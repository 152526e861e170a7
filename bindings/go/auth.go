package clerkauth

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Auth is the result of a signed-in request. It is immutable, safe for concurrent use, and shared by all requests with the
// same token; it stays valid after the client is closed. The methods of a nil Auth may be called: the strings are empty, and
// every check is false.
type Auth struct {
	result *authResult
	user   *User
	rows   *rowCache
	page   *Page
}

// authResult owns references to a result of the library. Its finalizer frees them.
type authResult struct {
	c          *C.clerk_result
	refs       atomic.Uint64 // references taken by addRef
	userID     string
	tokenHash  string
	attributes [C.CLERKGO_ATTRIBUTES]string
	source     Source
	kind       TokenKind
	expiresAt  int64
	ages       [2]int64
	hasAges    bool
	once       sync.Once
	claims     *SessionClaims // decoded on first use
}

// newAuth takes ownership of a result. It returns nil unless the result is signed in.
func newAuth(c *C.clerk_result) *Auth {
	var view C.clerkgo_result_view
	C.clerkgo_read_result(c, &view)
	if view.status != C.CLERK_OK || view.source == 0 || view.attributes[C.CLERK_ATTRIBUTE_SUBJECT].len == 0 {
		C.clerk_result_free(c)
		return nil
	}
	result := &authResult{
		c: c, source: Source(view.source), kind: TokenKind(view.token_kind), expiresAt: int64(view.expires_at_ms),
		ages: [2]int64{-1, -1}, hasAges: view.has_factor_ages == 1,
	}
	if result.hasAges {
		result.ages = [2]int64{int64(view.first_factor_age), int64(view.second_factor_age)}
	}
	result.copyStrings(&view)
	result.tokenHash = goString(view.token_hash)
	// The runtime does not finalize objects in a reference cycle: nothing in an authResult may refer to it.
	runtime.SetFinalizer(result, func(r *authResult) {
		C.clerkgo_free_results(r.c, C.size_t(1+r.refs.Load()%refBatch))
	})
	return &Auth{result: result, page: newPage(c, &view)}
}

// refBatch is how many references are freed per cgo call: one call for each would cost more than the reference.
const refBatch = 64

// addRef takes ownership of one more reference to the result, which came with a cache hit.
func (r *authResult) addRef() {
	if r.refs.Add(1)%refBatch == 0 {
		C.clerkgo_free_results(r.c, refBatch)
	}
}

// copyStrings copies all attributes with one allocation.
func (r *authResult) copyStrings(view *C.clerkgo_result_view) {
	size := 0
	for i := range view.attributes {
		size += int(view.attributes[i].len)
	}
	var all strings.Builder
	all.Grow(size)
	for i := range view.attributes {
		s := &view.attributes[i]
		all.Write(unsafe.Slice((*byte)(unsafe.Pointer(s.data)), int(s.len)))
	}
	rest := all.String()
	for i := range view.attributes {
		r.attributes[i], rest = rest[:view.attributes[i].len], rest[view.attributes[i].len:]
	}
	if view.user_id.data != nil {
		r.userID = r.attributes[C.CLERK_ATTRIBUTE_SUBJECT]
	}
}

// IsAuthenticated reports whether the request is signed in. It is false only for a nil or zero Auth.
func (a *Auth) IsAuthenticated() bool { return a != nil && a.result != nil }

func (a *Auth) attribute(i int) string {
	if !a.IsAuthenticated() {
		return ""
	}
	return a.result.attributes[i]
}

// UserID returns the id of the Clerk user, user_…; "" for machine tokens.
func (a *Auth) UserID() string {
	if !a.IsAuthenticated() {
		return ""
	}
	return a.result.userID
}

// UserKey returns the key of the user's row in the user store; "" unless user_mode is "sync".
func (a *Auth) UserKey() string { return a.attribute(C.CLERK_ATTRIBUTE_USER_KEY) }

// LocalUser returns the user's row, as the user store returned it last: during this request, or at most row_check_ttl_s ago. All
// requests share it: do not change it. It is nil without a user store, and if more users than cache_capacity were seen since.
func (a *Auth) LocalUser() *User {
	if !a.IsAuthenticated() {
		return nil
	}
	if a.user == nil {
		return a.rows.get(a.UserKey())
	}
	return a.user
}

// Subject returns the claim sub: the Clerk user or the machine.
func (a *Auth) Subject() string { return a.attribute(C.CLERK_ATTRIBUTE_SUBJECT) }

// SessionID returns the claim sid; "" if the token has none.
func (a *Auth) SessionID() string { return a.attribute(C.CLERK_ATTRIBUTE_SESSION_ID) }

// SessionStatus returns the claim sts.
func (a *Auth) SessionStatus() string { return a.attribute(C.CLERK_ATTRIBUTE_SESSION_STATUS) }

// Issuer returns the claim iss.
func (a *Auth) Issuer() string { return a.attribute(C.CLERK_ATTRIBUTE_ISSUER) }

// AuthorizedParty returns the claim azp.
func (a *Auth) AuthorizedParty() string { return a.attribute(C.CLERK_ATTRIBUTE_AUTHORIZED_PARTY) }

// OrgID returns the id of the active organization.
func (a *Auth) OrgID() string { return a.attribute(C.CLERK_ATTRIBUTE_ORG_ID) }

// OrgSlug returns the slug of the active organization.
func (a *Auth) OrgSlug() string { return a.attribute(C.CLERK_ATTRIBUTE_ORG_SLUG) }

// OrgRole returns the user's role in the active organization, with the prefix "org:".
func (a *Auth) OrgRole() string { return a.attribute(C.CLERK_ATTRIBUTE_ORG_ROLE) }

// OrgPermissions returns the user's permissions in the active organization.
func (a *Auth) OrgPermissions() []string {
	return split(a.attribute(C.CLERK_ATTRIBUTE_ORG_PERMISSIONS), ",")
}

// Features returns the claim fea.
func (a *Auth) Features() string { return a.attribute(C.CLERK_ATTRIBUTE_FEATURES) }

// Plans returns the claim pla.
func (a *Auth) Plans() string { return a.attribute(C.CLERK_ATTRIBUTE_PLANS) }

// Actor returns the subject of the claim act: the user who impersonates this one.
func (a *Auth) Actor() string { return a.attribute(C.CLERK_ATTRIBUTE_ACTOR) }

// TokenID returns the id of a machine token.
func (a *Auth) TokenID() string { return a.attribute(C.CLERK_ATTRIBUTE_TOKEN_ID) }

// TokenHash returns the hash of the token, as events have it.
func (a *Auth) TokenHash() string {
	if !a.IsAuthenticated() {
		return ""
	}
	return a.result.tokenHash
}

// TokenName returns the name of an API key.
func (a *Auth) TokenName() string { return a.attribute(C.CLERK_ATTRIBUTE_TOKEN_NAME) }

// ClientID returns the id of the OAuth client.
func (a *Auth) ClientID() string { return a.attribute(C.CLERK_ATTRIBUTE_CLIENT_ID) }

// Scopes returns the scopes of a machine token.
func (a *Auth) Scopes() []string { return split(a.attribute(C.CLERK_ATTRIBUTE_SCOPES), " ") }

// Email returns the user's email address; "" unless user_mode is "profile" or "sync".
func (a *Auth) Email() string { return a.attribute(C.CLERK_ATTRIBUTE_EMAIL) }

// Username returns the user's username; "" unless user_mode is "profile" or "sync".
func (a *Auth) Username() string { return a.attribute(C.CLERK_ATTRIBUTE_USERNAME) }

// FirstName returns the user's first name; "" unless user_mode is "profile" or "sync".
func (a *Auth) FirstName() string { return a.attribute(C.CLERK_ATTRIBUTE_FIRST_NAME) }

// LastName returns the user's last name; "" unless user_mode is "profile" or "sync".
func (a *Auth) LastName() string { return a.attribute(C.CLERK_ATTRIBUTE_LAST_NAME) }

// ImageURL returns the URL of the user's picture; "" unless user_mode is "profile" or "sync".
func (a *Auth) ImageURL() string { return a.attribute(C.CLERK_ATTRIBUTE_IMAGE_URL) }

// ExternalID returns the user's external_id at Clerk; "" unless user_mode is "profile" or "sync".
func (a *Auth) ExternalID() string { return a.attribute(C.CLERK_ATTRIBUTE_EXTERNAL_ID) }

// Source reports whether the result came from the cache or the token was verified for this request.
func (a *Auth) Source() Source {
	if !a.IsAuthenticated() {
		return 0
	}
	return a.result.source
}

// TokenKind returns the kind of the token.
func (a *Auth) TokenKind() TokenKind {
	if !a.IsAuthenticated() {
		return 0
	}
	return a.result.kind
}

// ExpiresAt returns when the token expires; the zero time if it does not.
func (a *Auth) ExpiresAt() time.Time {
	if !a.IsAuthenticated() || a.result.expiresAt == 0 {
		return time.Time{}
	}
	return time.UnixMilli(a.result.expiresAt)
}

// FactorVerificationAge returns the claim fva: the minutes since the first and the second factor were verified, -1 for a
// factor that was not. The boolean reports whether the token has the claim.
func (a *Auth) FactorVerificationAge() ([2]int64, bool) {
	if !a.IsAuthenticated() {
		return [2]int64{-1, -1}, false
	}
	return a.result.ages, a.result.hasAges
}

// HasRole reports whether the user has a role in the active organization: "org:admin", or "admin" for short.
func (a *Auth) HasRole(role string) bool { return a.has(C.CLERK_CHECK_ROLE, role) }

// HasPermission reports whether the user has a permission in the active organization: "org:invoices:create", or
// "invoices:create" for short.
func (a *Auth) HasPermission(permission string) bool {
	return a.has(C.CLERK_CHECK_PERMISSION, permission)
}

// HasFeature reports whether the user or the active organization has a feature. The prefixes "user:" and "org:" restrict
// the check to one of them.
func (a *Auth) HasFeature(feature string) bool { return a.has(C.CLERK_CHECK_FEATURE, feature) }

// HasPlan reports whether the user or the active organization has a plan. The prefixes "user:" and "org:" restrict the
// check to one of them.
func (a *Auth) HasPlan(plan string) bool { return a.has(C.CLERK_CHECK_PLAN, plan) }

// HasReverification reports whether the user verified their factors recently enough for a level: "strict_mfa", "strict",
// "moderate", "lax", or a factor and an age in minutes, such as "first_factor:10".
func (a *Auth) HasReverification(level string) bool {
	return a.has(C.CLERK_CHECK_REVERIFICATION, level)
}

func (a *Auth) has(check C.int32_t, value string) bool {
	if !a.IsAuthenticated() {
		return false
	}
	defer runtime.KeepAlive(a.result)
	return C.clerkgo_has(a.result.c, check, cData(value), C.size_t(len(value))) == 1
}

// ClaimsJSON returns all claims of the token as a JSON object; "" for opaque machine tokens.
func (a *Auth) ClaimsJSON() string { return a.attribute(C.CLERK_ATTRIBUTE_CLAIMS) }

// Claim returns one claim as JSON, by its name or by a JSON Pointer such as "/o/id". The boolean reports whether the token
// has it.
func (a *Auth) Claim(path string) (json.RawMessage, bool) {
	if !a.IsAuthenticated() {
		return nil, false
	}
	defer runtime.KeepAlive(a.result)
	for buffer := make([]byte, 256); ; {
		var needed C.size_t
		status := C.clerk_result_claim(a.result.c, cStr(path), (*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), &needed)
		if status == C.CLERK_OK {
			return buffer[:needed:needed], true
		}
		if status != C.CLERK_E_ARGUMENT || int(needed) < len(buffer) {
			return nil, false
		}
		buffer = make([]byte, needed+1)
	}
}

// SessionClaims returns a copy of the claims under the names of clerk-sdk-go; nil for opaque machine tokens.
func (a *Auth) SessionClaims() *SessionClaims {
	if !a.IsAuthenticated() {
		return nil
	}
	a.result.once.Do(func() { a.result.claims = decodeClaims(a.result) })
	if a.result.claims == nil {
		return nil
	}
	return a.result.claims.clone(a)
}

func split(s, separator string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, separator)
}
