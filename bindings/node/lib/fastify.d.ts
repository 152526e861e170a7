import { FastifyPluginAsync, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify';
import { Auth, AuthorizationParams, ClerkClient, ClientOptions } from './index';

export interface ClerkPluginOptions extends ClientOptions {
  client?: ClerkClient;
  hookName?: 'onRequest' | 'preHandler';
}
export const clerkPlugin: FastifyPluginAsync<ClerkPluginOptions>;
export function getAuth(request: FastifyRequest): Auth;
/** Returns a `preHandler` for routes. */
export function requireAuth(params?: AuthorizationParams): preHandlerAsyncHookHandler;
