import { Context, MiddlewareHandler } from 'hono';
import { Auth, AuthorizationParams, ClerkClient, ClientOptions } from './index';

export function clerkMiddleware(clientOrOptions?: ClerkClient | ClientOptions): MiddlewareHandler;
export function getAuth(c: Context): Auth;
export function requireAuth(params?: AuthorizationParams): MiddlewareHandler;
