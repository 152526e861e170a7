// Generated from the Rust sources by `make generate`; do not edit.

export type Status =
  | 'signed-in'
  | 'signed-out'
  | 'no-credentials'
  | 'unavailable';

export type Reason =
  // The request has neither an `Authorization: Bearer` header nor a session cookie.
  | 'session-token-missing'
  // The credential or the token is malformed or unsupported, or a claim has the wrong type.
  | 'token-invalid'
  // No key of this instance verifies the signature.
  | 'token-invalid-signature'
  // `exp` plus the clock skew has passed.
  | 'token-expired'
  // `nbf` is in the future.
  | 'token-not-active-yet'
  // `iat` is in the future.
  | 'token-iat-in-the-future'
  // `azp` is missing or not among the authorized parties.
  | 'token-invalid-authorized-parties'
  // `aud` is missing or names none of the configured audiences.
  | 'token-invalid-audience'
  // `iss` is not among the configured issuers.
  | 'token-invalid-issuer'
  // The type of the token is not accepted, for example an OAuth token where only session tokens are.
  | 'token-type-not-supported'
  // No key of this instance has the token's key id.
  | 'jwk-kid-mismatch'
  // No verification key is configured for this token.
  | 'jwk-failed-to-resolve'
  // The JWK set could not be fetched.
  | 'jwk-failed-to-load'
  // The fetched document is not a valid JWK set.
  | 'jwk-remote-invalid'
  // Clerk rejects the secret key.
  | 'secret-key-invalid'
  // The Backend API is unavailable, rate-limited, or sends an unexpected response.
  | 'server-error'
  // The user does not exist at Clerk.
  | 'user-not-found'
  // The user is banned at Clerk, or inactive in the application's user table.
  | 'user-inactive'
  // The session has pending tasks (`sts: pending`).
  | 'session-pending'
  // The session has ended or was revoked.
  | 'session-revoked'
  // The user's row is ambiguous or belongs to another Clerk user.
  | 'link-conflict'
  // The user store failed.
  | 'store-error'
  // `check_client_uat`: no session cookie, and the browser is signed out.
  | 'session-token-and-uat-missing'
  // `check_client_uat`: a session cookie, but the browser is signed out.
  | 'session-token-but-no-client-uat'
  // `check_client_uat`: the browser is signed in, but there is no session cookie.
  | 'client-uat-but-no-session-token'
  // `check_client_uat`: the token was issued before the browser's last sign-in or sign-out.
  | 'session-token-iat-before-client-uat'
  // Internal error of this library.
  | 'internal-error'
  // `csrf`: a cookie on an unsafe method, without evidence that the request comes from the same origin.
  | 'csrf-failed'
  // `handshake`: the address carries a development browser, which has to be passed on to Clerk.
  | 'dev-browser-sync'
  // `handshake`: a browser that the development instance does not know.
  | 'dev-browser-missing'
  // `handshake`: a satellite has to ask the primary domain whether the browser is signed in.
  | 'satellite-needs-syncing'
  // `handshake`: a satellite asks the primary domain of a development instance.
  | 'primary-responds-to-syncing'
  // `cross_origin_sync`: the visitor follows a link from another site.
  | 'primary-domain-cross-origin-sync'
  // `organization_patterns`: the path belongs to another organization than the active one.
  | 'active-organization-mismatch'
  // `shared_cache_required`: the shared cache cannot be used.
  | 'shared-cache-unavailable';

export type Category =
  // No credential was presented. The application may continue with a session of its own.
  | 'no_credentials'
  // The credential was rejected: 401.
  | 'invalid_token'
  // The user is known and has no access: 403.
  | 'forbidden'
  // The server is misconfigured, for example with a rejected secret key: 500.
  | 'misconfigured'
  // The result cannot be determined: 503, retry later.
  | 'unavailable';

export type Source =
  // The token was verified earlier, and the result was cached.
  | 'cache'
  // The token was verified by this call.
  | 'verified';

export type HandshakeSource =
  // A nonce was exchanged at Clerk.
  | 'nonce'
  // A handshake token was verified.
  | 'token'
  // The session was refreshed with its refresh cookie.
  | 'refresh';

export type Endpoint =
  // `GET /jwks`
  | 'jwks'
  // `GET /users/{id}`
  | 'users'
  // `GET /sessions/{id}`
  | 'sessions'
  // `POST /m2m_tokens/verify`
  | 'm2m_tokens'
  // `POST /oauth_applications/access_tokens/verify`
  | 'oauth_tokens'
  // `POST /api_keys/verify`
  | 'api_keys'
  // `GET /clients/handshake_payload`
  | 'handshake_payload'
  // `POST /sessions/{id}/refresh`
  | 'session_refresh';

export type CallStatus =
  // 2xx
  | 'success'
  // 3xx, and what is not an HTTP status.
  | 'other'
  // 4xx, except 429.
  | 'client_error'
  // 429
  | 'rate_limited'
  // 5xx
  | 'server_error'
  // No complete response: the connection failed, or the deadline passed.
  | 'no_response';

export type SharedCacheState =
  // There is no shared cache.
  | 'off'
  // It is used.
  | 'available'
  // It fails and is not used for a while; the process goes on without it.
  | 'unavailable';

export type TokenType =
  // A signed-in user's short-lived session JWT.
  | 'session_token'
  // An opaque API key, `ak_…`.
  | 'api_key'
  // An OAuth access token, `oat_…` or an `at+jwt` JWT.
  | 'oauth_token'
  // A machine-to-machine token, `mt_…` or a JWT whose subject is a machine.
  | 'm2m_token';

export type LogLevel =
  // Requests fail because of this.
  | 'error'
  // A problem that does not fail requests.
  | 'warn'
  // Informational.
  | 'info'
  // For debugging.
  | 'debug';

export type EventName =
  // A request was signed in. Every request with a credential emits one such event or one `AUTH_FAILED`.
  | 'authSuccess'
  // A request with a credential was not signed in.
  | 'authFailed'
  // A token was not in the cache. Precedes its `AUTH_SUCCESS` or `AUTH_FAILED`.
  | 'cacheMiss'
  // A row was created.
  | 'userCreated'
  // A row was updated.
  | 'userUpdated'
  // An existing row without a Clerk user was linked to one by its verified e-mail address.
  | 'userLinked'
  // A row with the user's e-mail address or username belongs to another user. It was not changed.
  | 'linkConflict'
  // The JWK set was fetched.
  | 'jwksRefreshed'
  // Clerk rate-limited the library (429). No requests are sent until the wait is over.
  | 'rateLimited'
  // Clerk could not be reached. A stale cached user was used.
  | 'staleUserServed'
  // A webhook reported that a user was deleted. The application decides what happens to the row.
  | 'userDeleted'
  // Clerk rejected the secret key. Cached results may still be served for a while.
  | 'secretKeyRejected'
  // A token's key is not in the key set, which is not fetched again before `clerk_event_retry_after_ms`, because it
  // was just fetched for another token. After a rotation of Clerk's keys, tokens are rejected until then.
  | 'jwksFetchLimited'
  // A browser is redirected to Clerk.
  | 'handshakeStarted'
  // A browser came back from Clerk, or its session was refreshed. The response sets Clerk's cookies.
  | 'handshakeResolved'
  // Clerk's response to a handshake was not accepted or could not be fetched.
  | 'handshakeFailed'
  // The shared cache cannot be used. Until `SHARED_CACHE_AVAILABLE` the process goes on without it.
  | 'sharedCacheUnavailable'
  // The shared cache can be used again.
  | 'sharedCacheAvailable';

/** The settings, as the README of the library describes them. */
export interface Settings {
  /**
   * Clerk's secret key (`sk_live_…`); fetches signing keys and users.
   */
  secretKey?: string;
  /**
   * Publishable key (`pk_live_…`); selects this instance's own suffixed session cookie.
   */
  publishableKey?: string;
  /**
   * Public key for verification without network: PEM (also with escaped or missing line breaks), bare base64, JWK or
   * JWK set.
   */
  jwtKey?: string;
  /**
   * Machine secret key; verifies opaque M2M tokens granted to that machine, instead of the secret key.
   */
  machineSecretKey?: string;
  /**
   * JWK set as a JSON string, for a start without network.
   */
  jwks?: string;
  /**
   * Public URL of the JWK set (`https://<frontend API>/.well-known/jwks.json`), fetched without the secret key.
   */
  jwksUrl?: string;
  /**
   * Token types that are accepted; machine tokens in the `Authorization` header only. Default: session_token.
   */
  acceptsToken?: TokenType | 'any' | (TokenType | 'any')[];
  /**
   * Origins of which `azp` must be one, compared exactly; empty: not checked.
   */
  authorizedParties?: string | string[];
  /**
   * `accept`: a token without `azp` passes `authorized_parties`, as Clerk issues them for navigations without an
   * `Origin` and to servers; a wrong or empty `azp` is rejected all the same. Default: refuse.
   */
  authorizedPartiesMissing?: 'refuse' | 'accept';
  /**
   * Audiences of which `aud` must contain one; empty: not checked.
   */
  audience?: string | string[];
  /**
   * Issuers of which `iss` must be one; empty: not checked.
   */
  issuer?: string | string[];
  /**
   * Machine (`mch_…`) that an M2M token must be scoped to.
   */
  expectedMachineId?: string;
  /**
   * Tolerated difference between this clock and Clerk's. Default: 5000.
   */
  clockSkewMs?: number | string;
  /**
   * Reject sessions with pending tasks (choosing an organization, setting up MFA). Default: true.
   */
  treatPendingAsSignedOut?: boolean;
  /**
   * Accept an `Authorization` value that is a bare token, without `Bearer`. Default: false.
   */
  allowBareToken?: boolean;
  /**
   * Check the `__client_uat` cookie too, so that signing out takes effect before the token expires. Default: false.
   */
  checkClientUat?: boolean;
  /**
   * Read the suffixed session cookie only, not `__session`, which sites on sibling domains may set as well; needs
   * `publishable_key`. Default: false.
   */
  requireSuffixedCookie?: boolean;
  /**
   * `check`: a cookie on a method other than GET, HEAD, OPTIONS and TRACE needs a `Sec-Fetch-Site` or `Origin` that
   * shows the request's own origin or one of `authorized_parties`. Default: off.
   */
  csrf?: 'off' | 'check';
  /**
   * How long a session check (a request to Clerk whether the session is active) is cached; 0: no session checks.
   * Default: 0.
   */
  sessionCheckTtlS?: number | string;
  /**
   * Read tokens from the `Authorization` header only, never from a cookie; not together with `handshake`,
   * `check_client_uat` or `require_suffixed_cookie`, which read cookies. Default: false.
   */
  ignoreCookies?: boolean;
  /**
   * How long a verified token is cached, at most until it expires; 0: not cached. Default: 300.
   */
  cacheTtlS?: number | string;
  /**
   * How many verified tokens, and how many users, are cached. Default: 10000.
   */
  cacheCapacity?: number | string;
  /**
   * How long a verified opaque machine token is cached; 0: not cached, so that revoking it takes effect at once.
   * Default: 0.
   */
  machineCacheTtlS?: number | string;
  /**
   * How long a fetched user is fresh; 0: fetched for each new token. Default: 300.
   */
  userTtlS?: number | string;
  /**
   * How old a fetched user may be when Clerk is unavailable (stale-if-error); 0: stale users are not used. Default:
   * 3600.
   */
  userStaleIfErrorS?: number | string;
  /**
   * How long a row check (the user's row exists and is active) is cached, and so how late a change of the row by the
   * application may take effect; 0: the store is queried for each request, so that `clerk_authenticate_cached` never
   * has a result. Default: 0.
   */
  rowCheckTtlS?: number | string;
  /**
   * URL of the cache that processes share: `redis://`, `rediss://` (TLS), `redis+sentinel://host,host/master` or
   * `redis+cluster://host,host`, with `user:password@` before the host if needed; unset: none.
   */
  sharedCache?: string;
  /**
   * Secret that the entries of the shared cache are sealed with, at least 32 characters; two while it is rotated, of
   * which the first seals; needs `publishable_key`, which names the instance; unset: `secret_key`.
   */
  sharedCacheSecret?: string | string[];
  /**
   * Certificates (PEM) to trust for `rediss://` instead of the system's.
   */
  sharedCacheCaPem?: string;
  /**
   * Whether requests that need the shared cache, and webhooks that revoke tokens, get 503 without it, and no client
   * is created; `false`: the process goes on with its own caches. Default: false.
   */
  sharedCacheRequired?: boolean;
  /**
   * How many users a process fetches from Clerk per second where no other process is known not to fetch them as
   * well: without a shared cache, while it cannot be used, or for as long afterwards; 0: not limited. Default: 0.
   */
  clerkCallsPerS?: number | string;
  /**
   * `claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the application's own row; unset: `sync`
   * with a user store, else `claims`.
   */
  userMode?: 'claims' | 'profile' | 'sync';
  /**
   * Ready-made user table, instead of a user store: `sqlite:path`, `postgres://user:password@host/database` or
   * `mysql://user:password@host/database` (MySQL, MariaDB).
   */
  database?: string;
  /**
   * Whether a row without a Clerk id is linked by an address that Clerk has verified. Default: verified.
   */
  linkByEmail?: 'never' | 'verified';
  /**
   * Accept a user's API keys and OAuth tokens without the Clerk user and the row; a deactivated row, or a ban of
   * which no webhook was received, then does not reject them. Default: false.
   */
  machineTokensSkipUser?: boolean;
  /**
   * Reject a new Clerk user whose verified address is in a row that the application deactivated. Default: true.
   */
  blockDeactivatedEmail?: boolean;
  /**
   * Deactivate the row of a user that Clerk has deleted when the webhook `user.deleted` arrives, as the application
   * would: nothing activates it again; needs `user_mode` `sync` and columns for the Clerk id and `is_active`.
   * Default: false.
   */
  deactivateDeletedUsers?: boolean;
  /**
   * Base URL of the Backend API, with or without `/v1`, for every call; `http` only on loopback. Default:
   * https://api.clerk.com.
   */
  apiUrl?: string;
  /**
   * Time limit of a call to Clerk, with all retries: name lookup, connection, TLS, response. Default: 5000.
   */
  timeoutMs?: number | string;
  /**
   * Certificates (PEM) to trust instead of the system's.
   */
  caPem?: string;
  /**
   * HTTP proxy for calls to Clerk; proxy variables of the environment are ignored.
   */
  proxy?: string;
  /**
   * `User-Agent` of calls to Clerk; unset: `clerk-auth@<version>`.
   */
  userAgent?: string;
  /**
   * Signing secrets of webhook endpoints (`whsec_…`), several during rotation.
   */
  webhookSecrets?: string | string[];
  /**
   * Id of the Clerk instance (`ins_…`); webhooks of other instances are ignored.
   */
  instanceId?: string;
  /**
   * How long ended sessions and deleted users are rejected after a webhook; must be at least the lifetime of a
   * session token. Default: 86400.
   */
  revocationTtlS?: number | string;
  /**
   * `on`: a document request with a stale session cookie is redirected to Clerk and comes back signed in; needs
   * `publishable_key` and `secret_key`. Default: off.
   */
  handshake?: 'off' | 'on';
  /**
   * With `handshake`: renew an expired session with its refresh cookie, without a redirect. Default: true.
   */
  refresh?: boolean;
  /**
   * Origins under which browsers reach the application (`https://app.example.com`), compared exactly; empty:
   * `authorized_parties`. With neither, any host of a request counts.
   */
  publicOrigin?: string | string[];
  /**
   * Read the host and the scheme of the public URL from `X-Forwarded-Host` and `X-Forwarded-Proto`; only behind a
   * proxy that sets or removes both. Default: false.
   */
  trustForwarded?: boolean;
  /**
   * URL of a proxy in front of Clerk's Frontend API, or its path on the application's own origin, such as
   * `/__clerk`.
   */
  proxyUrl?: string;
  /**
   * Domain of this application if it is a satellite, such as `satellite.example.net`.
   */
  domain?: string;
  /**
   * Whether the application is a satellite: it shares the sessions of a primary application on another domain.
   * Default: false.
   */
  isSatellite?: boolean;
  /**
   * URL of the primary application's sign-in page; needed by a satellite of a development instance.
   */
  signInUrl?: string;
  /**
   * Whether a satellite asks the primary domain about visitors without cookies at their first request. Default:
   * false.
   */
  satelliteAutoSync?: boolean;
  /**
   * Origins of satellites to which the primary application of a development instance passes sessions on.
   */
  satelliteOrigins?: string | string[];
  /**
   * `development`: production instances read the response of a handshake from cookies only; `always`: from the query
   * too. Default: development.
   */
  handshakeQuery?: 'development' | 'always';
  /**
   * Pass the stale session token to Clerk in the redirect, so that it can be renewed even during an outage there.
   * Default: true.
   */
  handshakeSendSession?: boolean;
  /**
   * Redirect a visitor who follows a link from another site to Clerk once; only for applications on several domains.
   * Default: false.
   */
  crossOriginSync?: boolean;
  /**
   * Paths that belong to an organization, such as `/orgs/:slug` or `/orgs/:slug/(.*)`.
   */
  organizationPatterns?: string | string[];
  /**
   * Paths that belong to the personal account, such as `/me` or `/me/(.*)`.
   */
  personalAccountPatterns?: string | string[];
}
