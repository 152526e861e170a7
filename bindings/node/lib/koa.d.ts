import { Context, Middleware } from 'koa';
import { AnyClient, Auth, ClientOptions, MiddlewareOptions, RequireAuthParams, TokenType, UserRow } from './index';

/** A client, its options, or a function that returns the client of a request. Default: a client with the environment's settings. */
export function clerkMiddleware(
  client?: AnyClient | ClientOptions | ((ctx: Context) => AnyClient | Promise<AnyClient>),
  options?: MiddlewareOptions,
): Middleware;
/** Returns the result of `clerkMiddleware`, which is `ctx.state.auth` as well. */
export function getAuth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'>(
  ctx: Context,
): Auth<Row, Token>;
/** Throws a TypeError if the argument is not valid. */
export function requireAuth(params?: RequireAuthParams): Middleware;
