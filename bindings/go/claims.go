package clerkauth

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"slices"
)

// SessionClaims are a token's claims under the names that clerk-sdk-go has for them.
type SessionClaims struct {
	RegisteredClaims
	Claims

	auth *Auth
}

// RegisteredClaims are the claims of RFC 7519.
type RegisteredClaims struct {
	Issuer    string
	Subject   string
	Audience  []string
	Expiry    *int64
	NotBefore *int64
	IssuedAt  *int64
	ID        string
}

// Claims are Clerk's own claims. The organization's are the same for both versions of Clerk's tokens.
type Claims struct {
	Version                       int
	SessionID                     string
	AuthorizedParty               string
	ActiveOrganizationID          string
	ActiveOrganizationSlug        string
	ActiveOrganizationRole        string
	ActiveOrganizationPermissions []string
	Actor                         json.RawMessage
	FactorVerificationAge         [2]int64
}

// HasPermission is [Auth.HasPermission].
func (s *SessionClaims) HasPermission(permission string) bool {
	return s != nil && s.auth.HasPermission(permission)
}

// HasRole is [Auth.HasRole].
func (s *SessionClaims) HasRole(role string) bool { return s != nil && s.auth.HasRole(role) }

// audience is a text or a list of texts (RFC 7519 section 4.1.3).
func audience(claim json.RawMessage) []string {
	if one, ok := read[string](claim); ok {
		return []string{one}
	}
	all, _ := read[[]string](claim)
	return all
}

// read is a claim, if it is there and of that type.
func read[T any](claim json.RawMessage) (value T, ok bool) {
	if claim == nil || string(claim) == "null" || json.Unmarshal(claim, &value) != nil {
		var none T
		return none, false
	}
	return value, true
}

// claimsOf reads the claims; what the library has read already comes from there. A claim of another type than usual is
// left out; ClaimsJSON has it.
func claimsOf(id *identity) *SessionClaims {
	text := func(which int) string { return id.texts[which] }
	// Not into a struct: that would take ACT for act.
	var raw map[string]json.RawMessage
	if json.Unmarshal([]byte(text(C.CLERK_ATTRIBUTE_CLAIMS)), &raw) != nil {
		return nil
	}
	version, _ := read[float64](raw["v"])
	jti, _ := read[string](raw["jti"])
	return &SessionClaims{
		RegisteredClaims: RegisteredClaims{
			Issuer: text(C.CLERK_ATTRIBUTE_ISSUER), Subject: text(C.CLERK_ATTRIBUTE_SUBJECT), Audience: audience(raw["aud"]),
			Expiry: seconds(raw["exp"]), NotBefore: seconds(raw["nbf"]), IssuedAt: seconds(raw["iat"]), ID: jti,
		},
		Claims: Claims{
			Version: max(1, int(version)), SessionID: text(C.CLERK_ATTRIBUTE_SESSION_ID),
			AuthorizedParty:               text(C.CLERK_ATTRIBUTE_AUTHORIZED_PARTY),
			ActiveOrganizationID:          text(C.CLERK_ATTRIBUTE_ORG_ID),
			ActiveOrganizationSlug:        text(C.CLERK_ATTRIBUTE_ORG_SLUG),
			ActiveOrganizationRole:        text(C.CLERK_ATTRIBUTE_ORG_ROLE),
			ActiveOrganizationPermissions: split(text(C.CLERK_ATTRIBUTE_ORG_PERMISSIONS), ","),
			Actor:                         raw["act"], FactorVerificationAge: id.ages,
		},
	}
}

// copy is for one request: whoever changes it changes nobody else's.
func (s *SessionClaims) copy(auth *Auth) *SessionClaims {
	own := *s
	own.auth = auth
	own.Audience, own.Actor = slices.Clone(s.Audience), slices.Clone(s.Actor)
	own.ActiveOrganizationPermissions = slices.Clone(s.ActiveOrganizationPermissions)
	for _, number := range []**int64{&own.Expiry, &own.NotBefore, &own.IssuedAt} {
		if *number != nil {
			value := **number
			*number = &value
		}
	}
	return &own
}

func seconds(claim json.RawMessage) *int64 {
	value, ok := read[float64](claim)
	if !ok {
		return nil
	}
	whole := int64(value)
	return &whole
}
