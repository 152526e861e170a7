'use strict';
// Generated from the Rust sources by `make generate`; do not edit.

/** Outcomes, by the numbers of their statuses. */
const STATUSES = [
  'signed-in',
  'signed-out',
  'no-credentials',
  'unavailable',
];

/** Levels of log lines, by their numbers less 1. */
const LOG_LEVELS = [
  'error',
  'warn',
  'info',
  'debug',
];

const ATTRIBUTE = {
  subject: 0,
  userKey: 1,
  sessionId: 2,
  sessionStatus: 3,
  issuer: 4,
  authorizedParty: 5,
  orgId: 6,
  orgSlug: 7,
  orgRole: 8,
  orgPermissions: 9,
  features: 10,
  plans: 11,
  actor: 12,
  tokenId: 13,
  clientId: 14,
  scopes: 15,
  claims: 16,
  email: 17,
  username: 18,
  firstName: 19,
  lastName: 20,
  imageUrl: 21,
  externalId: 22,
  tokenName: 23,
};

const CHECK = {
  role: 1,
  permission: 2,
  feature: 3,
  plan: 4,
  reverification: 5,
};

const COLUMN = {
  clerkId: 0,
  email: 1,
  username: 2,
  firstName: 3,
  lastName: 4,
  imageUrl: 5,
  lastActiveAtMs: 6,
  isActive: 7,
  bannedByClerk: 8,
  clerkUpdatedAtMs: 9,
};

/** Options and the settings they set, in the order of the README. */
const SETTINGS = new Map(Object.entries({
  secretKey: 'secret_key',
  publishableKey: 'publishable_key',
  jwtKey: 'jwt_key',
  machineSecretKey: 'machine_secret_key',
  jwks: 'jwks',
  jwksUrl: 'jwks_url',
  acceptsToken: 'accepts_token',
  authorizedParties: 'authorized_parties',
  authorizedPartiesMissing: 'authorized_parties_missing',
  audience: 'audience',
  issuer: 'issuer',
  expectedMachineId: 'expected_machine_id',
  clockSkewMs: 'clock_skew_ms',
  treatPendingAsSignedOut: 'treat_pending_as_signed_out',
  allowBareToken: 'allow_bare_token',
  checkClientUat: 'check_client_uat',
  requireSuffixedCookie: 'require_suffixed_cookie',
  csrf: 'csrf',
  sessionCheckTtlS: 'session_check_ttl_s',
  ignoreCookies: 'ignore_cookies',
  cacheTtlS: 'cache_ttl_s',
  cacheCapacity: 'cache_capacity',
  machineCacheTtlS: 'machine_cache_ttl_s',
  userTtlS: 'user_ttl_s',
  userStaleIfErrorS: 'user_stale_if_error_s',
  rowCheckTtlS: 'row_check_ttl_s',
  userMode: 'user_mode',
  database: 'database',
  linkByEmail: 'link_by_email',
  machineTokensSkipUser: 'machine_tokens_skip_user',
  blockDeactivatedEmail: 'block_deactivated_email',
  deactivateDeletedUsers: 'deactivate_deleted_users',
  apiUrl: 'api_url',
  timeoutMs: 'timeout_ms',
  caPem: 'ca_pem',
  proxy: 'proxy',
  userAgent: 'user_agent',
  webhookSecrets: 'webhook_secrets',
  instanceId: 'instance_id',
  revocationTtlS: 'revocation_ttl_s',
  handshake: 'handshake',
  refresh: 'refresh',
  publicOrigin: 'public_origin',
  trustForwarded: 'trust_forwarded',
  proxyUrl: 'proxy_url',
  domain: 'domain',
  isSatellite: 'is_satellite',
  signInUrl: 'sign_in_url',
  satelliteAutoSync: 'satellite_auto_sync',
  satelliteOrigins: 'satellite_origins',
  handshakeQuery: 'handshake_query',
  handshakeSendSession: 'handshake_send_session',
  crossOriginSync: 'cross_origin_sync',
  organizationPatterns: 'organization_patterns',
  personalAccountPatterns: 'personal_account_patterns',
}));

/** Environment variables and the options they set. */
const ENVIRONMENT = {
  CLERK_SECRET_KEY: 'secretKey',
  CLERK_PUBLISHABLE_KEY: 'publishableKey',
  CLERK_JWT_KEY: 'jwtKey',
  CLERK_MACHINE_SECRET_KEY: 'machineSecretKey',
  CLERK_AUTH_PARTIES: 'authorizedParties',
  CLERK_AUDIENCE: 'audience',
  CLERK_CLOCK_SKEW_IN_MS: 'clockSkewMs',
  CLERK_CACHE_TIMEOUT: 'cacheTtlS',
  CLERK_DATABASE_URL: 'database',
  CLERK_API_URL: 'apiUrl',
  CLERK_TIMEOUT_MS: 'timeoutMs',
  CLERK_WEBHOOK_SIGNING_SECRET: 'webhookSecrets',
  CLERK_PROXY_URL: 'proxyUrl',
  CLERK_DOMAIN: 'domain',
  CLERK_IS_SATELLITE: 'isSatellite',
  CLERK_SIGN_IN_URL: 'signInUrl',
};

module.exports = { STATUSES, LOG_LEVELS, ATTRIBUTE, CHECK, COLUMN, SETTINGS, ENVIRONMENT };
