package clerkauth

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"slices"
)

// SessionClaims holds the claims of a token under the names of clerk-sdk-go.
type SessionClaims struct {
	RegisteredClaims
	Claims

	auth *Auth
}

// RegisteredClaims holds the registered claims of RFC 7519.
type RegisteredClaims struct {
	Issuer    string
	Subject   string
	Audience  []string
	Expiry    *int64
	NotBefore *int64
	IssuedAt  *int64
	ID        string
}

// Claims holds Clerk's own claims. The organization claims are the same for both versions of Clerk's session tokens.
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

// HasPermission calls [Auth.HasPermission].
func (s *SessionClaims) HasPermission(permission string) bool {
	return s != nil && s.auth.HasPermission(permission)
}

// HasRole calls [Auth.HasRole].
func (s *SessionClaims) HasRole(role string) bool { return s != nil && s.auth.HasRole(role) }

// decodeAudience decodes the claim aud, a string or an array of strings (RFC 7519 section 4.1.3).
func decodeAudience(claim json.RawMessage) []string {
	if one, ok := decodeClaim[string](claim); ok {
		return []string{one}
	}
	all, _ := decodeClaim[[]string](claim)
	return all
}

// decodeClaim decodes a claim; false if it is absent, null or of another type.
func decodeClaim[T any](claim json.RawMessage) (value T, ok bool) {
	if claim == nil || string(claim) == "null" || json.Unmarshal(claim, &value) != nil {
		var zero T
		return zero, false
	}
	return value, true
}

func decodeSeconds(claim json.RawMessage) *int64 {
	value, ok := decodeClaim[float64](claim)
	if !ok {
		return nil
	}
	whole := int64(value)
	return &whole
}

// decodeClaims decodes the claims, and takes what the library has decoded from there. A claim of an unexpected type is left
// out; ClaimsJSON has it.
func decodeClaims(result *authResult) *SessionClaims {
	attribute := func(i int) string { return result.attributes[i] }
	// A map, since encoding/json matches struct fields case-insensitively: ACT would be taken for act.
	var raw map[string]json.RawMessage
	if json.Unmarshal([]byte(attribute(C.CLERK_ATTRIBUTE_CLAIMS)), &raw) != nil {
		return nil
	}
	switch {
	case result.kind == TokenKindSessionToken:
	case attribute(C.CLERK_ATTRIBUTE_ISSUER) == "":
		return nil // custom claims of an opaque token: ClaimsJSON has them
	default:
		delete(raw, "v")
		delete(raw, "act")
	}
	version, _ := decodeClaim[float64](raw["v"])
	jti, _ := decodeClaim[string](raw["jti"])
	return &SessionClaims{
		RegisteredClaims: RegisteredClaims{
			Issuer: attribute(C.CLERK_ATTRIBUTE_ISSUER), Subject: attribute(C.CLERK_ATTRIBUTE_SUBJECT),
			Audience: decodeAudience(raw["aud"]), Expiry: decodeSeconds(raw["exp"]), NotBefore: decodeSeconds(raw["nbf"]),
			IssuedAt: decodeSeconds(raw["iat"]), ID: jti,
		},
		Claims: Claims{
			Version: max(1, int(version)), SessionID: attribute(C.CLERK_ATTRIBUTE_SESSION_ID),
			AuthorizedParty:               attribute(C.CLERK_ATTRIBUTE_AUTHORIZED_PARTY),
			ActiveOrganizationID:          attribute(C.CLERK_ATTRIBUTE_ORG_ID),
			ActiveOrganizationSlug:        attribute(C.CLERK_ATTRIBUTE_ORG_SLUG),
			ActiveOrganizationRole:        attribute(C.CLERK_ATTRIBUTE_ORG_ROLE),
			ActiveOrganizationPermissions: split(attribute(C.CLERK_ATTRIBUTE_ORG_PERMISSIONS), ","),
			Actor:                         raw["act"], FactorVerificationAge: result.ages,
		},
	}
}

// clone returns a deep copy, so that a caller may modify it.
func (s *SessionClaims) clone(auth *Auth) *SessionClaims {
	own := *s
	own.auth = auth
	own.Audience, own.Actor = slices.Clone(s.Audience), slices.Clone(s.Actor)
	own.ActiveOrganizationPermissions = slices.Clone(s.ActiveOrganizationPermissions)
	for _, seconds := range []**int64{&own.Expiry, &own.NotBefore, &own.IssuedAt} {
		if *seconds != nil {
			value := **seconds
			*seconds = &value
		}
	}
	return &own
}
