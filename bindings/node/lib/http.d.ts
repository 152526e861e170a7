import { IncomingMessage, ServerResponse } from 'node:http';
import { Auth, ClerkClient, Demands, Options } from './index';

export function withAuth(
  options: ClerkClient | Options | undefined,
  handler: (req: IncomingMessage, res: ServerResponse) => unknown,
): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
export function getAuth(req: IncomingMessage): Auth;
/** True if somebody is signed in and has all that is demanded; else the request has been answered. */
export function requireAuth(req: IncomingMessage, res: ServerResponse, demands?: Demands): boolean;
