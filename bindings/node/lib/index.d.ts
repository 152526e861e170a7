import { EventEmitter } from 'node:events';
import { IncomingHttpHeaders } from 'node:http';
import {
  CallStatus,
  Category,
  Endpoint,
  EventName,
  HandshakeSource,
  LogLevel,
  Reason,
  Settings,
  SharedCacheState,
  Source,
  Status,
  TokenType,
} from './enums.js';

/** The version of the library. */
export const version: string;

export * from './enums.js';

export interface ClientOptions<Row extends UserRow = UserRow, Token extends TokenType = TokenType> extends Omit<
  Settings,
  'handshake' | 'acceptsToken'
> {
  /** Token types that are accepted; machine tokens in the `Authorization` header only. Default: session_token. */
  acceptsToken?: Token | 'any' | readonly (Token | 'any')[];
  /** Keeps pages signed in: the middleware redirects browsers to Clerk and back. Needs both keys. */
  handshake?: boolean | Settings['handshake'];
  /** The environment that provides missing settings. Default: `process.env`. `false` disables it. */
  env?: boolean | Record<string, string | undefined>;
  /** The application's user table. */
  users?: UserStore<Row>;
  /** The deadline for all queries of the table during one request. Default: `timeoutMs`. */
  storeTimeoutMs?: number;
  /** @internal A clock that only `setTime` advances; 0 is the system's time. */
  clock?: { nowMs: number };
}

export type UserKey = string | number | bigint;

/** A row of the user table. It may have further columns. */
export interface UserRow {
  key: UserKey;
  clerkId?: string | null;
  email?: string | null;
  username?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  imageUrl?: string | null;
  lastActiveAtMs?: StoredTime;
  isActive?: StoredFlag;
  bannedByClerk?: StoredFlag;
  clerkUpdatedAtMs?: StoredTime;
}

/** What drivers return for a BIGINT of milliseconds, or for a time. */
export type StoredTime = number | bigint | string | Date | null;
/** What drivers return for a BOOLEAN, TINYINT or BIT(1). Null counts as false. */
export type StoredFlag = boolean | number | bigint | string | Uint8Array | null;

/** The columns to write. A column that is absent stays unchanged. */
export interface UserColumns {
  clerkId?: string;
  email?: string | null;
  username?: string;
  firstName?: string;
  lastName?: string;
  imageUrl?: string | null;
  lastActiveAtMs?: number | null;
  isActive?: boolean;
  bannedByClerk?: boolean;
  clerkUpdatedAtMs?: number | null;
}

/** The condition that a row must meet to be updated. Other processes may have changed it since it was read. */
export interface UpdateCondition {
  /** `clerkId` of the row must be null: `update … and clerk_id is null`. */
  onlyIfUnlinked: boolean;
  /** `clerkUpdatedAtMs` of the row must be null or at most this. Null for a table without the column. */
  maxVersion: number | null;
  /** `isActive` of the row must be true: a row that the application has deactivated meanwhile is not marked as banned. */
  onlyIfActive: boolean;
  /** `isActive` of the row must be false and `bannedByClerk` true: only a ban is lifted. */
  onlyIfBanned: boolean;
}

type Awaitable<T> = T | Promise<T>;

/**
 * The application's user table. `create` and `update` are one transaction each, and throw a ConflictError when the value of a
 * unique column exists already or no row was updated. The errors of pg, mysql2, better-sqlite3, node:sqlite and Prisma for a
 * unique column count as one, also within those of a query builder. A method whose transaction the database aborted, as for a
 * deadlock, is called again.
 */
export interface UserStore<Row extends UserRow = UserRow> {
  /** The columns of the table. Default: all but `clerkUpdatedAtMs`. */
  columns?: (keyof UserColumns)[];
  /** The maximum number of characters in string columns. */
  columnLengths?: { [column in 'email' | 'username' | 'firstName' | 'lastName' | 'imageUrl']?: number };
  findByKey(key: string): Awaitable<Row | null | undefined>;
  /** Finds a row by exact comparison. */
  findByClerkId(clerkId: string): Awaitable<Row | null | undefined>;
  /**
   * Finds rows by case-insensitive comparison. Two rows suffice: first those that the application has deactivated (`isActive`
   * and `bannedByClerk` are false), which may reject the user.
   */
  findByEmail(email: string): Awaitable<Row[] | Row | null | undefined>;
  /** Returns whether a row other than `exceptKey` has this username, by case-insensitive comparison. */
  usernameTaken(username: string, exceptKey: string | null): Awaitable<boolean>;
  /**
   * Inserts a row. Returns it, or its key: then `findByKey` reads it. A row with `isActive` false rejects the request that
   * created it.
   */
  create(columns: UserColumns): Awaitable<UserKey | Row>;
  /**
   * Updates a row if it meets the condition, which must be part of the statement; else throws a ConflictError. Returns the
   * new row, or nothing: then `findByKey` reads it.
   */
  update(key: string, columns: UserColumns, condition: UpdateCondition): Awaitable<Row | void>;
  /** Rejects a table that cannot be used. Called by `warmUp` and before the first query, until it has succeeded. */
  check?(): Promise<void>;
}

/** The checks of `has`. All of them must pass. */
export interface AuthorizationParams {
  role?: string;
  permission?: string;
  feature?: string;
  plan?: string;
  reverification?:
    | 'strict_mfa'
    | 'strict'
    | 'moderate'
    | 'lax'
    | { level: 'first_factor' | 'second_factor' | 'multi_factor'; afterMinutes: number };
}

declare global {
  /**
   * The custom claims of session tokens. Extend it:
   * `declare global { interface CustomJwtSessionClaims { metadata: { plan?: string } } }`
   */
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface CustomJwtSessionClaims {}
}

/** The claims of a session token. */
export type SessionClaims = CustomJwtSessionClaims & {
  sub: string;
  iss: string;
  exp: number;
  iat: number;
  nbf?: number;
  azp?: string;
  sid?: string;
  /** Other claims, and those of custom templates. */
  [claim: string]: unknown;
};

/** What every result has. */
interface AuthBase {
  readonly category: Category | null;
  readonly httpStatus: number;
  /** Milliseconds until a retry may succeed; null if unknown. */
  readonly retryAfterMs: number | null;
  /** Whether Clerk's handshake may recover the session. */
  readonly handshakeRecommended: boolean;
  /** Whether the request showed no token, with `handshake` on also where no session cookie was read. */
  readonly isAnonymous: boolean;
  /** The `Location` of a 307, with `handshake` on. To be looked at before `status`. Do not log it. */
  readonly redirect: string | null;
  /** The values of `Set-Cookie` lines to add to the response, whatever the status is, each by itself. */
  readonly setCookies: string[];
  /** The value of a `Cache-Control` line to add to the response: `no-store` with a redirect or cookies. */
  readonly cacheControl: string | null;
  /** The hash of the token, as events have it; null if the request carries no token. */
  readonly tokenHash: string | null;
  /** Returns true if all checks pass; false for none and for an unknown one. */
  readonly has: (params: AuthorizationParams) => boolean;
  /** Returns the value of a `WWW-Authenticate` header; null unless `httpStatus` is 401 or 403. */
  readonly challenge: (realm?: string) => string | null;
}

/** What a signed-in result has, whatever the type of the token. */
interface SignedInBase<Row extends UserRow> extends AuthBase {
  readonly status: 'signed-in';
  readonly isAuthenticated: true;
  readonly reason: null;
  readonly publicReason: null;
  readonly source: Source;
  readonly error: null;
  /** The claim `sub`: the Clerk user or the machine. */
  readonly subject: string;
  readonly sessionStatus: string | null;
  readonly orgId: string | null;
  readonly orgSlug: string | null;
  readonly orgRole: string | null;
  readonly orgPermissions: string[] | null;
  /** Minutes since the first and the second factor were verified; -1 for never. */
  readonly factorVerificationAge: [number, number] | null;
  /** The token's expiry in milliseconds since 1970; null if it does not expire. */
  readonly expiresAtMs: number | null;
  readonly tokenId: string | null;
  /** The name of an API key. */
  readonly tokenName: string | null;
  readonly clientId: string | null;
  readonly scopes: string[] | null;
  /**
   * The user's row: its key, and the row as it was last read, at most `rowCheckTtlS` ago. All requests share it: do not change
   * it. Null if more users than `cacheCapacity` were seen since.
   */
  readonly localUser: { key: string; row: Row | null } | null;
  readonly profile: {
    email: string | null;
    username: string | null;
    firstName: string | null;
    lastName: string | null;
    imageUrl: string | null;
    externalId: string | null;
  } | null;
}

/** The result of a valid session token. */
export interface SessionAuth<Row extends UserRow = UserRow> extends SignedInBase<Row> {
  readonly tokenType: 'session_token';
  readonly userId: string;
  readonly sessionId: string | null;
  readonly sessionClaims: SessionClaims;
  readonly actor: Record<string, unknown> | null;
}

/** The result of a valid machine token. */
export interface MachineAuth<
  Token extends MachineTokenType = MachineTokenType,
  Row extends UserRow = UserRow,
> extends SignedInBase<Row> {
  readonly tokenType: Token;
  /** Null if the subject is a machine. */
  readonly userId: string | null;
  readonly sessionId: null;
  /** Null for an opaque token. */
  readonly sessionClaims: Record<string, unknown> | null;
  readonly actor: null;
}

/** The result of a request that is not signed in. */
export interface SignedOutAuth extends AuthBase {
  readonly status: Exclude<Status, 'signed-in'>;
  readonly isAuthenticated: false;
  readonly reason: Reason;
  /** What a client may receive: `reason`, or for 500 and 503 `category`, because the reason describes the server. */
  readonly publicReason: Reason | Category;
  readonly source: null;
  /** The underlying error of an `unavailable` result, for the log. Do not send it to clients. */
  readonly error: ClerkError | null;
  readonly tokenType: null;
  readonly userId: null;
  readonly subject: null;
  readonly sessionId: null;
  readonly sessionStatus: null;
  readonly sessionClaims: null;
  readonly actor: null;
  readonly orgId: null;
  readonly orgSlug: null;
  readonly orgRole: null;
  readonly orgPermissions: null;
  readonly factorVerificationAge: null;
  readonly expiresAtMs: null;
  readonly tokenId: null;
  readonly tokenName: null;
  readonly clientId: null;
  readonly scopes: null;
  readonly localUser: null;
  readonly profile: null;
}

export type MachineTokenType = Exclude<TokenType, 'session_token'>;

type SignedInAuth<Row extends UserRow, Token extends TokenType> = Token extends MachineTokenType
  ? MachineAuth<Token, Row>
  : SessionAuth<Row>;

/**
 * The result of an authentication; `isAuthenticated` narrows it. `Token` are the types of tokens that the client accepts
 * (`acceptsToken`), of which `tokenType` is one.
 */
export type Auth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'> =
  SignedInAuth<Row, Token> | SignedOutAuth;

/** What the middleware and the options `acceptsToken` may be given. */
export type AcceptsToken = TokenType | 'any' | readonly (TokenType | 'any')[];

/** The argument of `requireAuth`. All of it must be fulfilled. */
export interface RequireAuthParams extends AuthorizationParams {
  /** The types of tokens that the route accepts, among those that the client accepts. Others are rejected with 401. */
  acceptsToken?: AcceptsToken;
}

export interface MiddlewareOptions {
  /**
   * Responds to requests with an invalid token (401, 403), and to those whose result is unavailable (503), also where
   * authentication is optional. Requests without a credential are passed on. Default: false.
   */
  rejectInvalid?: boolean;
}

/** A client of any row and any type of token. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyClient = ClerkClient<any, any>;

export interface ClerkEvent {
  type: EventName;
  userKey: string | null;
  clerkId: string | null;
  /** `clerk:auth:` followed by the token's SHA-256. */
  tokenHash: string | null;
  reason: Reason | null;
  source: Source | null;
  retryAfterMs?: number;
  /** Where Clerk's response to a handshake came from. */
  handshakeSource?: HandshakeSource;
  /** How many `Set-Cookie` lines of it were not passed on. */
  droppedLines?: number;
}

export interface LogEvent {
  level: LogLevel;
  message: string;
}

export interface ClerkEventMap extends Record<EventName, ClerkEvent> {
  log: LogEvent;
}

export interface ClerkEvents extends EventEmitter {
  on<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
  once<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
  off<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
}

export type HeadersLike =
  | IncomingHttpHeaders
  | Record<string, string | string[] | undefined>
  | [string, string][]
  | { get(name: string): string | null; has(name: string): boolean };

/** Node's request, a Fetch request, or the headers alone. */
export type RequestLike = { headers: HeadersLike; method?: string; rawHeaders?: string[] } | HeadersLike;

/** How the browser addressed the request; for the setting `handshake`. Default: what Node's or Fetch's request says. */
export interface PageOptions {
  /** `https` or `http`. */
  scheme?: string;
  /** Path and query, exactly as received. */
  target?: string;
}

/** A webhook request with its raw body. */
export type WebhookRequest =
  | Request
  | (AsyncIterable<Uint8Array | string> & { headers: HeadersLike })
  | { headers: HeadersLike; body: string | ArrayBuffer | ArrayBufferView };

export interface WebhookResult {
  outcome: 'applied' | 'ignored' | 'rejected' | 'unavailable';
  /** The status to respond with. */
  httpStatus: 200 | 400 | 503;
  error: ClerkError | null;
  /** The verified event, if it was applied or ignored; Clerk may deliver it again. Null if it was not accepted. */
  event: WebhookEvent | null;
}

/** A user as Clerk's API has it; only the members that are read here are listed. */
export interface WebhookUser {
  id: string;
  username: string | null;
  first_name: string | null;
  last_name: string | null;
  image_url?: string;
  external_id?: string | null;
  banned?: boolean;
  primary_email_address_id: string | null;
  email_addresses: { id: string; email_address: string; verification: { status: string } | null }[];
  updated_at: number;
  public_metadata?: Record<string, unknown>;
  [member: string]: unknown;
}

interface WebhookEventBase<Type extends string, Data> {
  type: Type;
  data: Data;
  object: 'event';
  timestamp: number;
  instance_id?: string;
}

/** What events are about, apart from users and sessions. */
type WebhookSubject =
  | 'email'
  | 'invitation'
  | 'organization'
  | 'organizationDomain'
  | 'organizationInvitation'
  | 'organizationMembership'
  | 'paymentAttempt'
  | 'permission'
  | 'role'
  | 'sms'
  | 'subscription'
  | 'subscriptionItem'
  | 'waitlistEntry';

/** An event of Clerk; `type` narrows `data`. */
export type WebhookEvent =
  | WebhookEventBase<'user.created' | 'user.updated', WebhookUser>
  | WebhookEventBase<'user.deleted', { id: string; deleted: boolean; [member: string]: unknown }>
  | WebhookEventBase<
      'session.created' | 'session.ended' | 'session.pending' | 'session.removed' | 'session.revoked',
      { id: string; user_id: string; status: string; [member: string]: unknown }
    >
  | WebhookEventBase<`${WebhookSubject}.${string}`, Record<string, unknown>>;

/** What the channel `clerk-auth:authenticate` of `node:diagnostics_channel` publishes for each call of `authenticate`. */
export interface AuthenticateMessage {
  client: AnyClient;
  /** Null if the call was rejected with `error`. */
  auth: Auth<UserRow, TokenType> | null;
  error: unknown;
  durationMs: number;
}

export interface Stats {
  cacheHits: number;
  cacheMisses: number;
  signedIn: number;
  signedOut: number;
  unavailable: number;
  jwksFetches: number;
  userFetches: number;
  cachedTokens: number;
  cachedUsers: number;
  jwksAgeMs: number;
  noCredentials: number;
  /** Calls of `authenticateCached` without a result. */
  wouldBlock: number;
  /** Also counted in `unavailable`. */
  storeErrors: number;
  /** Calls to Clerk, each attempt counted, without those that have not happened. */
  calls: { endpoint: Endpoint; status: CallStatus; count: number }[];
  /** Endpoints to which no calls are sent now, after failures or a 429. */
  openCircuits: Endpoint[];
  /** Those of `openCircuits` after a 429. */
  rateLimited: Endpoint[];
  /** The cache that processes share. */
  sharedCache: {
    state: SharedCacheState;
    /** Users that were found. */
    hits: number;
    /** Users that were looked for and not found. */
    misses: number;
    /** Operations that failed. */
    errors: number;
    /** Entries that were ignored: damaged, of another instance or secret, or replayed. */
    rejected: number;
    /** How long the last change by another process took to be applied here; -1 if there was none. */
    revocationLagMs: number;
  };
}

/** Where a request has a credential. */
export interface Credential {
  /** The token that `authenticate` would verify; null if there is none or it is malformed. */
  token: string | null;
  source: 'none' | 'header' | 'cookie';
}

export interface CallOptions {
  /** Rejects the promise when aborted. The call itself continues. */
  signal?: AbortSignal | null;
}

/** One check of an explanation. Values of the token are truncated and escaped. */
export interface Check {
  name: string;
  status: 'ok' | 'failed' | 'skipped';
  expected: string;
  found: string;
  /** How it may be mended. */
  hint?: string;
  /** The failure in one phrase. */
  failure?: string;
}

/** Why a token is accepted or rejected; without the token and its signature. */
export interface Explanation {
  /** Whether a check fails. Checks that are skipped may still reject the token. */
  rejected: boolean;
  reason: Reason | null;
  /** The failure that decides, as in the log at debug level. */
  summary: string;
  /** The token's type; null if it has none. */
  kind: TokenType | null;
  /** Whether the signature was verified. If not, a token that no check rejects may be forged. */
  verified: boolean;
  /** In the order of verification. */
  checks: Check[];
  /** One line for each check. */
  text: string;
}

/** Verifies Clerk tokens and caches the results. Create one client and share it between requests. */
export class ClerkClient<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'> {
  constructor(options?: ClientOptions<Row, Token>);
  readonly events: ClerkEvents;
  /** Verifies a webhook and applies it. Rejects for wrong use only. */
  readonly webhooks: { handle(request: WebhookRequest, options?: CallOptions): Promise<WebhookResult> };
  /** Authenticates a request. An invalid token is a status, not a rejection; it rejects for wrong use only. */
  authenticate(request: RequestLike, options?: CallOptions & PageOptions): Promise<Auth<Row, Token>>;
  /** Returns the cached result, or undefined. Never waits. */
  authenticateCached(request: RequestLike, options?: PageOptions): Auth<Row, Token> | undefined;
  /** Finds the credential of a request. Verifies nothing, emits no event, caches nothing. */
  credential(request: RequestLike): Credential;
  /** Whether the setting `handshake` is on. */
  readonly handshake: boolean;
  /** Verifies a JWT without cache, user lookup and events. */
  verifyToken(token: string, options?: CallOptions): Promise<Auth<Row, Token>>;
  /** Fetches the keys, so that the first request does not have to. */
  warmUp(options?: CallOptions): Promise<void>;
  /** Removes cached results; the next request is verified again. */
  invalidateToken(token: string): void;
  invalidateUser(clerkId: string): void;
  invalidateSession(sessionId: string): void;
  invalidateAll(): void;
  /**
   * Explains why a token is accepted or rejected, without trusting it and without a request: `warmUp` first, so that
   * signatures can be checked. For operators; not to be sent to clients.
   */
  explain(token: string): Explanation;
  /** Rejects all tokens of a session from now on, for `revocationTtlS`. */
  revokeSession(sessionId: string): void;
  /** Rejects all tokens of a Clerk user from now on, for `revocationTtlS`. */
  revokeUser(clerkId: string): void;
  /** Returns all revocations as JSON, for `importRevocations` in another process. */
  exportRevocations(): string;
  /** Merges the revocations of another process into those of this client; each keeps its expiry. */
  importRevocations(json: string): void;
  /**
   * Applies what other processes change in the shared cache, on a thread of its own until `close`: revocations, webhook events and
   * invalidations. It neither blocks the event loop nor keeps the process running. Throws without the option `sharedCache`.
   */
  startPoller(): void;
  stats(): Stats;
  /** Returns the counters in the text exposition format of Prometheus, `text/plain; version=0.0.4`. */
  metricsText(): string;
  /** @internal */
  setTime(nowMs: number): void;
  /**
   * Cancels calls that wait for Clerk, which reject with `CLERK_CLOSED`. Resolves when no call is in flight. Rejects inside a method of `users`.
   * With a shared cache it first sends the changes that other processes do not know yet, for at most a second.
   */
  close(): Promise<void>;
  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}

export type ErrorCode =
  | 'CLERK_API'
  | 'CLERK_CLOSED'
  | 'CLERK_CONFIG'
  | 'CLERK_INTERNAL'
  | 'CLERK_LOAD'
  | 'CLERK_NO_MIDDLEWARE'
  | 'CLERK_PANIC'
  | 'CLERK_REENTRANT'
  | 'CLERK_STORE_TIMEOUT'
  | 'CLERK_UNAVAILABLE'
  | 'CLERK_WEBHOOK'
  | (string & {});

export class ClerkError extends Error {
  readonly code: ErrorCode;
  readonly cause?: unknown;
  readonly reason?: Reason;
  /** The invalid setting. */
  readonly setting?: string;
  /** The status of Clerk's response. */
  readonly httpStatus?: number;
  /** Clerk's trace id of that response. */
  readonly traceId?: string;
  readonly retryAfterMs?: number;
}

/** Thrown by `create` and `update` of a user store when the value of a unique column exists already. */
export class ConflictError extends Error {
  constructor(message?: string, options?: { cause?: unknown });
  readonly code: 'CLERK_CONFLICT';
}
