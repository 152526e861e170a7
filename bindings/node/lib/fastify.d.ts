import { FastifyPluginAsync, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify';
import { Auth, ClerkClient, Demands, Options } from './index';

export interface PluginOptions extends Options {
  client?: ClerkClient;
  hookName?: 'onRequest' | 'preHandler';
}
export const clerkPlugin: FastifyPluginAsync<PluginOptions>;
export function getAuth(request: FastifyRequest): Auth;
/** A `preHandler` for routes. */
export function requireAuth(demands?: Demands): preHandlerAsyncHookHandler;
