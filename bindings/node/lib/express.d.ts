import { Request, RequestHandler } from 'express';
import { Auth, AuthorizationParams, ClerkClient, ClientOptions } from './index';

export function clerkMiddleware(clientOrOptions?: ClerkClient | ClientOptions): RequestHandler;
export function getAuth(req: Request): Auth;
export function requireAuth(params?: AuthorizationParams): RequestHandler;
