import { FastifyPluginAsync, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify';
import { AnyClient, Auth, ClientOptions, MiddlewareOptions, RequireAuthParams, TokenType, UserRow } from './index';

export interface ClerkPluginOptions extends ClientOptions, MiddlewareOptions {
  /** A client, or a function that returns the client of a request. */
  client?: AnyClient | ((request: FastifyRequest) => AnyClient | Promise<AnyClient>);
  hookName?: 'onRequest' | 'preHandler';
}
export const clerkPlugin: FastifyPluginAsync<ClerkPluginOptions>;
/** Returns the result of `clerkPlugin`. */
export function getAuth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'>(
  request: FastifyRequest,
): Auth<Row, Token>;
/** Returns a `preHandler` for routes. Throws a TypeError if the argument is not valid. */
export function requireAuth(params?: RequireAuthParams): preHandlerAsyncHookHandler;
