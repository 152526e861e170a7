import { IncomingMessage, ServerResponse } from 'node:http';
import { AnyClient, Auth, ClientOptions, MiddlewareOptions, RequireAuthParams, TokenType, UserRow } from './index';

/** A client, its options, or a function that returns the client of a request. Default: a client with the environment's settings. */
export function withAuth(
  client: AnyClient | ClientOptions | ((req: IncomingMessage) => AnyClient | Promise<AnyClient>) | undefined,
  handler: (req: IncomingMessage, res: ServerResponse) => unknown,
  options?: MiddlewareOptions,
): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
/** Returns the result of `withAuth`. */
export function getAuth<Row extends UserRow = UserRow, Token extends TokenType = 'session_token'>(
  req: IncomingMessage,
): Auth<Row, Token>;
/** Returns true if the request is signed in and passes all checks; else sends the response and returns false. */
export function requireAuth(req: IncomingMessage, res: ServerResponse, params?: RequireAuthParams): boolean;
