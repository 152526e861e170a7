// Scoped enumerations with the names and numbers of the C header.
//
// Generated from the Rust sources by `make generate`; do not edit.
#ifndef CLERK_AUTH_ENUMS_HPP
#define CLERK_AUTH_ENUMS_HPP

#include "base.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// The outcome of an authentication.
enum class Outcome : int32_t {
    signed_in = CLERK_OK,
    signed_out = CLERK_SIGNED_OUT,
    no_credentials = CLERK_NO_CREDENTIALS,
    unavailable = CLERK_UNAVAILABLE,
};

// A return value. Zero is success, a positive number is an expected outcome, a negative number is a failure.
//
// Numbers are never reused. A later version may add some: treat an unknown number as a failure.
enum class Status : int32_t {
    // Success. An authentication returns it if and only if the request is signed in.
    ok = CLERK_OK,
    // A credential was presented and rejected. `clerk_result_reason` says why.
    signed_out = CLERK_SIGNED_OUT,
    // No credential was presented. The application may continue with a session of its own.
    no_credentials = CLERK_NO_CREDENTIALS,
    // The result cannot be determined now. Respond with 503, never with 401.
    unavailable = CLERK_UNAVAILABLE,
    // The cached data is not sufficient. Call `clerk_authenticate` or `clerk_authenticate_begin` on a thread that
    // may block.
    would_block = CLERK_WOULD_BLOCK,
    // The application has to query its user table. See `clerk_pending`.
    pending = CLERK_PENDING,
    // A valid webhook that changes nothing here. Respond with 200.
    webhook_ignored = CLERK_WEBHOOK_IGNORED,
    // A required pointer is NULL.
    e_null = CLERK_E_NULL,
    // An argument is out of range, unknown or too long.
    e_argument = CLERK_E_ARGUMENT,
    // A string is not valid UTF-8.
    e_utf8 = CLERK_E_UTF8,
    // `struct_size` is not supported, or a field that is unknown to this version of the library is set.
    e_struct_size = CLERK_E_STRUCT_SIZE,
    // The call is not allowed in the object's current state.
    e_state = CLERK_E_STATE,
    // The requested value does not exist.
    e_not_found = CLERK_E_NOT_FOUND,
    // A setting is invalid. `clerk_error_setting` names it.
    e_config = CLERK_E_CONFIG,
    // The process was forked after the client was created. Call `clerk_client_warm_up` in the child.
    e_forked = CLERK_E_FORKED,
    // A request to Clerk failed.
    e_api = CLERK_E_API,
    // Called from inside a callback of the same client.
    e_reentrant = CLERK_E_REENTRANT,
    // The webhook is invalid. Respond with 400.
    e_webhook = CLERK_E_WEBHOOK,
    // Internal error of the library. Treat it as "not signed in".
    e_panic = CLERK_E_PANIC,
};

// Why a request was not signed in. The names are those of Clerk's SDKs where they have one.
//
// Numbers are never reused and never change. A reason never contains data of a token, a response or an error.
enum class Reason : int32_t {
    // The request has neither an `Authorization: Bearer` header nor a session cookie.
    session_token_missing = CLERK_REASON_SESSION_TOKEN_MISSING,
    // The credential or the token is malformed or unsupported, or a claim has the wrong type.
    token_invalid = CLERK_REASON_TOKEN_INVALID,
    // No key of this instance verifies the signature.
    token_invalid_signature = CLERK_REASON_TOKEN_INVALID_SIGNATURE,
    // `exp` plus the clock skew has passed.
    token_expired = CLERK_REASON_TOKEN_EXPIRED,
    // `nbf` is in the future.
    token_not_active_yet = CLERK_REASON_TOKEN_NOT_ACTIVE_YET,
    // `iat` is in the future.
    token_iat_in_the_future = CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE,
    // `azp` is missing or not among the authorized parties.
    token_invalid_authorized_parties = CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES,
    // `aud` is missing or names none of the configured audiences.
    token_invalid_audience = CLERK_REASON_TOKEN_INVALID_AUDIENCE,
    // `iss` is not among the configured issuers.
    token_invalid_issuer = CLERK_REASON_TOKEN_INVALID_ISSUER,
    // The type of the token is not accepted, for example an OAuth token where only session tokens are.
    token_type_not_supported = CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED,
    // No key of this instance has the token's key id.
    jwk_kid_mismatch = CLERK_REASON_JWK_KID_MISMATCH,
    // No verification key is configured for this token.
    jwk_failed_to_resolve = CLERK_REASON_JWK_FAILED_TO_RESOLVE,
    // The JWK set could not be fetched.
    jwk_failed_to_load = CLERK_REASON_JWK_FAILED_TO_LOAD,
    // The fetched document is not a valid JWK set.
    jwk_remote_invalid = CLERK_REASON_JWK_REMOTE_INVALID,
    // Clerk rejects the secret key.
    secret_key_invalid = CLERK_REASON_SECRET_KEY_INVALID,
    // The Backend API is unavailable, rate-limited, or sends an unexpected response.
    server_error = CLERK_REASON_SERVER_ERROR,
    // The user does not exist at Clerk.
    user_not_found = CLERK_REASON_USER_NOT_FOUND,
    // The user is banned at Clerk, or inactive in the application's user table.
    user_inactive = CLERK_REASON_USER_INACTIVE,
    // The session has pending tasks (`sts: pending`).
    session_pending = CLERK_REASON_SESSION_PENDING,
    // The session has ended or was revoked.
    session_revoked = CLERK_REASON_SESSION_REVOKED,
    // The user's row is ambiguous or belongs to another Clerk user.
    link_conflict = CLERK_REASON_LINK_CONFLICT,
    // The user store failed.
    store_error = CLERK_REASON_STORE_ERROR,
    // `check_client_uat`: no session cookie, and the browser is signed out.
    session_token_and_uat_missing = CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING,
    // `check_client_uat`: a session cookie, but the browser is signed out.
    session_token_but_no_client_uat = CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT,
    // `check_client_uat`: the browser is signed in, but there is no session cookie.
    client_uat_but_no_session_token = CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN,
    // `check_client_uat`: the token was issued before the browser's last sign-in or sign-out.
    session_token_iat_before_client_uat = CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT,
    // Internal error of this library.
    internal_error = CLERK_REASON_INTERNAL_ERROR,
    // `csrf`: a cookie on an unsafe method, without evidence that the request comes from the same origin.
    csrf_failed = CLERK_REASON_CSRF_FAILED,
    // `handshake`: the address carries a development browser, which has to be passed on to Clerk.
    dev_browser_sync = CLERK_REASON_DEV_BROWSER_SYNC,
    // `handshake`: a browser that the development instance does not know.
    dev_browser_missing = CLERK_REASON_DEV_BROWSER_MISSING,
    // `handshake`: a satellite has to ask the primary domain whether the browser is signed in.
    satellite_needs_syncing = CLERK_REASON_SATELLITE_NEEDS_SYNCING,
    // `handshake`: a satellite asks the primary domain of a development instance.
    primary_responds_to_syncing = CLERK_REASON_PRIMARY_RESPONDS_TO_SYNCING,
    // `cross_origin_sync`: the visitor follows a link from another site.
    primary_domain_cross_origin_sync = CLERK_REASON_PRIMARY_DOMAIN_CROSS_ORIGIN_SYNC,
    // `organization_patterns`: the path belongs to another organization than the active one.
    active_organization_mismatch = CLERK_REASON_ACTIVE_ORGANIZATION_MISMATCH,
    // `shared_cache_required`: the shared cache cannot be used.
    shared_cache_unavailable = CLERK_REASON_SHARED_CACHE_UNAVAILABLE,
};

// The category of a reason; it determines the HTTP status.
enum class Category : int32_t {
    // No credential was presented. The application may continue with a session of its own.
    no_credentials = CLERK_CATEGORY_NO_CREDENTIALS,
    // The credential was rejected: 401.
    invalid_token = CLERK_CATEGORY_INVALID_TOKEN,
    // The user is known and has no access: 403.
    forbidden = CLERK_CATEGORY_FORBIDDEN,
    // The server is misconfigured, for example with a rejected secret key: 500.
    misconfigured = CLERK_CATEGORY_MISCONFIGURED,
    // The result cannot be determined: 503, retry later.
    unavailable = CLERK_CATEGORY_UNAVAILABLE,
};

// Where a result came from.
enum class Source : int32_t {
    // The token was verified earlier, and the result was cached.
    cache = CLERK_SOURCE_CACHE,
    // The token was verified by this call.
    verified = CLERK_SOURCE_VERIFIED,
};

// The severity of a log line. Smaller is more severe.
enum class LogLevel : int32_t {
    // Requests fail because of this.
    error = CLERK_LOG_LEVEL_ERROR,
    // A problem that does not fail requests.
    warn = CLERK_LOG_LEVEL_WARN,
    // Informational.
    info = CLERK_LOG_LEVEL_INFO,
    // For debugging.
    debug = CLERK_LOG_LEVEL_DEBUG,
};

// The types of tokens that Clerk issues.
enum class TokenKind : int32_t {
    // A signed-in user's short-lived session JWT.
    session_token = CLERK_TOKEN_KIND_SESSION_TOKEN,
    // An opaque API key, `ak_…`.
    api_key = CLERK_TOKEN_KIND_API_KEY,
    // An OAuth access token, `oat_…` or an `at+jwt` JWT.
    oauth_token = CLERK_TOKEN_KIND_OAUTH_TOKEN,
    // A machine-to-machine token, `mt_…` or a JWT whose subject is a machine.
    m2m_token = CLERK_TOKEN_KIND_M2M_TOKEN,
};

// The attributes of an identity.
enum class Attribute : int32_t {
    // `sub`: the Clerk user, or the machine.
    subject = CLERK_ATTRIBUTE_SUBJECT,
    // The application's key of the user's row.
    user_key = CLERK_ATTRIBUTE_USER_KEY,
    // `sid`
    session_id = CLERK_ATTRIBUTE_SESSION_ID,
    // `sts`
    session_status = CLERK_ATTRIBUTE_SESSION_STATUS,
    // `iss`
    issuer = CLERK_ATTRIBUTE_ISSUER,
    // `azp`
    authorized_party = CLERK_ATTRIBUTE_AUTHORIZED_PARTY,
    // The active organization's id.
    org_id = CLERK_ATTRIBUTE_ORG_ID,
    // The active organization's slug.
    org_slug = CLERK_ATTRIBUTE_ORG_SLUG,
    // The role in the active organization, with the prefix `org:`.
    org_role = CLERK_ATTRIBUTE_ORG_ROLE,
    // The permissions in the active organization, separated by commas.
    org_permissions = CLERK_ATTRIBUTE_ORG_PERMISSIONS,
    // `fea`
    features = CLERK_ATTRIBUTE_FEATURES,
    // `pla`
    plans = CLERK_ATTRIBUTE_PLANS,
    // `sub` of `act`: the impersonator.
    actor = CLERK_ATTRIBUTE_ACTOR,
    // Id of a machine token (`jti` of a JWT).
    token_id = CLERK_ATTRIBUTE_TOKEN_ID,
    // The OAuth application.
    client_id = CLERK_ATTRIBUTE_CLIENT_ID,
    // Scopes of a machine token, separated by spaces.
    scopes = CLERK_ATTRIBUTE_SCOPES,
    // The claims as JSON.
    claims = CLERK_ATTRIBUTE_CLAIMS,
    // The user's primary e-mail address if Clerk has verified it, in `profile` and `sync` mode.
    email = CLERK_ATTRIBUTE_EMAIL,
    // The username.
    username = CLERK_ATTRIBUTE_USERNAME,
    // The first name.
    first_name = CLERK_ATTRIBUTE_FIRST_NAME,
    // The last name.
    last_name = CLERK_ATTRIBUTE_LAST_NAME,
    // The URL of the profile image.
    image_url = CLERK_ATTRIBUTE_IMAGE_URL,
    // `external_id`: the application's id of the user, stored at Clerk.
    external_id = CLERK_ATTRIBUTE_EXTERNAL_ID,
    // The name of an API key.
    token_name = CLERK_ATTRIBUTE_TOKEN_NAME,
};

// The kind of an event.
enum class EventKind : int32_t {
    // A request was signed in. Every request with a credential emits one such event or one `AUTH_FAILED`.
    auth_success = CLERK_EVENT_KIND_AUTH_SUCCESS,
    // A request with a credential was not signed in.
    auth_failed = CLERK_EVENT_KIND_AUTH_FAILED,
    // A token was not in the cache. Precedes its `AUTH_SUCCESS` or `AUTH_FAILED`.
    cache_miss = CLERK_EVENT_KIND_CACHE_MISS,
    // A row was created.
    user_created = CLERK_EVENT_KIND_USER_CREATED,
    // A row was updated.
    user_updated = CLERK_EVENT_KIND_USER_UPDATED,
    // An existing row without a Clerk user was linked to one by its verified e-mail address.
    user_linked = CLERK_EVENT_KIND_USER_LINKED,
    // A row with the user's e-mail address or username belongs to another user. It was not changed.
    link_conflict = CLERK_EVENT_KIND_LINK_CONFLICT,
    // The JWK set was fetched.
    jwks_refreshed = CLERK_EVENT_KIND_JWKS_REFRESHED,
    // Clerk rate-limited the library (429). No requests are sent until the wait is over.
    rate_limited = CLERK_EVENT_KIND_RATE_LIMITED,
    // Clerk could not be reached. A stale cached user was used.
    stale_user_served = CLERK_EVENT_KIND_STALE_USER_SERVED,
    // A webhook reported that a user was deleted. The application decides what happens to the row.
    user_deleted = CLERK_EVENT_KIND_USER_DELETED,
    // Clerk rejected the secret key. Cached results may still be served for a while.
    secret_key_rejected = CLERK_EVENT_KIND_SECRET_KEY_REJECTED,
    // A token's key is not in the key set, which is not fetched again before `clerk_event_retry_after_ms`, because
    // it was just fetched for another token. After a rotation of Clerk's keys, tokens are rejected until then.
    jwks_fetch_limited = CLERK_EVENT_KIND_JWKS_FETCH_LIMITED,
    // A browser is redirected to Clerk.
    handshake_started = CLERK_EVENT_KIND_HANDSHAKE_STARTED,
    // A browser came back from Clerk, or its session was refreshed. The response sets Clerk's cookies.
    handshake_resolved = CLERK_EVENT_KIND_HANDSHAKE_RESOLVED,
    // Clerk's response to a handshake was not accepted or could not be fetched.
    handshake_failed = CLERK_EVENT_KIND_HANDSHAKE_FAILED,
    // The shared cache cannot be used. Until `SHARED_CACHE_AVAILABLE` the process goes on without it.
    shared_cache_unavailable = CLERK_EVENT_KIND_SHARED_CACHE_UNAVAILABLE,
    // The shared cache can be used again.
    shared_cache_available = CLERK_EVENT_KIND_SHARED_CACHE_AVAILABLE,
};

// The kind of a store request, and the next action of a `clerk_pending`.
//
// "value" and "key" are `clerk_store_request_value` and `clerk_store_request_key`. A query without a match gets an
// empty response.
enum class StoreRequestKind : int32_t {
    // Only from `clerk_pending_next_action`: nothing is left to do.
    done = CLERK_STORE_REQUEST_KIND_DONE,
    // Find the row with this key. Respond with `clerk_store_response_add_row`.
    find_by_key = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY,
    // Find the row of the Clerk user with the id in "value", compared exactly. Respond as above.
    find_by_clerk_id = CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID,
    // Find the rows with the e-mail address in "value", compared case-insensitively, at least two if there are
    // several: first those that the application has deactivated. Respond as above.
    find_by_email = CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL,
    // Check whether a row other than "key" has the username in "value", compared case-insensitively. Respond with
    // `clerk_store_response_set_username_taken`.
    username_taken = CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN,
    // Insert a row with the given columns. Respond with `clerk_store_response_set_created_key`, or with the whole
    // row if the application stores other values, for example `IS_ACTIVE` 0 until an approval.
    create = CLERK_STORE_REQUEST_KIND_CREATE,
    // Update the given columns of the row "key", in one statement with the conditions
    // `clerk_store_request_only_if_unlinked`, `clerk_store_request_max_version`,
    // `clerk_store_request_only_if_active` and `clerk_store_request_only_if_banned`. Respond with nothing, or with
    // the whole row. Return `CLERK_STORE_CONFLICT` if no row was updated.
    update = CLERK_STORE_REQUEST_KIND_UPDATE,
    // Only to a callback: begin a transaction, `CREATE` or `UPDATE` follows. Return `CLERK_STORE_DECLINE` if the
    // store has no transactions.
    begin = CLERK_STORE_REQUEST_KIND_BEGIN,
    // Only to a callback: commit the transaction.
    commit = CLERK_STORE_REQUEST_KIND_COMMIT,
    // Only to a callback: roll the transaction back, after a failed change or a failed `COMMIT`. Not sent after a
    // failed `BEGIN`.
    rollback = CLERK_STORE_REQUEST_KIND_ROLLBACK,
    // Only from `clerk_pending_next_action`: call `clerk_pending_fetch`.
    fetch_user = CLERK_STORE_REQUEST_KIND_FETCH_USER,
};

// A column of the application's user table.
enum class Column : int32_t {
    // String, unique: the id of the Clerk user that the row is linked to.
    clerk_id = CLERK_COLUMN_CLERK_ID,
    // String or NULL.
    email = CLERK_COLUMN_EMAIL,
    // String, unique, compared case-insensitively.
    username = CLERK_COLUMN_USERNAME,
    // String, never NULL.
    first_name = CLERK_COLUMN_FIRST_NAME,
    // String, never NULL.
    last_name = CLERK_COLUMN_LAST_NAME,
    // String or NULL.
    image_url = CLERK_COLUMN_IMAGE_URL,
    // Integer or NULL: milliseconds since 1970-01-01 UTC.
    last_active_at_ms = CLERK_COLUMN_LAST_ACTIVE_AT_MS,
    // Integer: 0 or 1. A row with 0 is rejected.
    is_active = CLERK_COLUMN_IS_ACTIVE,
    // Integer: 1 if the row is inactive because of a ban at Clerk, 0 if the application deactivated it.
    banned_by_clerk = CLERK_COLUMN_BANNED_BY_CLERK,
    // Integer or NULL: the version of the Clerk user that the row was last written from, in milliseconds since
    // 1970-01-01 UTC. Optional: without it, rows are written only from a user that was just fetched.
    clerk_updated_at_ms = CLERK_COLUMN_CLERK_UPDATED_AT_MS,
};

// What `clerk_result_has` checks.
enum class Check : int32_t {
    // A role in the active organization: `org:admin`, or without the prefix.
    role = CLERK_CHECK_ROLE,
    // A permission in the active organization: `org:invoices:create`, or without the prefix.
    permission = CLERK_CHECK_PERMISSION,
    // A feature. The prefix `org:` or `user:` restricts it to the organization's or the user's.
    feature = CLERK_CHECK_FEATURE,
    // A plan. The prefix is as for a feature.
    plan = CLERK_CHECK_PLAN,
    // A recent verification: `strict_mfa`, `strict`, `moderate`, `lax`, or a level and an age in minutes, such as
    // `first_factor:10` (levels: `first_factor`, `second_factor`, `multi_factor`).
    reverification = CLERK_CHECK_REVERIFICATION,
};

// The type of a setting's value.
enum class SettingType : int32_t {
    // A UTF-8 string.
    string = CLERK_SETTING_TYPE_STRING,
    // Strings, separated by commas; `clerk_config_add` appends one.
    list = CLERK_SETTING_TYPE_LIST,
    // An integer from `minimum` to `maximum`; `clerk_config_set_int` takes it as a number.
    integer = CLERK_SETTING_TYPE_INTEGER,
    // "true" or "false"; 1 or 0 for `clerk_config_set_int`.
    boolean = CLERK_SETTING_TYPE_BOOLEAN,
    // One of the allowed values.
    enumeration = CLERK_SETTING_TYPE_ENUMERATION,
    // One or more of the allowed values, separated by commas.
    enumeration_set = CLERK_SETTING_TYPE_ENUMERATION_SET,
};

// Where the token of a request was found.
enum class TokenSource : int32_t {
    // There is no credential.
    none = CLERK_TOKEN_SOURCE_NONE,
    // The `Authorization` header.
    header = CLERK_TOKEN_SOURCE_HEADER,
    // A session cookie.
    cookie = CLERK_TOKEN_SOURCE_COOKIE,
};

// Where Clerk's response to a handshake came from.
enum class HandshakeSource : int32_t {
    // A nonce was exchanged at Clerk.
    nonce = CLERK_HANDSHAKE_SOURCE_NONCE,
    // A handshake token was verified.
    token = CLERK_HANDSHAKE_SOURCE_TOKEN,
    // The session was refreshed with its refresh cookie.
    refresh = CLERK_HANDSHAKE_SOURCE_REFRESH,
};

// The endpoints of Clerk's Backend API that the library calls.
enum class Endpoint : int32_t {
    // `GET /jwks`
    jwks = CLERK_ENDPOINT_JWKS,
    // `GET /users/{id}`
    users = CLERK_ENDPOINT_USERS,
    // `GET /sessions/{id}`
    sessions = CLERK_ENDPOINT_SESSIONS,
    // `POST /m2m_tokens/verify`
    m2m_tokens = CLERK_ENDPOINT_M2M_TOKENS,
    // `POST /oauth_applications/access_tokens/verify`
    oauth_tokens = CLERK_ENDPOINT_OAUTH_TOKENS,
    // `POST /api_keys/verify`
    api_keys = CLERK_ENDPOINT_API_KEYS,
    // `GET /clients/handshake_payload`
    handshake_payload = CLERK_ENDPOINT_HANDSHAKE_PAYLOAD,
    // `POST /sessions/{id}/refresh`
    session_refresh = CLERK_ENDPOINT_SESSION_REFRESH,
};

// The kind of Clerk's response to a call.
enum class CallStatus : int32_t {
    // 2xx
    success = CLERK_CALL_STATUS_SUCCESS,
    // 3xx, and what is not an HTTP status.
    other = CLERK_CALL_STATUS_OTHER,
    // 4xx, except 429.
    client_error = CLERK_CALL_STATUS_CLIENT_ERROR,
    // 429
    rate_limited = CLERK_CALL_STATUS_RATE_LIMITED,
    // 5xx
    server_error = CLERK_CALL_STATUS_SERVER_ERROR,
    // No complete response: the connection failed, or the deadline passed.
    no_response = CLERK_CALL_STATUS_NO_RESPONSE,
};

// Whether the engine of the shared cache is used.
enum class SharedCacheState : int32_t {
    // There is no shared cache.
    off = CLERK_SHARED_CACHE_STATE_OFF,
    // It is used.
    available = CLERK_SHARED_CACHE_STATE_AVAILABLE,
    // It fails and is not used for a while; the process goes on without it.
    unavailable = CLERK_SHARED_CACHE_STATE_UNAVAILABLE,
};

// The values of the setting `authorized_parties_missing`.
enum class AuthorizedPartiesMissing { refuse, accept };

constexpr std::string_view name(AuthorizedPartiesMissing value) noexcept {
    switch (value) {
    case AuthorizedPartiesMissing::refuse:
        return "refuse";
    case AuthorizedPartiesMissing::accept:
        break;
    }
    return "accept";
}

// The values of the setting `csrf`.
enum class Csrf { off, check };

constexpr std::string_view name(Csrf value) noexcept {
    switch (value) {
    case Csrf::off:
        return "off";
    case Csrf::check:
        break;
    }
    return "check";
}

// The values of the setting `user_mode`.
enum class UserMode { claims, profile, sync };

constexpr std::string_view name(UserMode value) noexcept {
    switch (value) {
    case UserMode::claims:
        return "claims";
    case UserMode::profile:
        return "profile";
    case UserMode::sync:
        break;
    }
    return "sync";
}

// The values of the setting `link_by_email`.
enum class LinkByEmail { never, verified };

constexpr std::string_view name(LinkByEmail value) noexcept {
    switch (value) {
    case LinkByEmail::never:
        return "never";
    case LinkByEmail::verified:
        break;
    }
    return "verified";
}

// The values of the setting `handshake`.
enum class Handshake { off, on };

constexpr std::string_view name(Handshake value) noexcept {
    switch (value) {
    case Handshake::off:
        return "off";
    case Handshake::on:
        break;
    }
    return "on";
}

// The values of the setting `handshake_query`.
enum class HandshakeQuery { development, always };

constexpr std::string_view name(HandshakeQuery value) noexcept {
    switch (value) {
    case HandshakeQuery::development:
        return "development";
    case HandshakeQuery::always:
        break;
    }
    return "always";
}

namespace detail {

template <class Enum>
constexpr int32_t number(Enum value) noexcept {
    return static_cast<int32_t>(value);
}

} // namespace detail

// Returns the name that Clerk, the log and the other languages use, such as "token-expired". Static; "" for an unknown
// number.
inline std::string_view name(Reason reason) noexcept { return clerk_reason_name(detail::number(reason)); }
inline std::string_view name(Category category) noexcept { return clerk_category_name(detail::number(category)); }
inline std::string_view name(Source source) noexcept { return clerk_source_name(detail::number(source)); }
inline std::string_view name(HandshakeSource source) noexcept {
    return clerk_handshake_source_name(detail::number(source));
}
inline std::string_view name(TokenKind kind) noexcept { return clerk_token_kind_name(detail::number(kind)); }
inline std::string_view name(EventKind kind) noexcept { return clerk_event_kind_name(detail::number(kind)); }
inline std::string_view name(Endpoint endpoint) noexcept { return clerk_endpoint_name(detail::number(endpoint)); }
inline std::string_view name(CallStatus status) noexcept { return clerk_call_status_name(detail::number(status)); }
inline std::string_view name(SharedCacheState state) noexcept {
    return clerk_shared_cache_state_name(detail::number(state));
}

// Returns the C name, such as "CLERK_E_CONFIG".
inline std::string_view name(Status status) noexcept { return clerk_status_name(detail::number(status)); }

constexpr std::string_view name(Outcome outcome) noexcept {
    switch (outcome) {
    case Outcome::signed_in:
        return "signed-in";
    case Outcome::signed_out:
        return "signed-out";
    case Outcome::no_credentials:
        return "no-credentials";
    case Outcome::unavailable:
        break;
    }
    return "unavailable";
}

inline Category category(Reason reason) noexcept {
    return static_cast<Category>(clerk_reason_category(detail::number(reason)));
}

CLERK_AUTH_NAMESPACE_END

#endif
