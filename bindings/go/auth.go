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

// Auth is who is calling. It is immutable and may be kept; one Auth is shared by all requests with the same token. The
// methods of a nil Auth say that nobody is.
type Auth struct {
	id   *identity
	user *User
}

// identity holds a result of the library, which goes when nobody holds the identity any more.
type identity struct {
	result    *C.clerk_result
	hits      atomic.Uint64
	userID    string
	texts     [C.CLERKGO_TEXTS]string
	source    Source
	kind      TokenKind
	expiresAt int64
	ages      [2]int64
	hasAges   bool
	once      sync.Once
	claims    *SessionClaims // read when they are asked for
}

// authOf takes the result over. nil unless somebody is signed in.
func authOf(result *C.clerk_result) *Auth {
	var view C.clerkgo_result_view
	C.clerkgo_view_result(result, &view)
	if view.status != C.CLERK_OK || view.source == 0 || view.texts[C.CLERK_ATTRIBUTE_SUBJECT].len == 0 {
		C.clerk_result_free(result)
		return nil
	}
	id := &identity{
		result: result, source: Source(view.source), kind: TokenKind(view.token_kind), expiresAt: int64(view.expires_at_ms),
		ages: [2]int64{-1, -1}, hasAges: view.has_factor_ages == 1,
	}
	if id.hasAges {
		id.ages = [2]int64{int64(view.first_factor_age), int64(view.second_factor_age)}
	}
	id.copy(&view)
	// What has a finalizer must not be part of a circle: nothing that the identity holds may hold the identity.
	runtime.SetFinalizer(id, func(id *identity) {
		C.clerkgo_free_results(id.result, C.size_t(1+id.hits.Load()%hitsAtOnce))
	})
	return &Auth{id: id}
}

// hitsAtOnce is how many references are given back in one call: a call for each would cost more than the reference.
const hitsAtOnce = 64

// hit takes over one more reference to the result, which came with a hit.
func (id *identity) hit() {
	if id.hits.Add(1)%hitsAtOnce == 0 {
		C.clerkgo_free_results(id.result, hitsAtOnce)
	}
}

// copy copies all texts into one piece of memory.
func (id *identity) copy(view *C.clerkgo_result_view) {
	size := 0
	for i := range view.texts {
		size += int(view.texts[i].len)
	}
	var all strings.Builder
	all.Grow(size)
	for i := range view.texts {
		text := &view.texts[i]
		all.Write(unsafe.Slice((*byte)(unsafe.Pointer(text.data)), int(text.len)))
	}
	rest := all.String()
	for i := range view.texts {
		id.texts[i], rest = rest[:view.texts[i].len], rest[view.texts[i].len:]
	}
	if view.user_id.data != nil {
		id.userID = id.texts[C.CLERK_ATTRIBUTE_SUBJECT]
	}
}

// IsAuthenticated says whether somebody is signed in. Only a nil Auth says no.
func (a *Auth) IsAuthenticated() bool { return a != nil && a.id != nil }

func (a *Auth) text(which int) string {
	if !a.IsAuthenticated() {
		return ""
	}
	return a.id.texts[which]
}

// UserID is the Clerk user, user_…; "" for machines.
func (a *Auth) UserID() string {
	if !a.IsAuthenticated() {
		return ""
	}
	return a.id.userID
}

// UserKey is the host's own key of the user's row, in sync mode.
func (a *Auth) UserKey() string { return a.text(C.CLERK_ATTRIBUTE_USER_KEY) }

// LocalUser is the host's own row as the store gave it for this request; nil if the store was not asked (see row_check_ttl_s).
func (a *Auth) LocalUser() *User {
	if !a.IsAuthenticated() {
		return nil
	}
	return a.user
}

// Subject is the Clerk user or the machine.
func (a *Auth) Subject() string { return a.text(C.CLERK_ATTRIBUTE_SUBJECT) }

// SessionID is the session; "" if the token has none.
func (a *Auth) SessionID() string { return a.text(C.CLERK_ATTRIBUTE_SESSION_ID) }

// SessionStatus is the claim sts.
func (a *Auth) SessionStatus() string { return a.text(C.CLERK_ATTRIBUTE_SESSION_STATUS) }

// Issuer is the claim iss.
func (a *Auth) Issuer() string { return a.text(C.CLERK_ATTRIBUTE_ISSUER) }

// AuthorizedParty is the claim azp.
func (a *Auth) AuthorizedParty() string { return a.text(C.CLERK_ATTRIBUTE_AUTHORIZED_PARTY) }

// OrgID is the active organization.
func (a *Auth) OrgID() string { return a.text(C.CLERK_ATTRIBUTE_ORG_ID) }

// OrgSlug is the active organization's slug.
func (a *Auth) OrgSlug() string { return a.text(C.CLERK_ATTRIBUTE_ORG_SLUG) }

// OrgRole is the role in the active organization, with the prefix "org:".
func (a *Auth) OrgRole() string { return a.text(C.CLERK_ATTRIBUTE_ORG_ROLE) }

// OrgPermissions are the permissions in the active organization.
func (a *Auth) OrgPermissions() []string {
	return split(a.text(C.CLERK_ATTRIBUTE_ORG_PERMISSIONS), ",")
}

// Features is the claim fea.
func (a *Auth) Features() string { return a.text(C.CLERK_ATTRIBUTE_FEATURES) }

// Plans is the claim pla.
func (a *Auth) Plans() string { return a.text(C.CLERK_ATTRIBUTE_PLANS) }

// Actor is who acts in the user's place.
func (a *Auth) Actor() string { return a.text(C.CLERK_ATTRIBUTE_ACTOR) }

// TokenID is the id of a machine token.
func (a *Auth) TokenID() string { return a.text(C.CLERK_ATTRIBUTE_TOKEN_ID) }

// ClientID is the OAuth application.
func (a *Auth) ClientID() string { return a.text(C.CLERK_ATTRIBUTE_CLIENT_ID) }

// Scopes are the scopes of a machine token.
func (a *Auth) Scopes() []string { return split(a.text(C.CLERK_ATTRIBUTE_SCOPES), " ") }

// Email is the user's address, in the modes profile and sync.
func (a *Auth) Email() string { return a.text(C.CLERK_ATTRIBUTE_EMAIL) }

// Username is the user's unique name, in the modes profile and sync.
func (a *Auth) Username() string { return a.text(C.CLERK_ATTRIBUTE_USERNAME) }

// FirstName is the user's first name, in the modes profile and sync.
func (a *Auth) FirstName() string { return a.text(C.CLERK_ATTRIBUTE_FIRST_NAME) }

// LastName is the user's last name, in the modes profile and sync.
func (a *Auth) LastName() string { return a.text(C.CLERK_ATTRIBUTE_LAST_NAME) }

// ImageURL is the address of the user's picture, in the modes profile and sync.
func (a *Auth) ImageURL() string { return a.text(C.CLERK_ATTRIBUTE_IMAGE_URL) }

// ExternalID is the host's own id for the user, kept at Clerk, in the modes profile and sync.
func (a *Auth) ExternalID() string { return a.text(C.CLERK_ATTRIBUTE_EXTERNAL_ID) }

// Source says whether the token had been verified before.
func (a *Auth) Source() Source {
	if !a.IsAuthenticated() {
		return 0
	}
	return a.id.source
}

// TokenKind is the kind of token.
func (a *Auth) TokenKind() TokenKind {
	if !a.IsAuthenticated() {
		return 0
	}
	return a.id.kind
}

// ExpiresAt is the end of the token; the zero time if it has none.
func (a *Auth) ExpiresAt() time.Time {
	if !a.IsAuthenticated() || a.id.expiresAt == 0 {
		return time.Time{}
	}
	return time.UnixMilli(a.id.expiresAt)
}

// FactorVerificationAge is how many minutes ago the first and the second factor were verified, -1 for never; false if the
// token does not say.
func (a *Auth) FactorVerificationAge() ([2]int64, bool) {
	if !a.IsAuthenticated() {
		return [2]int64{-1, -1}, false
	}
	return a.id.ages, a.id.hasAges
}

// HasRole says whether the user has a role in the active organization: "org:admin", or without the prefix.
func (a *Auth) HasRole(role string) bool { return a.has(C.CLERK_CHECK_ROLE, role) }

// HasPermission says whether the user has a permission there: "org:invoices:create", or without the prefix.
func (a *Auth) HasPermission(permission string) bool {
	return a.has(C.CLERK_CHECK_PERMISSION, permission)
}

// HasFeature says whether the user or the organization has a feature; "org:" or "user:" in front looks only there.
func (a *Auth) HasFeature(feature string) bool { return a.has(C.CLERK_CHECK_FEATURE, feature) }

// HasPlan says whether the user or the organization has a plan; "org:" or "user:" in front looks only there.
func (a *Auth) HasPlan(plan string) bool { return a.has(C.CLERK_CHECK_PLAN, plan) }

// HasReverification says whether the user was verified of late: "strict_mfa", "strict", "moderate", "lax", or
// "first_factor:10" and the like.
func (a *Auth) HasReverification(of string) bool { return a.has(C.CLERK_CHECK_REVERIFICATION, of) }

func (a *Auth) has(dimension C.int32_t, value string) bool {
	if !a.IsAuthenticated() {
		return false
	}
	defer runtime.KeepAlive(a.id)
	return C.clerkgo_has(a.id.result, dimension, dataOf(value), C.size_t(len(value))) == 1
}

// ClaimsJSON is all claims as JSON; "" for opaque machine tokens that have none.
func (a *Auth) ClaimsJSON() string { return a.text(C.CLERK_ATTRIBUTE_CLAIMS) }

// Claim is one claim as JSON, by its name or by a JSON Pointer such as "/o/id".
func (a *Auth) Claim(path string) (json.RawMessage, bool) {
	if !a.IsAuthenticated() {
		return nil, false
	}
	defer runtime.KeepAlive(a.id)
	for room := make([]byte, 256); ; {
		var needed C.size_t
		status := C.clerk_result_claim(a.id.result, strOf(path), (*C.char)(unsafe.Pointer(&room[0])), C.size_t(len(room)), &needed)
		if status == C.CLERK_OK {
			return room[:needed:needed], true
		}
		if status != C.CLERK_E_ARGUMENT || int(needed) < len(room) {
			return nil, false
		}
		room = make([]byte, needed+1)
	}
}

// SessionClaims are the claims in the shape that clerk-sdk-go gives them; a copy. nil for opaque machine tokens.
func (a *Auth) SessionClaims() *SessionClaims {
	if !a.IsAuthenticated() {
		return nil
	}
	a.id.once.Do(func() { a.id.claims = claimsOf(a.id) })
	if a.id.claims == nil {
		return nil
	}
	return a.id.claims.copy(a)
}

func split(text, separator string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, separator)
}
