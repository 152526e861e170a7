import { Context, MiddlewareHandler } from 'hono';
import { AnyClient, Auth, ClientOptions, MiddlewareOptions, RequireAuthParams, TokenType, UserRow } from './index';

declare module 'hono' {
  interface ContextVariableMap {
    /** The result of `clerkMiddleware`. */
    clerkAuth: Auth;
  }
}

/** A client, its options, or a function that returns the client of a request. Default: a client with the environment's settings. */
export function clerkMiddleware(
  client?: AnyClient | ClientOptions | ((c: Context) => AnyClient | Promise<AnyClient>),
  options?: MiddlewareOptions,
): MiddlewareHandler;
/** Returns the result of `clerkMiddleware`, which is `c.get('clerkAuth')` as well. */
export function getAuth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'>(
  c: Context,
): Auth<Row, Token>;
/** Throws a TypeError if the argument is not valid. */
export function requireAuth(params?: RequireAuthParams): MiddlewareHandler;
