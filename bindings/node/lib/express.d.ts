import { Request, RequestHandler } from 'express';
import { Auth, ClerkClient, Demands, Options } from './index';

export function clerkMiddleware(options?: ClerkClient | Options): RequestHandler;
export function getAuth(req: Request): Auth;
export function requireAuth(demands?: Demands): RequestHandler;
