import { Context, Middleware } from 'koa';
import { Auth, ClerkClient, Demands, Options } from './index';

export function clerkMiddleware(options?: ClerkClient | Options): Middleware;
export function getAuth(ctx: Context): Auth;
export function requireAuth(demands?: Demands): Middleware;
