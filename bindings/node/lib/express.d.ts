import { Request, RequestHandler } from 'express';
import { AnyClient, Auth, ClientOptions, MiddlewareOptions, RequireAuthParams, TokenType, UserRow } from './index';

/** A client, its options, or a function that returns the client of a request. Default: a client with the environment's settings. */
export function clerkMiddleware(
  client?: AnyClient | ClientOptions | ((req: Request) => AnyClient | Promise<AnyClient>),
  options?: MiddlewareOptions,
): RequestHandler;
/** Returns the result of `clerkMiddleware`. */
export function getAuth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'>(
  req: Request,
): Auth<Row, Token>;
/** Throws a TypeError if the argument is not valid. */
export function requireAuth(params?: RequireAuthParams): RequestHandler;
