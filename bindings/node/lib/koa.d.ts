import { Context, Middleware } from 'koa';
import { Auth, AuthorizationParams, ClerkClient, ClientOptions } from './index';

export function clerkMiddleware(clientOrOptions?: ClerkClient | ClientOptions): Middleware;
export function getAuth(ctx: Context): Auth;
export function requireAuth(params?: AuthorizationParams): Middleware;
