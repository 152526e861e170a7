package clerkauth

// #include "bridge.h"
import "C"

import (
	"errors"
	"strconv"
)

// Reason says why nobody is signed in. It is an error, so that errors.Is(err, [ReasonTokenExpired]) tells.
type Reason int32

// The reasons; their numbers and words are those of the C header.
const (
	ReasonSessionTokenMissing            Reason = C.CLERK_REASON_SESSION_TOKEN_MISSING
	ReasonTokenInvalid                   Reason = C.CLERK_REASON_TOKEN_INVALID
	ReasonTokenInvalidSignature          Reason = C.CLERK_REASON_TOKEN_INVALID_SIGNATURE
	ReasonTokenExpired                   Reason = C.CLERK_REASON_TOKEN_EXPIRED
	ReasonTokenNotActiveYet              Reason = C.CLERK_REASON_TOKEN_NOT_ACTIVE_YET
	ReasonTokenIatInTheFuture            Reason = C.CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE
	ReasonTokenInvalidAuthorizedParties  Reason = C.CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES
	ReasonTokenInvalidAudience           Reason = C.CLERK_REASON_TOKEN_INVALID_AUDIENCE
	ReasonTokenInvalidIssuer             Reason = C.CLERK_REASON_TOKEN_INVALID_ISSUER
	ReasonTokenTypeNotSupported          Reason = C.CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED
	ReasonJWKKidMismatch                 Reason = C.CLERK_REASON_JWK_KID_MISMATCH
	ReasonJWKFailedToResolve             Reason = C.CLERK_REASON_JWK_FAILED_TO_RESOLVE
	ReasonJWKFailedToLoad                Reason = C.CLERK_REASON_JWK_FAILED_TO_LOAD
	ReasonJWKRemoteInvalid               Reason = C.CLERK_REASON_JWK_REMOTE_INVALID
	ReasonSecretKeyInvalid               Reason = C.CLERK_REASON_SECRET_KEY_INVALID
	ReasonServerError                    Reason = C.CLERK_REASON_SERVER_ERROR
	ReasonUserNotFound                   Reason = C.CLERK_REASON_USER_NOT_FOUND
	ReasonUserInactive                   Reason = C.CLERK_REASON_USER_INACTIVE
	ReasonSessionPending                 Reason = C.CLERK_REASON_SESSION_PENDING
	ReasonSessionRevoked                 Reason = C.CLERK_REASON_SESSION_REVOKED
	ReasonLinkConflict                   Reason = C.CLERK_REASON_LINK_CONFLICT
	ReasonStoreError                     Reason = C.CLERK_REASON_STORE_ERROR
	ReasonSessionTokenAndUatMissing      Reason = C.CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING
	ReasonSessionTokenButNoClientUat     Reason = C.CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT
	ReasonClientUatButNoSessionToken     Reason = C.CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN
	ReasonSessionTokenIatBeforeClientUat Reason = C.CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT
	ReasonInternalError                  Reason = C.CLERK_REASON_INTERNAL_ERROR
)

// String is the reason's word, such as "token-expired"; "" when there is none.
func (r Reason) String() string { return C.GoString(C.clerk_reason_name(C.int32_t(r))) }

// Error is the reason's word.
func (r Reason) Error() string { return r.String() }

// Category says what kind of trouble a reason is.
func (r Reason) Category() Category { return Category(C.clerk_reason_category(C.int32_t(r))) }

// Category is what kind of trouble a [Reason] is.
type Category int32

// The categories; their numbers and words are those of the C header.
const (
	CategoryNoCredentials Category = C.CLERK_CATEGORY_NO_CREDENTIALS
	CategoryInvalidToken  Category = C.CLERK_CATEGORY_INVALID_TOKEN
	CategoryForbidden     Category = C.CLERK_CATEGORY_FORBIDDEN
	CategoryMisconfigured Category = C.CLERK_CATEGORY_MISCONFIGURED
	CategoryUnavailable   Category = C.CLERK_CATEGORY_UNAVAILABLE
)

// String is the category's word, such as "invalid_token"; "" when there is none.
func (c Category) String() string { return C.GoString(C.clerk_category_name(C.int32_t(c))) }

// Source is where an answer came from.
type Source int32

// The sources; their numbers and words are those of the C header.
const (
	SourceCache    Source = C.CLERK_SOURCE_CACHE
	SourceVerified Source = C.CLERK_SOURCE_VERIFIED
)

// String is "cache" or "verified"; "" when there is none.
func (s Source) String() string { return C.GoString(C.clerk_source_name(C.int32_t(s))) }

// TokenKind is a kind of token that Clerk issues.
type TokenKind int32

// The kinds of tokens; their numbers and words are those of the C header.
const (
	TokenKindSessionToken TokenKind = C.CLERK_TOKEN_KIND_SESSION_TOKEN
	TokenKindAPIKey       TokenKind = C.CLERK_TOKEN_KIND_API_KEY
	TokenKindOAuthToken   TokenKind = C.CLERK_TOKEN_KIND_OAUTH_TOKEN
	TokenKindM2MToken     TokenKind = C.CLERK_TOKEN_KIND_M2M_TOKEN
)

// String is the kind's word, such as "session_token"; "" when there is none.
func (k TokenKind) String() string { return C.GoString(C.clerk_token_kind_name(C.int32_t(k))) }

// EventKind is what happened.
type EventKind int32

// The events; their numbers and words are those of the C header, which says when each comes.
const (
	EventAuthSuccess       EventKind = C.CLERK_EVENT_KIND_AUTH_SUCCESS
	EventAuthFailed        EventKind = C.CLERK_EVENT_KIND_AUTH_FAILED
	EventCacheMiss         EventKind = C.CLERK_EVENT_KIND_CACHE_MISS
	EventUserCreated       EventKind = C.CLERK_EVENT_KIND_USER_CREATED
	EventUserUpdated       EventKind = C.CLERK_EVENT_KIND_USER_UPDATED
	EventUserLinked        EventKind = C.CLERK_EVENT_KIND_USER_LINKED
	EventLinkConflict      EventKind = C.CLERK_EVENT_KIND_LINK_CONFLICT
	EventJWKSRefreshed     EventKind = C.CLERK_EVENT_KIND_JWKS_REFRESHED
	EventRateLimited       EventKind = C.CLERK_EVENT_KIND_RATE_LIMITED
	EventStaleUserServed   EventKind = C.CLERK_EVENT_KIND_STALE_USER_SERVED
	EventUserDeleted       EventKind = C.CLERK_EVENT_KIND_USER_DELETED
	EventSecretKeyRejected EventKind = C.CLERK_EVENT_KIND_SECRET_KEY_REJECTED
)

// String is the event's word, such as "auth_success"; "" when there is none.
func (k EventKind) String() string { return C.GoString(C.clerk_event_kind_name(C.int32_t(k))) }

// Column is a column of the host's user table.
type Column int32

// The columns; the C header says what each may hold.
const (
	ColumnClerkID        Column = C.CLERK_COLUMN_CLERK_ID
	ColumnEmail          Column = C.CLERK_COLUMN_EMAIL
	ColumnUsername       Column = C.CLERK_COLUMN_USERNAME
	ColumnFirstName      Column = C.CLERK_COLUMN_FIRST_NAME
	ColumnLastName       Column = C.CLERK_COLUMN_LAST_NAME
	ColumnImageURL       Column = C.CLERK_COLUMN_IMAGE_URL
	ColumnLastActiveAtMs Column = C.CLERK_COLUMN_LAST_ACTIVE_AT_MS
	ColumnIsActive       Column = C.CLERK_COLUMN_IS_ACTIVE
	ColumnBannedByClerk  Column = C.CLERK_COLUMN_BANNED_BY_CLERK
)

var columnNames = [...]string{"clerk_id", "email", "username", "first_name", "last_name", "image_url",
	"last_active_at_ms", "is_active", "banned_by_clerk"}

// Columns are all columns, in the order of their numbers.
func Columns() []Column {
	all := make([]Column, len(columnNames))
	for i := range all {
		all[i] = Column(i)
	}
	return all
}

// String is the column's name, such as "clerk_id"; "" for a number that is none.
func (c Column) String() string {
	if c < 0 || int(c) >= len(columnNames) {
		return ""
	}
	return columnNames[c]
}

// Version is the version of the C library that is linked.
func Version() string { return C.GoString(C.clerk_version()) }

const (
	headerMajor = uint32(C.CLERK_ABI_MAJOR)
	headerMinor = uint32(C.CLERK_ABI_MINOR)
)

// checkABI refuses a library that is older than the header this package was built with, or of another major number.
func checkABI(loaded uint32, version string) error {
	major, minor := loaded>>16, loaded&0xffff
	if major == headerMajor && minor >= headerMinor {
		return nil
	}
	number := func(major, minor uint32) string {
		return strconv.FormatUint(uint64(major), 10) + "." + strconv.FormatUint(uint64(minor), 10)
	}
	return errors.New("libclerk_auth " + version + " with binary interface " + number(major, minor) +
		" is loaded, but this program was built for binary interface " + number(headerMajor, headerMinor))
}

func loadedABI() uint32 { return uint32(C.clerk_abi_version()) }

// settingNames are the names of all settings, in the order of the README's table.
func settingNames() []string {
	var names []string
	for name := C.clerk_setting_name(0); name != nil; name = C.clerk_setting_name(C.size_t(len(names))) {
		names = append(names, C.GoString(name))
	}
	return names
}
