import { Context, MiddlewareHandler } from 'hono';
import { Auth, ClerkClient, Demands, Options } from './index';

export function clerkMiddleware(options?: ClerkClient | Options): MiddlewareHandler;
export function getAuth(c: Context): Auth;
export function requireAuth(demands?: Demands): MiddlewareHandler;
