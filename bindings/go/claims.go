package clerkauth

// #include "bridge.h"
import "C"

import (
	"encoding/json"
	"errors"
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
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	if json.Unmarshal(data, (*[]string)(a)) != nil {
		*a = nil
	}
	return nil
}

// claimsOf reads the claims; what the library has read already comes from there.
func claimsOf(id *identity) *SessionClaims {
	var raw struct {
		Audience  audience        `json:"aud"`
		Expiry    *float64        `json:"exp"`
		NotBefore *float64        `json:"nbf"`
		IssuedAt  *float64        `json:"iat"`
		ID        string          `json:"jti"`
		Version   float64         `json:"v"`
		Actor     json.RawMessage `json:"act"`
	}
	text := func(which int) string { return id.texts[which] }
	// A claim of another type than usual is left out; ClaimsJSON has it.
	var odd *json.UnmarshalTypeError
	if err := json.Unmarshal([]byte(text(C.CLERK_TEXT_CLAIMS)), &raw); err != nil && !errors.As(err, &odd) {
		return nil
	}
	return &SessionClaims{
		RegisteredClaims: RegisteredClaims{
			Issuer: text(C.CLERK_TEXT_ISSUER), Subject: text(C.CLERK_TEXT_SUBJECT), Audience: raw.Audience,
			Expiry: seconds(raw.Expiry), NotBefore: seconds(raw.NotBefore), IssuedAt: seconds(raw.IssuedAt), ID: raw.ID,
		},
		Claims: Claims{
			Version: max(1, int(raw.Version)), SessionID: text(C.CLERK_TEXT_SESSION_ID),
			AuthorizedParty:               text(C.CLERK_TEXT_AUTHORIZED_PARTY),
			ActiveOrganizationID:          text(C.CLERK_TEXT_ORG_ID),
			ActiveOrganizationSlug:        text(C.CLERK_TEXT_ORG_SLUG),
			ActiveOrganizationRole:        text(C.CLERK_TEXT_ORG_ROLE),
			ActiveOrganizationPermissions: split(text(C.CLERK_TEXT_ORG_PERMISSIONS), ","),
			Actor:                         raw.Actor, FactorVerificationAge: id.ages,
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

func seconds(value *float64) *int64 {
	if value == nil {
		return nil
	}
	whole := int64(*value)
	return &whole
}
