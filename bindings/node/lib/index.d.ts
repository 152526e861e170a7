import { EventEmitter } from 'node:events';
import { IncomingHttpHeaders } from 'node:http';

/** The library's version. */
export const version: string;

export type Status = 'signed-in' | 'signed-out' | 'no-credentials' | 'unavailable';
export type Category = 'no_credentials' | 'invalid_token' | 'forbidden' | 'misconfigured' | 'unavailable';
export type Source = 'cache' | 'verified';
export type TokenType = 'session_token' | 'api_key' | 'oauth_token' | 'm2m_token';
export type Reason =
  | 'session-token-missing'
  | 'token-invalid'
  | 'token-invalid-signature'
  | 'token-expired'
  | 'token-not-active-yet'
  | 'token-iat-in-the-future'
  | 'token-invalid-authorized-parties'
  | 'token-invalid-audience'
  | 'token-invalid-issuer'
  | 'token-type-not-supported'
  | 'jwk-kid-mismatch'
  | 'jwk-failed-to-resolve'
  | 'jwk-failed-to-load'
  | 'jwk-remote-invalid'
  | 'secret-key-invalid'
  | 'server-error'
  | 'user-not-found'
  | 'user-inactive'
  | 'session-pending'
  | 'session-revoked'
  | 'link-conflict'
  | 'store-error'
  | 'session-token-and-uat-missing'
  | 'session-token-but-no-client-uat'
  | 'client-uat-but-no-session-token'
  | 'session-token-iat-before-client-uat'
  | 'internal-error';

/** The settings of the library's README, in camel case. */
export interface Settings {
  secretKey?: string;
  publishableKey?: string;
  jwtKey?: string;
  machineSecretKey?: string;
  jwks?: string;
  jwksUrl?: string;
  apiUrl?: string;
  authorizedParties?: string | string[];
  audience?: string | string[];
  issuer?: string | string[];
  acceptsToken?: TokenType | 'any' | (TokenType | 'any')[];
  clockSkewMs?: number | string;
  timeoutMs?: number | string;
  cacheTtlS?: number | string;
  cacheCapacity?: number | string;
  userTtlS?: number | string;
  userStaleIfErrorS?: number | string;
  /** 5 with `users`, else 0. */
  rowCheckTtlS?: number | string;
  userMode?: 'claims' | 'profile' | 'sync';
  linkByEmail?: 'never' | 'verified';
  treatPendingAsSignedOut?: boolean;
  allowBareToken?: boolean;
  checkClientUat?: boolean;
  machineCacheTtlS?: number | string;
  expectedMachineId?: string;
  sessionCheckTtlS?: number | string;
  revocationTtlS?: number | string;
  caPem?: string;
  proxy?: string;
  userAgent?: string;
  webhookSecrets?: string | string[];
  instanceId?: string;
}

export interface Options<Row extends UserRow = UserRow> extends Settings {
  /** Where settings that are not given come from: `process.env`, another environment, or `false` for nowhere. */
  env?: boolean | Record<string, string | undefined>;
  /** The host's own user table. */
  users?: UserStore<Row>;
  /** How long the table may take in all for one request; `timeoutMs` unless given. */
  storeTimeoutMs?: number;
  /** @internal A clock that stands still until `setTime`; 0 is the system's. */
  clock?: { nowMs: number };
}

export type Key = string | number | bigint;

/** A row of the host's table, and whatever else it holds. */
export interface UserRow {
  key: Key;
  clerkId?: string | null;
  email?: string | null;
  username?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  imageUrl?: string | null;
  lastActiveAtMs?: number | null;
  isActive?: boolean | 0 | 1;
  bannedByClerk?: boolean | 0 | 1;
}

/** What is to be written; columns that are not there stay as they are. */
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
}

type Awaitable<T> = T | Promise<T>;

/** `create` and `update` throw a ConflictError when a unique column is in the way; each is one transaction. */
export interface UserStore<Row extends UserRow = UserRow> {
  /** The columns that the table has; all of them unless given. */
  columns?: (keyof UserColumns)[];
  /** How many characters fit into text columns. */
  columnLengths?: { [column in 'email' | 'username' | 'firstName' | 'lastName' | 'imageUrl']?: number };
  findByKey(key: string): Awaitable<Row | null | undefined>;
  /** Compared exactly. */
  findByClerkId(clerkId: string): Awaitable<Row | null | undefined>;
  /** Compared without case; two rows are enough. */
  findByEmail(email: string): Awaitable<Row[] | Row | null | undefined>;
  /** Whether a row other than the given one has this name, compared without case. */
  usernameTaken(username: string, exceptKey: string | null): Awaitable<boolean>;
  /** The new row's key, or the new row. */
  create(columns: UserColumns): Awaitable<Key | Row>;
  /** The row as it is now, or nothing. */
  update(key: string, columns: UserColumns): Awaitable<Row | void>;
}

export interface Demands {
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

/** Who is calling. */
export interface Auth<Row extends UserRow = UserRow> {
  readonly status: Status;
  /** True for `signed-in` and nothing else. */
  readonly isAuthenticated: boolean;
  readonly reason: Reason | null;
  readonly category: Category | null;
  readonly source: Source | null;
  readonly httpStatus: number;
  readonly retryAfterMs: number | null;
  readonly handshakeRecommended: boolean;
  /** What stands behind `unavailable`, with its cause; not for clients. */
  readonly error: ClerkError | null;

  readonly tokenType: TokenType | null;
  readonly userId: string | null;
  readonly subject: string | null;
  readonly sessionId: string | null;
  readonly sessionStatus: string | null;
  readonly sessionClaims: Record<string, unknown> | null;
  readonly actor: Record<string, unknown> | null;
  readonly orgId: string | null;
  readonly orgSlug: string | null;
  readonly orgRole: string | null;
  readonly orgPermissions: string[] | null;
  readonly factorVerificationAge: [number, number] | null;
  readonly expiresAtMs: number | null;
  readonly tokenId: string | null;
  readonly clientId: string | null;
  readonly scopes: string[] | null;
  /** The host's own row: its key, and the row itself if the store was asked in this very call. */
  readonly localUser: { key: string; row: Row | null } | null;
  readonly profile: {
    email: string | null;
    username: string | null;
    firstName: string | null;
    lastName: string | null;
    imageUrl: string | null;
    externalId: string | null;
  } | null;

  /** Whether all that is demanded is there; nothing demanded, or something unknown: false. */
  readonly has: (demands: Demands) => boolean;
  /** The value of a `WWW-Authenticate` line, or null. */
  readonly challenge: (realm?: string) => string | null;
}

export interface ClerkEvent {
  type: Exclude<keyof ClerkEventMap, 'log'>;
  userKey: string | null;
  clerkId: string | null;
  /** `clerk:auth:` and the SHA-256 of the token. */
  tokenHash: string | null;
  reason: Reason | null;
  source: Source | null;
  retryAfterMs?: number;
}

export interface LogLine {
  level: 'error' | 'warn' | 'info' | 'debug';
  message: string;
}

export interface ClerkEventMap {
  authSuccess: ClerkEvent;
  authFailed: ClerkEvent;
  cacheMiss: ClerkEvent;
  userCreated: ClerkEvent;
  userUpdated: ClerkEvent;
  userLinked: ClerkEvent;
  linkConflict: ClerkEvent;
  jwksRefreshed: ClerkEvent;
  rateLimited: ClerkEvent;
  staleUserServed: ClerkEvent;
  userDeleted: ClerkEvent;
  secretKeyRejected: ClerkEvent;
  log: LogLine;
}

export interface ClerkEvents extends EventEmitter {
  on<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
  once<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
  off<Name extends keyof ClerkEventMap>(name: Name, listener: (event: ClerkEventMap[Name]) => void): this;
}

export type HeaderLines =
  | IncomingHttpHeaders
  | Record<string, string | string[] | undefined>
  | [string, string][]
  | { get(name: string): string | null; has(name: string): boolean };

/** Node's request, Fetch's, or the headers alone. */
export type AnyRequest = { headers: HeaderLines; method?: string; rawHeaders?: string[] } | HeaderLines;

export type Delivery =
  | Request
  | (AsyncIterable<Uint8Array | string> & { headers: HeaderLines })
  | { headers: HeaderLines; body: string | ArrayBuffer | ArrayBufferView };

export interface Handled {
  outcome: 'applied' | 'ignored' | 'refused' | 'unavailable';
  /** What to answer the delivery with. */
  httpStatus: 200 | 400 | 503;
  error: ClerkError | null;
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
}

export interface CallOptions {
  signal?: AbortSignal | null;
}

/** Shared by all requests. */
export class ClerkClient<Row extends UserRow = UserRow> {
  constructor(options?: Options<Row>);
  readonly events: ClerkEvents;
  readonly webhooks: { handle(request: Delivery, options?: CallOptions): Promise<Handled> };
  /** Never rejects for a bad token; see `Auth.status`. */
  authenticate(request: AnyRequest, options?: CallOptions): Promise<Auth<Row>>;
  /** The answer, if memory has it. */
  authenticateCached(request: AnyRequest): Auth<Row> | undefined;
  /** Verifies one JWT and nothing else: no user, no cache, no event. */
  verifyToken(token: string, options?: CallOptions): Promise<Auth<Row>>;
  /** Fetches the keys now, so that the first request need not wait. */
  warmUp(options?: CallOptions): Promise<void>;
  invalidateToken(token: string): void;
  invalidateUser(clerkId: string): void;
  invalidateSession(sessionId: string): void;
  invalidateAll(): void;
  stats(): Stats;
  /** @internal */
  setTime(nowMs: number): void;
  /** Breaks off what waits for Clerk; resolves when all calls have ended. Rejects inside a method of `users`. */
  close(): Promise<void>;
  /** The same. */
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
  /** The setting that is wrong. */
  readonly setting?: string;
  /** Of Clerk's answer. */
  readonly httpStatus?: number;
  readonly traceId?: string;
  readonly retryAfterMs?: number;
}

/** For a store's `create` and `update`: a unique column already holds such a value. */
export class ConflictError extends Error {
  constructor(message?: string, options?: { cause?: unknown });
  readonly code: 'CLERK_CONFLICT';
}
