/* The binary interface: sizes, offsets and numbers are frozen; all versions are the same. */
#include "check.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "the numbers below are those of 64-bit systems");

#define LAYOUT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)

_Static_assert(sizeof(clerk_str) == 16, "clerk_str");
LAYOUT(clerk_str, data, 0);
LAYOUT(clerk_str, len, 8);

_Static_assert(sizeof(clerk_header) == 32, "clerk_header");
LAYOUT(clerk_header, name, 0);
LAYOUT(clerk_header, value, 16);

_Static_assert(sizeof(clerk_request) == 208, "clerk_request");
LAYOUT(clerk_request, struct_size, 0);
LAYOUT(clerk_request, flags, 4);
LAYOUT(clerk_request, headers, 8);
LAYOUT(clerk_request, header_count, 16);
LAYOUT(clerk_request, authorization, 24);
LAYOUT(clerk_request, cookie, 40);
LAYOUT(clerk_request, method, 56);
LAYOUT(clerk_request, host, 72);
LAYOUT(clerk_request, origin, 88);
LAYOUT(clerk_request, sec_fetch_site, 104);
LAYOUT(clerk_request, scheme, 120);
LAYOUT(clerk_request, target, 136);
LAYOUT(clerk_request, accept, 152);
LAYOUT(clerk_request, sec_fetch_dest, 168);
LAYOUT(clerk_request, referer, 184);
LAYOUT(clerk_request, mark, 200);

_Static_assert(sizeof(clerk_stats) == 1440, "clerk_stats");
LAYOUT(clerk_stats, struct_size, 0);
LAYOUT(clerk_stats, reserved, 4);
LAYOUT(clerk_stats, cache_hits, 8);
LAYOUT(clerk_stats, cache_misses, 16);
LAYOUT(clerk_stats, signed_in, 24);
LAYOUT(clerk_stats, signed_out, 32);
LAYOUT(clerk_stats, unavailable, 40);
LAYOUT(clerk_stats, jwks_fetches, 48);
LAYOUT(clerk_stats, user_fetches, 56);
LAYOUT(clerk_stats, cached_tokens, 64);
LAYOUT(clerk_stats, cached_users, 72);
LAYOUT(clerk_stats, jwks_age_ms, 80);
LAYOUT(clerk_stats, no_credentials, 88);
LAYOUT(clerk_stats, would_block, 96);
LAYOUT(clerk_stats, store_errors, 104);
LAYOUT(clerk_stats, calls, 112);
LAYOUT(clerk_stats, open_circuits, 1136);
LAYOUT(clerk_stats, rate_limited, 1264);
LAYOUT(clerk_stats, shared_cache_hits, 1392);
LAYOUT(clerk_stats, shared_cache_misses, 1400);
LAYOUT(clerk_stats, shared_cache_errors, 1408);
LAYOUT(clerk_stats, shared_cache_rejected, 1416);
LAYOUT(clerk_stats, revocation_lag_ms, 1424);
LAYOUT(clerk_stats, shared_cache_state, 1432);

/* Enumerations have 32 bits. */
_Static_assert(sizeof(clerk_reason) == 4 && sizeof(clerk_attribute) == 4 && sizeof(clerk_store_request_kind) == 4,
               "enums");
_Static_assert(sizeof(clerk_column) == 4 && sizeof(clerk_event_kind) == 4 && sizeof(clerk_check) == 4, "enums");
_Static_assert(sizeof(clerk_log_level) == 4 && sizeof(clerk_source) == 4 && sizeof(clerk_category) == 4, "enums");
_Static_assert(sizeof(clerk_token_kind) == 4 && sizeof(clerk_status) == 4 && sizeof(clerk_store_status) == 4, "enums");

#define FROZEN(name, number) _Static_assert((name) == (number), #name)

FROZEN(CLERK_STORE_OK, 0);
FROZEN(CLERK_STORE_DECLINE, 1);
FROZEN(CLERK_STORE_CONFLICT, 2);
FROZEN(CLERK_TOKEN_KIND_SESSION_TOKEN, 1);
FROZEN(CLERK_TOKEN_KIND_API_KEY, 2);
FROZEN(CLERK_TOKEN_KIND_OAUTH_TOKEN, 3);
FROZEN(CLERK_TOKEN_KIND_M2M_TOKEN, 4);
FROZEN(CLERK_CATEGORY_NO_CREDENTIALS, 1);
FROZEN(CLERK_CATEGORY_INVALID_TOKEN, 2);
FROZEN(CLERK_CATEGORY_FORBIDDEN, 3);
FROZEN(CLERK_CATEGORY_MISCONFIGURED, 4);
FROZEN(CLERK_CATEGORY_UNAVAILABLE, 5);
FROZEN(CLERK_SOURCE_CACHE, 1);
FROZEN(CLERK_SOURCE_VERIFIED, 2);
FROZEN(CLERK_LOG_LEVEL_ERROR, 1);
FROZEN(CLERK_LOG_LEVEL_DEBUG, 4);
FROZEN(CLERK_ATTRIBUTE_SUBJECT, 0);
FROZEN(CLERK_ATTRIBUTE_USER_KEY, 1);
FROZEN(CLERK_ATTRIBUTE_ORG_PERMISSIONS, 9);
FROZEN(CLERK_ATTRIBUTE_CLAIMS, 16);
FROZEN(CLERK_ATTRIBUTE_EXTERNAL_ID, 22);
FROZEN(CLERK_EVENT_KIND_AUTH_SUCCESS, 1);
FROZEN(CLERK_EVENT_KIND_AUTH_FAILED, 2);
FROZEN(CLERK_EVENT_KIND_CACHE_MISS, 3);
FROZEN(CLERK_EVENT_KIND_USER_CREATED, 4);
FROZEN(CLERK_EVENT_KIND_JWKS_REFRESHED, 8);
FROZEN(CLERK_EVENT_KIND_STALE_USER_SERVED, 10);
FROZEN(CLERK_EVENT_KIND_USER_DELETED, 11);
FROZEN(CLERK_EVENT_KIND_SECRET_KEY_REJECTED, 12);
FROZEN(CLERK_EVENT_KIND_JWKS_FETCH_LIMITED, 13);
FROZEN(CLERK_EVENT_KIND_HANDSHAKE_STARTED, 14);
FROZEN(CLERK_EVENT_KIND_HANDSHAKE_FAILED, 16);
FROZEN(CLERK_EVENT_KIND_SHARED_CACHE_UNAVAILABLE, 17);
FROZEN(CLERK_EVENT_KIND_SHARED_CACHE_AVAILABLE, 18);
FROZEN(CLERK_HANDSHAKE_SOURCE_NONCE, 1);
FROZEN(CLERK_HANDSHAKE_SOURCE_REFRESH, 3);
FROZEN(CLERK_STORE_REQUEST_KIND_DONE, 0);
FROZEN(CLERK_STORE_REQUEST_KIND_FIND_BY_KEY, 1);
FROZEN(CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID, 2);
FROZEN(CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL, 3);
FROZEN(CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN, 4);
FROZEN(CLERK_STORE_REQUEST_KIND_CREATE, 5);
FROZEN(CLERK_STORE_REQUEST_KIND_UPDATE, 6);
FROZEN(CLERK_STORE_REQUEST_KIND_BEGIN, 7);
FROZEN(CLERK_STORE_REQUEST_KIND_COMMIT, 8);
FROZEN(CLERK_STORE_REQUEST_KIND_ROLLBACK, 9);
FROZEN(CLERK_STORE_REQUEST_KIND_FETCH_USER, 10);
FROZEN(CLERK_COLUMN_CLERK_ID, 0);
FROZEN(CLERK_COLUMN_EMAIL, 1);
FROZEN(CLERK_COLUMN_USERNAME, 2);
FROZEN(CLERK_COLUMN_IMAGE_URL, 5);
FROZEN(CLERK_COLUMN_LAST_ACTIVE_AT_MS, 6);
FROZEN(CLERK_COLUMN_BANNED_BY_CLERK, 8);
FROZEN(CLERK_COLUMN_CLERK_UPDATED_AT_MS, 9);
FROZEN(CLERK_CHECK_ROLE, 1);
FROZEN(CLERK_CHECK_REVERIFICATION, 5);

static const struct {
    int32_t macro, number;
    const char *name;
} statuses[] = {
    {CLERK_OK, 0, "CLERK_OK"},
    {CLERK_SIGNED_OUT, 1, "CLERK_SIGNED_OUT"},
    {CLERK_NO_CREDENTIALS, 2, "CLERK_NO_CREDENTIALS"},
    {CLERK_UNAVAILABLE, 3, "CLERK_UNAVAILABLE"},
    {CLERK_WOULD_BLOCK, 4, "CLERK_WOULD_BLOCK"},
    {CLERK_PENDING, 5, "CLERK_PENDING"},
    {CLERK_WEBHOOK_IGNORED, 6, "CLERK_WEBHOOK_IGNORED"},
    {CLERK_E_NULL, -101, "CLERK_E_NULL"},
    {CLERK_E_ARGUMENT, -102, "CLERK_E_ARGUMENT"},
    {CLERK_E_UTF8, -103, "CLERK_E_UTF8"},
    {CLERK_E_STRUCT_SIZE, -104, "CLERK_E_STRUCT_SIZE"},
    {CLERK_E_STATE, -105, "CLERK_E_STATE"},
    {CLERK_E_NOT_FOUND, -106, "CLERK_E_NOT_FOUND"},
    {CLERK_E_CONFIG, -201, "CLERK_E_CONFIG"},
    {CLERK_E_FORKED, -301, "CLERK_E_FORKED"},
    {CLERK_E_API, -302, "CLERK_E_API"},
    {CLERK_E_REENTRANT, -401, "CLERK_E_REENTRANT"},
    {CLERK_E_WEBHOOK, -501, "CLERK_E_WEBHOOK"},
    {CLERK_E_PANIC, -901, "CLERK_E_PANIC"},
};

/* By number, from 1. */
static const struct {
    clerk_reason reason;
    const char *name_of_number;
    clerk_category category;
} reasons[] = {
    {CLERK_REASON_SESSION_TOKEN_MISSING, "session-token-missing", CLERK_CATEGORY_NO_CREDENTIALS},
    {CLERK_REASON_TOKEN_INVALID, "token-invalid", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_INVALID_SIGNATURE, "token-invalid-signature", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_EXPIRED, "token-expired", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_NOT_ACTIVE_YET, "token-not-active-yet", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_IAT_IN_THE_FUTURE, "token-iat-in-the-future", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_INVALID_AUTHORIZED_PARTIES, "token-invalid-authorized-parties", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_INVALID_AUDIENCE, "token-invalid-audience", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_INVALID_ISSUER, "token-invalid-issuer", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_TOKEN_TYPE_NOT_SUPPORTED, "token-type-not-supported", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_JWK_KID_MISMATCH, "jwk-kid-mismatch", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_JWK_FAILED_TO_RESOLVE, "jwk-failed-to-resolve", CLERK_CATEGORY_MISCONFIGURED},
    {CLERK_REASON_JWK_FAILED_TO_LOAD, "jwk-failed-to-load", CLERK_CATEGORY_UNAVAILABLE},
    {CLERK_REASON_JWK_REMOTE_INVALID, "jwk-remote-invalid", CLERK_CATEGORY_UNAVAILABLE},
    {CLERK_REASON_SECRET_KEY_INVALID, "secret-key-invalid", CLERK_CATEGORY_MISCONFIGURED},
    {CLERK_REASON_SERVER_ERROR, "server-error", CLERK_CATEGORY_UNAVAILABLE},
    {CLERK_REASON_USER_NOT_FOUND, "user-not-found", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_USER_INACTIVE, "user-inactive", CLERK_CATEGORY_FORBIDDEN},
    {CLERK_REASON_SESSION_PENDING, "session-pending", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_SESSION_REVOKED, "session-revoked", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_LINK_CONFLICT, "link-conflict", CLERK_CATEGORY_FORBIDDEN},
    {CLERK_REASON_STORE_ERROR, "store-error", CLERK_CATEGORY_UNAVAILABLE},
    {CLERK_REASON_SESSION_TOKEN_AND_UAT_MISSING, "session-token-and-uat-missing", CLERK_CATEGORY_NO_CREDENTIALS},
    {CLERK_REASON_SESSION_TOKEN_BUT_NO_CLIENT_UAT, "session-token-but-no-client-uat", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_CLIENT_UAT_BUT_NO_SESSION_TOKEN, "client-uat-but-no-session-token", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_SESSION_TOKEN_IAT_BEFORE_CLIENT_UAT, "session-token-iat-before-client-uat",
     CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_INTERNAL_ERROR, "internal-error", CLERK_CATEGORY_UNAVAILABLE},
    {CLERK_REASON_CSRF_FAILED, "csrf-failed", CLERK_CATEGORY_FORBIDDEN},
    {CLERK_REASON_DEV_BROWSER_SYNC, "dev-browser-sync", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_DEV_BROWSER_MISSING, "dev-browser-missing", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_SATELLITE_NEEDS_SYNCING, "satellite-needs-syncing", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_PRIMARY_RESPONDS_TO_SYNCING, "primary-responds-to-syncing", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_PRIMARY_DOMAIN_CROSS_ORIGIN_SYNC, "primary-domain-cross-origin-sync", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_ACTIVE_ORGANIZATION_MISMATCH, "active-organization-mismatch", CLERK_CATEGORY_INVALID_TOKEN},
    {CLERK_REASON_SHARED_CACHE_UNAVAILABLE, "shared-cache-unavailable", CLERK_CATEGORY_UNAVAILABLE},
};

/* The string for an enumerator is its name in lower case. */
static void check_name(const char *name_of_number, const char *name) {
    CHECK(strlen(name_of_number) == strlen(name));
    for (size_t i = 0; name[i] != 0; i++) CHECK_INT(name_of_number[i], tolower((unsigned char)name[i]));
}
#define CHECK_NAME(of, prefix, name) check_name(of(prefix##name), #name)

static void names_of_enumerators(void) {
    CHECK_NAME(clerk_category_name, CLERK_CATEGORY_, NO_CREDENTIALS);
    CHECK_NAME(clerk_category_name, CLERK_CATEGORY_, INVALID_TOKEN);
    CHECK_NAME(clerk_category_name, CLERK_CATEGORY_, FORBIDDEN);
    CHECK_NAME(clerk_category_name, CLERK_CATEGORY_, MISCONFIGURED);
    CHECK_NAME(clerk_category_name, CLERK_CATEGORY_, UNAVAILABLE);
    CHECK_CSTR(clerk_category_name(CLERK_CATEGORY_UNAVAILABLE + 1), "");
    CHECK_NAME(clerk_source_name, CLERK_SOURCE_, CACHE);
    CHECK_NAME(clerk_source_name, CLERK_SOURCE_, VERIFIED);
    CHECK_CSTR(clerk_source_name(CLERK_SOURCE_VERIFIED + 1), "");
    CHECK_NAME(clerk_token_kind_name, CLERK_TOKEN_KIND_, SESSION_TOKEN);
    CHECK_NAME(clerk_token_kind_name, CLERK_TOKEN_KIND_, API_KEY);
    CHECK_NAME(clerk_token_kind_name, CLERK_TOKEN_KIND_, OAUTH_TOKEN);
    CHECK_NAME(clerk_token_kind_name, CLERK_TOKEN_KIND_, M2M_TOKEN);
    CHECK_CSTR(clerk_token_kind_name(CLERK_TOKEN_KIND_M2M_TOKEN + 1), "");
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, AUTH_SUCCESS);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, AUTH_FAILED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, CACHE_MISS);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, USER_CREATED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, USER_UPDATED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, USER_LINKED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, LINK_CONFLICT);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, JWKS_REFRESHED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, RATE_LIMITED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, STALE_USER_SERVED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, USER_DELETED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, SECRET_KEY_REJECTED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, JWKS_FETCH_LIMITED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, HANDSHAKE_STARTED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, HANDSHAKE_RESOLVED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, HANDSHAKE_FAILED);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, SHARED_CACHE_UNAVAILABLE);
    CHECK_NAME(clerk_event_kind_name, CLERK_EVENT_KIND_, SHARED_CACHE_AVAILABLE);
    CHECK_CSTR(clerk_event_kind_name(CLERK_EVENT_KIND_SHARED_CACHE_AVAILABLE + 1), "");
    CHECK_NAME(clerk_handshake_source_name, CLERK_HANDSHAKE_SOURCE_, NONCE);
    CHECK_NAME(clerk_handshake_source_name, CLERK_HANDSHAKE_SOURCE_, TOKEN);
    CHECK_NAME(clerk_handshake_source_name, CLERK_HANDSHAKE_SOURCE_, REFRESH);
    CHECK_CSTR(clerk_handshake_source_name(CLERK_HANDSHAKE_SOURCE_REFRESH + 1), "");
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, JWKS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, USERS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, SESSIONS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, M2M_TOKENS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, OAUTH_TOKENS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, API_KEYS);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, HANDSHAKE_PAYLOAD);
    CHECK_NAME(clerk_endpoint_name, CLERK_ENDPOINT_, SESSION_REFRESH);
    CHECK_CSTR(clerk_endpoint_name(CLERK_ENDPOINT_SESSION_REFRESH + 1), "");
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, SUCCESS);
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, OTHER);
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, CLIENT_ERROR);
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, RATE_LIMITED);
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, SERVER_ERROR);
    CHECK_NAME(clerk_call_status_name, CLERK_CALL_STATUS_, NO_RESPONSE);
    CHECK_CSTR(clerk_call_status_name(CLERK_CALL_STATUS_NO_RESPONSE + 1), "");
    CHECK_NAME(clerk_shared_cache_state_name, CLERK_SHARED_CACHE_STATE_, OFF);
    CHECK_NAME(clerk_shared_cache_state_name, CLERK_SHARED_CACHE_STATE_, AVAILABLE);
    CHECK_NAME(clerk_shared_cache_state_name, CLERK_SHARED_CACHE_STATE_, UNAVAILABLE);
    CHECK_CSTR(clerk_shared_cache_state_name(CLERK_SHARED_CACHE_STATE_UNAVAILABLE + 1), "");
}

/* Every name is accepted by a config: an empty value clears the setting, or is reported as invalid by that name. */
static void setting_names(void) {
    clerk_setting info = CLERK_SETTING_INIT;
    clerk_config *config = clerk_config_new();
    size_t count = 0;
    for (; clerk_setting_info(count, &info) == CLERK_OK; count++) {
        clerk_error *error = NULL;
        int32_t status = clerk_config_set(config, info.name, CLERK_STR(""), &error);
        if (status != CLERK_OK) {
            CHECK_STATUS(status, CLERK_E_CONFIG);
            CHECK_CSTR(clerk_error_setting(error).data, info.name.data);
        }
        clerk_error_free(error);
        /* The default and the limits are accepted, values beyond them are not. */
        if (info.default_value.data != NULL)
            CHECK_STATUS(clerk_config_set(config, info.name, info.default_value, NULL), CLERK_OK);
        if (info.value_type == CLERK_SETTING_TYPE_INTEGER) {
            CHECK_STATUS(clerk_config_set_int(config, info.name, info.maximum, NULL), CLERK_OK);
            CHECK_STATUS(clerk_config_set_int(config, info.name, info.maximum + 1, NULL), CLERK_E_CONFIG);
            CHECK_STATUS(clerk_config_set_int(config, info.name, info.minimum, NULL), CLERK_OK);
            CHECK_STATUS(clerk_config_set_int(config, info.name, info.minimum - 1, NULL), CLERK_E_CONFIG);
        }
        CHECK((info.allowed_values.data != NULL) ==
              (info.value_type == CLERK_SETTING_TYPE_ENUMERATION || info.value_type == CLERK_SETTING_TYPE_ENUMERATION_SET));
        CHECK(info.group.len > 0 && info.description.len > 10 && info.description.data[info.description.len] == '\0');
    }
    CHECK(count > 20);
    CHECK_STATUS(clerk_setting_info(count, &info), CLERK_E_NOT_FOUND);
    CHECK_STATUS(clerk_setting_info(0, NULL), CLERK_E_NULL);
    CHECK_STATUS(clerk_setting_info(0, &info), CLERK_OK);
    CHECK_CSTR(info.name.data, "secret_key");
    CHECK_CSTR(info.group.data, "keys");
    CHECK_CSTR(info.environment.data, "CLERK_SECRET_KEY");
    CHECK(info.is_secret == 1 && info.default_value.data == NULL);
    info.struct_size = 8;
    CHECK_STATUS(clerk_setting_info(0, &info), CLERK_E_STRUCT_SIZE);
    clerk_config_free(config);
}

static void versions(void) {
    int major, minor, patch;
    CHECK(sscanf(clerk_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
    CHECK_INT(CLERK_VERSION_MAJOR, major);
    CHECK_INT(CLERK_VERSION_MINOR, minor);
    CHECK_INT(CLERK_VERSION_PATCH, patch);
    CHECK_INT(CLERK_VERSION_NUMBER, major * 65536 + minor * 256 + patch);
    CHECK_CSTR(clerk_version(), PACKAGE_VERSION);
    CHECK_INT(clerk_abi_version(), CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR);
    CHECK_INT(CLERK_ABI_MAJOR, 0);
}

/* A part that is missing in the composed number would not be noticed while it is 0. */
#undef CLERK_VERSION_MAJOR
#undef CLERK_VERSION_MINOR
#undef CLERK_VERSION_PATCH
#define CLERK_VERSION_MAJOR 3
#define CLERK_VERSION_MINOR 5
#define CLERK_VERSION_PATCH 7
_Static_assert(CLERK_VERSION_NUMBER == 0x030507, "each part has its place in the composed version");

int main(void) {
    versions();
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        CHECK_INT(statuses[i].macro, statuses[i].number);
        CHECK_CSTR(clerk_status_name(statuses[i].number), statuses[i].name);
    }
    int32_t last = sizeof reasons / sizeof reasons[0];
    for (int32_t number = 1; number <= last; number++) {
        CHECK_INT(reasons[number - 1].reason, number);
        CHECK_CSTR(clerk_reason_name(number), reasons[number - 1].name_of_number);
        CHECK_INT(clerk_reason_category(number), reasons[number - 1].category);
    }
    CHECK_CSTR(clerk_reason_name(last + 1), "");
    names_of_enumerators();
    setting_names();

    clerk_request request = CLERK_REQUEST_INIT;
    CHECK_INT(request.struct_size, sizeof request);
    CHECK(request.flags == 0 && request.headers == NULL && request.method.data == NULL);
    clerk_stats stats = CLERK_STATS_INIT;
    CHECK_INT(stats.struct_size, sizeof stats);
    CHECK(stats.cache_hits == 0 && stats.jwks_age_ms == -1);
    CHECK_INT(CLERK_STR("four").len, 4);
    return 0;
}
