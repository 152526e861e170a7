// The C header's enums as scoped ones. Names and numbers are the header's, in lower case.
#ifndef CLERK_AUTH_ENUMS_HPP
#define CLERK_AUTH_ENUMS_HPP

#include "base.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// The four answers to "who is calling?".
enum class Outcome : int32_t {
    signed_in = CLERK_OK,
    signed_out = CLERK_SIGNED_OUT,
    no_credentials = CLERK_NO_CREDENTIALS,
    unavailable = CLERK_UNAVAILABLE,
};

// What a call returned; the status of an Error.
enum class Status : int32_t {
    ok = CLERK_OK,
    signed_out = CLERK_SIGNED_OUT,
    no_credentials = CLERK_NO_CREDENTIALS,
    unavailable = CLERK_UNAVAILABLE,
    would_block = CLERK_WOULD_BLOCK,
    pending = CLERK_PENDING,
    webhook_ignored = CLERK_WEBHOOK_IGNORED,
    e_null = CLERK_E_NULL,
    e_argument = CLERK_E_ARGUMENT,
    e_utf8 = CLERK_E_UTF8,
    e_struct_size = CLERK_E_STRUCT_SIZE,
    e_state = CLERK_E_STATE,
    e_not_found = CLERK_E_NOT_FOUND,
    e_config = CLERK_E_CONFIG,
    e_forked = CLERK_E_FORKED,
    e_api = CLERK_E_API,
    e_reentrant = CLERK_E_REENTRANT,
    e_webhook = CLERK_E_WEBHOOK,
    e_panic = CLERK_E_PANIC,
};

enum class Reason : int32_t {
    session_token_missing = CLERK_REASON_SESSION_TOKEN_MISSING,
    token_invalid = CLERK_REASON_TOKEN_INVALID,
    token_invalid_signature = CLERK_REASON_TOKEN_INVALID_SIGNATURE,
    token_expired = CLERK_REASON_TOKEN_EXPIRED,
    token_not_active_yet = CLERK_REASON_TOKEN_NOT_ACTIVE_YET,
    token_iat_in_the_future = CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE,
    token_invalid_authorized_parties = CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES,
    token_invalid_audience = CLERK_REASON_TOKEN_INVALID_AUDIENCE,
    token_invalid_issuer = CLERK_REASON_TOKEN_INVALID_ISSUER,
    token_type_not_supported = CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED,
    jwk_kid_mismatch = CLERK_REASON_JWK_KID_MISMATCH,
    jwk_failed_to_resolve = CLERK_REASON_JWK_FAILED_TO_RESOLVE,
    jwk_failed_to_load = CLERK_REASON_JWK_FAILED_TO_LOAD,
    jwk_remote_invalid = CLERK_REASON_JWK_REMOTE_INVALID,
    secret_key_invalid = CLERK_REASON_SECRET_KEY_INVALID,
    server_error = CLERK_REASON_SERVER_ERROR,
    user_not_found = CLERK_REASON_USER_NOT_FOUND,
    user_inactive = CLERK_REASON_USER_INACTIVE,
    session_pending = CLERK_REASON_SESSION_PENDING,
    session_revoked = CLERK_REASON_SESSION_REVOKED,
    link_conflict = CLERK_REASON_LINK_CONFLICT,
    store_error = CLERK_REASON_STORE_ERROR,
    session_token_and_uat_missing = CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING,
    session_token_but_no_client_uat = CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT,
    client_uat_but_no_session_token = CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN,
    session_token_iat_before_client_uat = CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT,
    internal_error = CLERK_REASON_INTERNAL_ERROR,
};

enum class Category : int32_t {
    no_credentials = CLERK_CATEGORY_NO_CREDENTIALS,
    invalid_token = CLERK_CATEGORY_INVALID_TOKEN,
    forbidden = CLERK_CATEGORY_FORBIDDEN,
    misconfigured = CLERK_CATEGORY_MISCONFIGURED,
    unavailable = CLERK_CATEGORY_UNAVAILABLE,
};

enum class Source : int32_t {
    cache = CLERK_SOURCE_CACHE,
    verified = CLERK_SOURCE_VERIFIED,
};

enum class LogLevel : int32_t {
    error = CLERK_LOG_LEVEL_ERROR,
    warn = CLERK_LOG_LEVEL_WARN,
    info = CLERK_LOG_LEVEL_INFO,
    debug = CLERK_LOG_LEVEL_DEBUG,
};

enum class TokenKind : int32_t {
    session_token = CLERK_TOKEN_KIND_SESSION_TOKEN,
    api_key = CLERK_TOKEN_KIND_API_KEY,
    oauth_token = CLERK_TOKEN_KIND_OAUTH_TOKEN,
    m2m_token = CLERK_TOKEN_KIND_M2M_TOKEN,
};

enum class Attribute : int32_t {
    subject = CLERK_ATTRIBUTE_SUBJECT,
    user_key = CLERK_ATTRIBUTE_USER_KEY,
    session_id = CLERK_ATTRIBUTE_SESSION_ID,
    session_status = CLERK_ATTRIBUTE_SESSION_STATUS,
    issuer = CLERK_ATTRIBUTE_ISSUER,
    authorized_party = CLERK_ATTRIBUTE_AUTHORIZED_PARTY,
    org_id = CLERK_ATTRIBUTE_ORG_ID,
    org_slug = CLERK_ATTRIBUTE_ORG_SLUG,
    org_role = CLERK_ATTRIBUTE_ORG_ROLE,
    org_permissions = CLERK_ATTRIBUTE_ORG_PERMISSIONS,
    features = CLERK_ATTRIBUTE_FEATURES,
    plans = CLERK_ATTRIBUTE_PLANS,
    actor = CLERK_ATTRIBUTE_ACTOR,
    token_id = CLERK_ATTRIBUTE_TOKEN_ID,
    client_id = CLERK_ATTRIBUTE_CLIENT_ID,
    scopes = CLERK_ATTRIBUTE_SCOPES,
    claims = CLERK_ATTRIBUTE_CLAIMS,
    email = CLERK_ATTRIBUTE_EMAIL,
    username = CLERK_ATTRIBUTE_USERNAME,
    first_name = CLERK_ATTRIBUTE_FIRST_NAME,
    last_name = CLERK_ATTRIBUTE_LAST_NAME,
    image_url = CLERK_ATTRIBUTE_IMAGE_URL,
    external_id = CLERK_ATTRIBUTE_EXTERNAL_ID,
};

enum class EventKind : int32_t {
    auth_success = CLERK_EVENT_KIND_AUTH_SUCCESS,
    auth_failed = CLERK_EVENT_KIND_AUTH_FAILED,
    cache_miss = CLERK_EVENT_KIND_CACHE_MISS,
    user_created = CLERK_EVENT_KIND_USER_CREATED,
    user_updated = CLERK_EVENT_KIND_USER_UPDATED,
    user_linked = CLERK_EVENT_KIND_USER_LINKED,
    link_conflict = CLERK_EVENT_KIND_LINK_CONFLICT,
    jwks_refreshed = CLERK_EVENT_KIND_JWKS_REFRESHED,
    rate_limited = CLERK_EVENT_KIND_RATE_LIMITED,
    stale_user_served = CLERK_EVENT_KIND_STALE_USER_SERVED,
    user_deleted = CLERK_EVENT_KIND_USER_DELETED,
    secret_key_rejected = CLERK_EVENT_KIND_SECRET_KEY_REJECTED,
};

enum class StoreRequestKind : int32_t {
    done = CLERK_STORE_REQUEST_KIND_DONE,
    find_by_key = CLERK_STORE_REQUEST_KIND_FIND_BY_KEY,
    find_by_clerk_id = CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID,
    find_by_email = CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL,
    username_taken = CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN,
    create = CLERK_STORE_REQUEST_KIND_CREATE,
    update = CLERK_STORE_REQUEST_KIND_UPDATE,
    begin = CLERK_STORE_REQUEST_KIND_BEGIN,
    commit = CLERK_STORE_REQUEST_KIND_COMMIT,
    rollback = CLERK_STORE_REQUEST_KIND_ROLLBACK,
    fetch_user = CLERK_STORE_REQUEST_KIND_FETCH_USER,
};

enum class Column : int32_t {
    clerk_id = CLERK_COLUMN_CLERK_ID,
    email = CLERK_COLUMN_EMAIL,
    username = CLERK_COLUMN_USERNAME,
    first_name = CLERK_COLUMN_FIRST_NAME,
    last_name = CLERK_COLUMN_LAST_NAME,
    image_url = CLERK_COLUMN_IMAGE_URL,
    last_active_at_ms = CLERK_COLUMN_LAST_ACTIVE_AT_MS,
    is_active = CLERK_COLUMN_IS_ACTIVE,
    banned_by_clerk = CLERK_COLUMN_BANNED_BY_CLERK,
};

enum class Check : int32_t {
    role = CLERK_CHECK_ROLE,
    permission = CLERK_CHECK_PERMISSION,
    feature = CLERK_CHECK_FEATURE,
    plan = CLERK_CHECK_PLAN,
    reverification = CLERK_CHECK_REVERIFICATION,
};

namespace detail {

template <class Enum>
constexpr int32_t number(Enum value) noexcept {
    return static_cast<int32_t>(value);
}

} // namespace detail

// Returns the name, such as "token-expired"; "" for an unknown value. Static.
inline std::string_view name(Reason reason) noexcept { return clerk_reason_name(detail::number(reason)); }
inline std::string_view name(Category category) noexcept { return clerk_category_name(detail::number(category)); }
inline std::string_view name(Source source) noexcept { return clerk_source_name(detail::number(source)); }
inline std::string_view name(TokenKind kind) noexcept { return clerk_token_kind_name(detail::number(kind)); }
inline std::string_view name(EventKind kind) noexcept { return clerk_event_kind_name(detail::number(kind)); }

// The C name, such as "CLERK_E_CONFIG".
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
