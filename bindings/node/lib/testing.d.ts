import { ClientOptions, UserRow, UserStore } from './index';

export interface TestUser {
  /** Default: a new id. */
  id?: string;
  /** The primary address. Default: none. */
  email?: string;
  /** Whether Clerk has verified the address. Default: true. */
  verified?: boolean;
  username?: string;
  firstName?: string;
  lastName?: string;
  externalId?: string;
  banned?: boolean;
}

export interface TestToken {
  /** Default: a new user. */
  userId?: string;
  sessionId?: string;
  /** The active organization. Default: none. */
  orgId?: string;
  orgSlug?: string;
  /** Default: `org:member`. */
  orgRole?: string;
  /** Such as `org:invoices:create`. */
  orgPermissions?: string[];
  /** Features of the organization, or of the user without one. */
  features?: string[];
  /** The plan of the organization, or of the user without one. */
  plan?: string;
  /** Minutes since the first and the second factor were verified; -1 for never. */
  factorVerificationAge?: [number, number];
  /** Negative for a token that has expired. Default: 60. */
  expiresInS?: number;
  /** Further claims, and claims to replace. */
  claims?: Record<string, unknown>;
}

/** A Clerk instance on the loopback interface: its tokens are real, signed with a key of this process. */
export interface TestClerk {
  /** The options of a client that accepts the tokens of this instance, and of no other. */
  readonly options: Omit<ClientOptions, 'acceptsToken' | 'users'>;
  /** The URL of its Backend API. */
  readonly url: string;
  /** The public key as PEM. */
  readonly jwtKey: string;
  readonly webhookSecret: string;
  /** How many requests clients have sent to it. */
  readonly requests: number;
  /** Creates a user, or changes one. Returns it as Clerk's API does. */
  user(user?: TestUser): { id: string; [member: string]: unknown };
  deleteUser(id: string): void;
  /** Ends a session; for the setting `sessionCheckTtlS`. */
  endSession(id: string): void;
  /** Returns a session token. A user who does not exist is created. */
  token(token?: TestToken): string;
  /** Returns the headers of a request with a new session token. */
  headers(token?: TestToken): { authorization: string };
  /** Returns a token with exactly these claims. */
  sign(claims: Record<string, unknown>, header?: Record<string, unknown>): string;
  /** Returns a signed webhook, such as `webhook('user.updated', clerk.user({ id, banned: true }))`. */
  webhook(type: string, data: unknown): { headers: Record<string, string>; body: string };
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a Clerk instance for tests. */
export function startTestClerk(): Promise<TestClerk>;

/**
 * Returns tests of a user store for any test runner. `createStore` returns the store to test, whose table the tests fill
 * with rows.
 */
export function userStoreTests<Row extends UserRow>(
  createStore: () => UserStore<Row> | Promise<UserStore<Row>>,
): { name: string; run: () => Promise<void> }[];
