import { IncomingMessage, ServerResponse } from 'node:http';
import { Auth, AuthorizationParams, ClerkClient, ClientOptions } from './index';

export function withAuth(
  clientOrOptions: ClerkClient | ClientOptions | undefined,
  handler: (req: IncomingMessage, res: ServerResponse) => unknown,
): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
export function getAuth(req: IncomingMessage): Auth;
/** Returns true if the request is signed in and passes all checks; else sends the response and returns false. */
export function requireAuth(req: IncomingMessage, res: ServerResponse, params?: AuthorizationParams): boolean;
